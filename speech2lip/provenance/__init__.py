"""Content credentials: what made a rendered file, signed, and read back."""
