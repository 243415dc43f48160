"""Heads of the columns of a cost table, and the format of their numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

Column = tuple[str, str, Callable[[float], str]]
"""Name in `bench.analysis.costs`, head, and how a number is written."""


def counted(value: float) -> str:
    """A count with its unit of a thousand, a million or a billion.

    >>> counted(86_192_640), counted(769), counted(1500)
    ('86.2 M', '769', '1.5 k')
    """
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def plain(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


COLUMNS: tuple[Column, ...] = (
    ("parameters", "Parameters", counted),
    ("trained_parameters", "Trained", counted),
    ("gmacs", "GMACs", plain),
    ("ms", "ms/image", plain),
    ("images_per_second", "Images/s", plain),
    ("memory", "Memory, MiB", plain),
    ("fit_seconds", "Fit, s", plain),
    ("tokens", "Tokens/image", plain),
)


MEASURED = ("parameters", "gmacs", "ms", "tokens")
"""Without any of these, memory and time alone make no table."""


def known_columns(costs: pd.DataFrame) -> list[Column]:
    """The columns of which any number is known; none where nothing was measured."""
    if costs[list(MEASURED)].isna().all(axis=None):
        return []
    return [column for column in COLUMNS if costs[column[0]].notna().any()]
