"""A model, its subject and speech become video."""
