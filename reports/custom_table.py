"""LaTeX tables in a shape that the reader chooses: `bench latex`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis import image_intervals
from bench.analysis.published import NOTHING, beside
from bench.analysis.results import load
from bench.analysis.stored_predictions import StoredPredictions
from bench.data.at_hand import AtHand
from bench.reports import latex
from bench.reports.latex import Interval, Style, fitting
from bench.store import Store
from bench.util.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol import Protocol


@dataclass(frozen=True)
class CustomTable:
    """What a table shows; what is empty is as `bench.reports.latex.fitting` chooses it."""

    protocol: str | None = None
    """This protocol only."""
    metrics: tuple[str, ...] = ()
    """These metrics only, in the protocol's order."""
    methods: tuple[str, ...] = ()
    """Rows with these labels only."""
    rows: tuple[str, ...] = ()
    """Columns of the summary that name rows."""
    columns: tuple[str, ...] = ()
    """Columns of the summary over the table, outermost first."""
    blocks: str = ""
    """The one of them that heads blocks of rows; 'none' for none."""
    interval: Interval = "none"
    """Which interval stands beside the median."""
    caption: str = ""
    """In place of the protocol's title; what marks mean is added."""
    label: str = ""
    """In place of the protocol's name."""
    published: bool = True
    """Printed numbers in grey."""
    notes: bool = False
    """Notes on printed numbers below the table."""
    data_roots: tuple[Path, ...] = ()
    """Where databases lie whose groups an interval over images needs, beside `IQA_DATA`."""
    exclude_contaminated: bool = False
    """Without cells whose test dataset the method's weights had seen labels of."""


def document(store: Store, choice: CustomTable) -> str:
    """The tables of a results folder, to `\\\\input`.

    Raises `StoreError` where the folder holds no results, `UsageError` for a protocol, metric,
    label or key that it does not have, and for a caption or label of several protocols.
    """
    results = load(store, choice.data_roots)
    if choice.exclude_contaminated:
        results = results.uncontaminated()
    protocols = _protocols(results.protocols, choice)
    summary, printed = results.summary, NOTHING
    if choice.published:
        summary, printed = beside(summary, protocols)
    summary = summary[summary["protocol"].isin([protocol.name for protocol in protocols])]
    summary = _only(summary, "metric", choice.metrics)
    summary = _only(summary, "label", choice.methods)
    if choice.interval == "images":
        images = StoredPredictions(store, AtHand(choice.data_roots))
        summary = image_intervals.beside(summary, results.runs, images, results.protocols)
    return latex.document(
        summary,
        protocols,
        partial(_style, choice),
        printed,
        excluded=results.excluded_from,
        title=choice.caption,
        name=choice.label,
    )


def _protocols(protocols: Sequence[Protocol], choice: CustomTable) -> list[Protocol]:
    names = [protocol.name for protocol in protocols]
    if choice.protocol is not None and choice.protocol not in names:
        raise unknown("protocol of these results", choice.protocol, names)
    chosen = [item for item in protocols if choice.protocol in (None, item.name)]
    if len(chosen) > 1 and (choice.caption or choice.label):
        raise UsageError(
            f"--caption and --label name one table, but these results have {len(chosen)} "
            f"protocols: choose one with --protocol ({', '.join(names)})"
        )
    return chosen


def _only(summary: pd.DataFrame, key: str, wanted: Iterable[str]) -> pd.DataFrame:
    for name in wanted:
        if not (summary[key] == name).any():
            raise unknown(key, name, set(summary[key]))
    return summary[summary[key].isin(list(wanted))] if wanted else summary


def _style(choice: CustomTable, summary: pd.DataFrame) -> Style:
    style = fitting(summary)
    columns = choice.columns or style.columns
    blocks = style.blocks if style.blocks in columns else ""
    if choice.blocks:
        blocks = "" if choice.blocks == "none" else choice.blocks
    if blocks and blocks not in columns:
        raise UsageError(f"--blocks must be one of the columns {', '.join(columns)}, not {blocks}")
    return replace(
        style,
        rows=choice.rows or style.rows,
        columns=columns,
        blocks=blocks,
        interval=choice.interval,
        notes=choice.notes,
    )
