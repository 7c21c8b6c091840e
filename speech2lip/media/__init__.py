"""Video, pictures and sound in and out."""
