"""Records → one row a cell and metric: what every table, figure and page is drawn from."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.analysis.embedding import noise_counts
from bench.analysis.grid import NOTE_BREAK
from bench.analysis.published import beside
from bench.analysis.results import CellResult, Results, load
from bench.stats.median import MedianInterval, median_interval
from bench.store import Store
from bench.util.atomic import replacing

if TYPE_CHECKING:
    import pandas as pd

    from bench.model.records import Record

COLUMNS = (
    "protocol",
    "label",
    "method",
    "backbone",
    "train",
    "test",
    "dataset",
    "labels",
    "selection",
    "metric",
    "median",
    "low",
    "high",
    "coverage",
    "n",
    "expected",
    "complete",
    "failed",
    "missing",
    "undefined",
    "mean",
    "best_test_median",
    "gap",
    "noise",
    "noise_low",
    "noise_high",
    "noise_n",
    "published",
    "published_in",
    "difference",
    "demo",
    "contaminated",
    "notes",
    "seconds",
)
"""Columns of the summary, in the order of the CSV file; `docs/reports.md` says what each holds."""

FLAGS = ("complete", "demo", "contaminated")
NOTHING = MedianInterval(math.nan, math.nan, math.nan, math.nan, 0)


def summarise(store: Store) -> pd.DataFrame:
    """One row for every cell and metric of every protocol in the store, incomplete ones included.

    Cells on images without labels have no metrics and so no row.

    Raises `StoreError` where the folder holds no results.
    """
    results = load(store)
    return beside(table(results), results.protocols)[0]


def table(results: Results) -> pd.DataFrame:
    """The summary of results that were already read, without published numbers.

    `bench.analysis.published.beside` fills those in.
    """
    import pandas as pd

    rows = [
        {**row(cell, metric), **noise}
        for cell in results.cells
        for noise in [_noise(results, cell)]
        for metric in cell.metrics
    ]
    # A table without rows has flags too.
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(FLAGS, bool))


def row(cell: CellResult, metric: str) -> dict[str, Any]:
    """The summary of one cell under one metric."""
    task, entry = cell.entry.task, cell.entry
    values = cell.values(metric)
    best = _best_test(cell, metric, len(values))
    found = median_interval(values) if values else NOTHING
    seconds = [run.seconds["total"] for run in cell.done if "total" in run.seconds]
    return {
        "protocol": cell.protocol.name,
        "label": entry.label,
        "method": entry.method,
        "backbone": cell.backbone,
        "train": task.train,
        "test": task.test,
        "dataset": task.title,
        "labels": task.budget,
        "selection": entry.selection,
        "metric": metric,
        **asdict(found),
        "expected": len(cell.runs),
        "complete": len(values) == len(cell.runs) > 0,
        "failed": len(cell.failed),
        "missing": len(cell.runs) - len(cell.records),
        "undefined": len(cell.done) - len(values),
        "mean": statistics.fmean(values) if values else math.nan,
        "best_test_median": best,
        "gap": best - found.median if all(map(selectable, cell.done)) else math.nan,
        "published": "",
        "published_in": "",
        "difference": math.nan,
        "demo": cell.demo,
        "contaminated": cell.contaminated,
        "notes": NOTE_BREAK.join(cell.table_notes),
        "seconds": statistics.median(seconds) if seconds else math.nan,
    }


def _noise(results: Results, cell: CellResult) -> dict[str, Any]:
    """How many test images are semantic noise: the median over splits, where runs can say."""
    # Asked of the protocol first: looking for every run's file would cost large stores dear.
    counts = noise_counts(results, cell) if "per_image" in cell.protocol.keep else []
    found = median_interval(counts) if counts else NOTHING
    return {
        "noise": found.median,
        "noise_low": found.low,
        "noise_high": found.high,
        "noise_n": found.n,
    }


def selectable(run: Record) -> bool:
    """Whether there was more than one epoch to choose from; without a choice there is no gap.

    A run was evaluated every `evaluate_every` epochs and after the last one
    (`bench.runs.execute.fitting`).
    """
    return 0 < run.spec.fit.evaluate_every < run.chosen_epoch.get("last", 0)


def write_csv(summary: pd.DataFrame, path: Path) -> None:
    """Write the summary; numbers keep six digits, what is undefined is an empty field."""
    with replacing(path) as temporary:
        summary.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def _best_test(cell: CellResult, metric: str, n: int) -> float:
    """Median under `best_test`; NaN unless it is over the same runs as the cell's own median."""
    values = cell.values(metric, "best_test")
    return statistics.median(values) if values and len(values) == n else math.nan
