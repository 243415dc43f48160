"""A new result set against a stored one: is anything worse, and by more than chance and tolerance?

Pairs runs of the same cell on the same split, so that what differs is the methods alone. Reads
results folders or baseline files (`bench.store.baseline`); never runs a model.
"""

from bench.analysis.check.pairing import PairedRuns, pair
from bench.analysis.check.verdict import (
    CellCheck,
    CheckReport,
    check,
    judge,
)
from bench.analysis.check.writers import write

__all__ = [
    "CellCheck",
    "CheckReport",
    "PairedRuns",
    "check",
    "judge",
    "pair",
    "write",
]
