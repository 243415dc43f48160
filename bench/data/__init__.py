"""Databases, decoded images, splits, and the rendered demo."""
