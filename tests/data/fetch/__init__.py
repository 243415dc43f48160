"""Tests of bench.data.fetch against a real server on this machine."""
