"""Fitting a model to a subject."""
