"""Text becomes speech."""
