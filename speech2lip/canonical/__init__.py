"""Canonical space and exposure."""
