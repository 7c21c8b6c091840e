"""A video becomes a subject folder, stage by stage."""
