"""A rigid head pose for every frame."""
