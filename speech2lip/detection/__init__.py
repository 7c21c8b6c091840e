"""Shots, faces, landmarks, crops and parsing."""
