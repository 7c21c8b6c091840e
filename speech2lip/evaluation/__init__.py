"""Measuring generated video beside its controls, and the report of it."""
