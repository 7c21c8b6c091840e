"""Measures of pictures and of mouth movement."""
