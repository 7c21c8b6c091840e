"""The synthetic speaker: a procedural talking head with known pose, depth and mouth."""
