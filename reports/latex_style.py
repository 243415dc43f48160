"""What a LaTeX table shows and how it is laid out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Style:
    """What a table shows and how."""

    rows: tuple[str, ...] = ("label", "selection")
    """Summary columns that name the rows."""
    columns: tuple[str, ...] = ("dataset", "labels", "metric")
    """Summary columns over the table, outermost first."""
    blocks: str = ""
    """The one of `columns` whose values stand over blocks of rows: with 'labels' every column's
    first budget heads the first block, its second the second (GRMP-IQA, Table 2)."""
    interval: bool = False
    """Whether the interval stands beside the median, or below it in a table of many columns."""
    notes: bool = False
    """Whether notes on published numbers stand under the table; otherwise they are comments."""
    without_contaminated: bool = False
    """Whether the caption says that contaminated cells are left out."""


def fitting(summary: pd.DataFrame) -> Style:
    """The style that papers would give one protocol's summary.

    Pairs of databases stand under 'Training' and 'Testing' (GRMP-IQA, Table 3); training ratios
    head blocks of rows (Table 2), label budgets columns (Table 1).
    """
    pairs = bool((summary["train"] != summary["test"]).any())
    columns = ("train", "test", "labels", "metric") if pairs else Style.columns
    ratios = set(summary["labels"])
    blocks = "labels" if len(ratios) > 1 and all(text.endswith("%") for text in ratios) else ""
    return Style(columns=columns, blocks=blocks)
