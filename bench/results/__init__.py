"""Stored results brought together, compared, checked and kept small."""
