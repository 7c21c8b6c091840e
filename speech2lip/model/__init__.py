"""Configuration and facts -> networks; checkpoints; devices."""
