"""Trackers that fit a morphable head model."""
