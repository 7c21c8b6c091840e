"""Everybody who was learned: list, rename, export, import, remove."""
