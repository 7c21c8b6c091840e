"""Many people and many sounds in one go."""
