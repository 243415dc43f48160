"""Stored runs → methods against each other: pairs on each task, ranks across datasets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis import compare
from bench.analysis.results import CellResult, Results
from bench.model.records import Record
from bench.protocol import Protocol
from bench.stats import SplitComparison
from bench.store.table import pool_size

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT = 0.05
"""Level that Holm's p-values are held against."""


@dataclass(frozen=True)
class Comparisons:
    """What one protocol's results say of its methods under its first metric."""

    protocol: Protocol
    metric: str
    tasks: list[compare.WithinDataset]
    ranks: list[compare.AcrossDatasets]


def compare_all(results: Results) -> list[Comparisons]:
    """Every protocol with something to compare, by its first metric."""
    found = (of_protocol(results, protocol) for protocol in results.protocols)
    return [item for item in found if item is not None]


def of_protocol(results: Results, protocol: Protocol) -> Comparisons | None:
    """A protocol's comparisons, worked out once; None where there is nothing to compare."""
    key = ("comparisons", protocol.name)
    if key not in results.worked_out:
        results.worked_out[key] = _compare(results, protocol)
    found: Comparisons | None = results.worked_out[key]
    return found


def _compare(results: Results, protocol: Protocol) -> Comparisons | None:
    metric = protocol.metrics[0]
    runs = _runs(results.of(protocol), metric)
    if runs.empty:
        return None
    tasks, ranks = compare.within(runs, metric), compare.across(runs, metric)
    return Comparisons(protocol, metric, tasks, ranks) if tasks or ranks else None


@dataclass(frozen=True)
class Versus:
    """One method as seen from another: `row` minus `column`, positive where `row` is better."""

    difference: float
    """Median over splits, in units of the metric."""
    wins: int
    losses: int
    p: float
    """Nadeau-Bengio after Holm; NaN where there is no test."""
    reason: str
    """Why there is none."""

    @property
    def significant(self) -> bool:
        """Whether the two can be told apart."""
        return self.p < SIGNIFICANT


@dataclass(frozen=True)
class Matrix:
    """Every pair of methods on one task."""

    task: compare.WithinDataset
    names: tuple[str, ...]
    """Best first, by mean difference to all others."""
    cells: dict[tuple[str, str], Versus]


def matrix(task: compare.WithinDataset, higher_is_better: bool) -> Matrix:
    """The pairs of a task as a table that reads from its rows: better is positive."""
    cells: dict[tuple[str, str], Versus] = {}
    total: dict[str, float] = {}
    sign = 1 if higher_is_better else -1
    for pair in task.pairs:
        cells[pair.first, pair.second] = _versus(pair, sign, task.same_test)
        cells[pair.second, pair.first] = _versus(pair, -sign, task.same_test)
        for name, side in ((pair.first, sign), (pair.second, -sign)):
            total[name] = total.get(name, 0.0) + side * pair.corrected.mean
    return Matrix(task, tuple(sorted(total, key=lambda name: -total[name])), cells)


def _versus(pair: SplitComparison, sign: int, same_test: bool) -> Versus:
    wins, losses = (pair.higher, pair.lower) if sign > 0 else (pair.lower, pair.higher)
    p, reason = pair.corrected_holm, pair.corrected.reason
    if same_test:
        p, reason = float("nan"), "every repeat tests the same images"
    return Versus(sign * pair.median, wins, losses, p, reason)


def _runs(cells: Iterable[CellResult], metric: str) -> pd.DataFrame:
    """The columns of `export.load` that comparisons read, from records that were read already."""
    import pandas as pd

    frame = pd.DataFrame([row for cell in cells for row in _rows(cell, metric)])
    return frame if frame.empty else frame.astype({metric: float})


def _rows(cell: CellResult, metric: str) -> Iterator[dict[str, Any]]:
    if cell.unlabelled:
        return
    task = cell.entry.task
    for repeat, run in enumerate(cell.runs):
        yield {
            "protocol": cell.protocol.name,
            "label": cell.entry.label,
            "train": task.train,
            "test": task.test,
            "budget": task.budget,
            "selection": cell.entry.selection,
            "repeat": repeat,
            **_of_run(run, cell, metric),
        }


def _of_run(run: Record | None, cell: CellResult, metric: str) -> dict[str, Any]:
    if run is None:
        return {"status": "missing", metric: None, "split_digest": None}
    return {
        "status": run.status,
        metric: run.value(metric, cell.entry.selection),
        "split_digest": run.spec.split_digest,
        "n_pool": pool_size(run),
        "n_test": run.sizes.get("test"),
    }
