"""Helpers for every room: atomic writing, YAML, durations, errors, the machine."""
