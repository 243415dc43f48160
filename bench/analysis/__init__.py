"""Stored records to tables and verdicts; reads results, runs nothing."""
