"""The table of runs → one row a cell and metric: what tables, figures and pages show."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.analysis import means
from bench.data.demo import DEMO_SETS
from bench.model.mixtures import learnt_from
from bench.model.records import JOINT
from bench.model.titles import task_title
from bench.protocol import Protocol
from bench.stats.median import MedianInterval, median_interval
from bench.store.table import BEST_TEST, CELL, NOTE_BREAK, metrics_of
from bench.util.atomic import replacing

if TYPE_CHECKING:
    import pandas as pd

    Runs = Mapping[str, npt.NDArray[Any]]
    """Columns of the table of runs, cut to the runs of one cell."""

COLUMNS = (
    *("protocol", "label", "method", "backbone", "train", "test", "dataset", "labels"),
    *("selection", "metric", "median", "low", "high", "bounds", "coverage"),
    *("n", "expected", "complete"),
    *("image_low", "image_high", "image_clusters", "image_note"),
    *("ceiling", "ceiling_low", "ceiling_high", "ceiling_note"),
    *("failed", "missing", "undefined", "mean", "best_test_median", "gap"),
    *("noise", "noise_low", "noise_high", "noise_n"),
    *("published", "published_in", "difference", "demo", "contaminated", "notes", "seconds"),
)
"""Columns of the summary, in the order of the CSV file; `docs/reports.md` says what each holds."""

FLAGS = ("complete", "demo", "contaminated")
_NOT_YET: Mapping[str, Any] = {
    "image_low": math.nan,
    "image_high": math.nan,
    "image_clusters": math.nan,
    "image_note": "",
    "ceiling": math.nan,
    "ceiling_low": math.nan,
    "ceiling_high": math.nan,
    "ceiling_note": "",
}
NOTHING = MedianInterval(math.nan, math.nan, math.nan, math.nan, 0)


def summarise(runs: pd.DataFrame, protocols: Sequence[Protocol] = ()) -> pd.DataFrame:
    """One row for every cell and metric, in the order of the runs; incomplete cells included.

    `runs` is the table of runs (`bench.store.table.load`), or `Results.runs`, which counts semantic
    noise. `protocols` say which metrics their cells show: all of the table without. Cells on images
    without labels have no metrics and so no row. The columns of published numbers are empty;
    `bench.analysis.published.beside` fills them in, `bench.analysis.image_intervals.beside` those
    over images, and `bench.analysis.ceilings` the noise ceiling.
    """
    import pandas as pd

    named = {protocol.name: protocol for protocol in protocols}
    shown = {name: list(dict.fromkeys(one.metrics)) for name, one in named.items()}
    known = metrics_of(runs.drop(columns="noise", errors="ignore"))
    rows = [
        {**row, **_titled(row, named.get(row["protocol"]))}
        for cell in _cells(means.with_means(runs, named))
        for row in _rows(cell, shown.get(str(cell["protocol"][0]), known))
    ]
    # A table without rows has flags too.
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(FLAGS, bool))


def _titled(row: Mapping[str, Any], protocol: Protocol | None) -> dict[str, Any]:
    """What only the protocol says of a row: the title of its column, and what a mean is over."""
    train, test = row["train"], row["test"]
    averaged = protocol.test if protocol and means.title(test, 0) else ()
    return {
        "dataset": column_title(protocol, train, test),
        "demo": row["demo"] or on_demo(*averaged),
    }


def column_title(protocol: Protocol | None, train: str, test: str) -> str:
    """What tables call the column of a task: of a suite, the test set or the mean alone."""
    if protocol is None or not protocol.test:
        return task_title(train, test)
    own = [learnt_from(train, name) for name in protocol.test]
    counts = {"_all": len(own), "_own": sum(own), "": len(own) - sum(own)}
    count = next(number for suffix, number in counts.items() if test.endswith(suffix))
    title = f"{test} (test side)" if protocol.side_of(train, test) == "own" else test
    return means.title(test, count) or title


def _cells(runs: pd.DataFrame) -> Iterator[Runs]:
    """The runs of each cell, cells in the order of their first run."""
    numbers = runs.groupby(["protocol", *CELL], sort=False, dropna=False).ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    # Columns once as arrays: a data frame for each of thousands of cells takes most of the time.
    columns = {str(name): runs[name].to_numpy()[order] for name in runs.columns}
    ends = np.flatnonzero(np.diff(numbers[order], append=-1)) + 1
    for start, end in zip([0, *ends], ends, strict=False):
        yield {name: values[start:end] for name, values in columns.items()}


def _rows(cell: Runs, metrics: Iterable[str]) -> Iterator[dict[str, Any]]:
    done = cell["status"] == "done"
    if done.any() and not cell["labelled"][done].any():
        return
    shared = {**_identity(cell), **_counts(cell), **_noise(cell)}
    for metric in metrics:
        yield {**shared, "metric": metric, **_values(cell, done, metric)}


def _identity(cell: Runs) -> dict[str, Any]:
    """What the cell is, and what is to be known of its data and weights."""
    names = ("protocol", "label", "method", "train", "test", "budget", "selection")
    first = {name: str(cell[name][0]) for name in names}
    train, test, budget = (first[name] for name in ("train", "test", "budget"))
    recorded = cell["status"] != "missing"
    return {
        **first,
        "backbone": next((name for name in cell["weights"][recorded] if isinstance(name, str)), ""),
        "dataset": task_title(train, test),
        "labels": budget,
        "published": "",
        "published_in": "",
        "difference": math.nan,
        **_NOT_YET,
        "demo": on_demo(train, test),
        "contaminated": bool(cell["contaminated"][recorded].astype(bool).any()),
        "notes": NOTE_BREAK.join(_distinct(cell["notes"][cell["status"] == "done"])),
    }


def _counts(cell: Runs) -> dict[str, Any]:
    seconds = _finite(cell, "total_seconds", cell["status"] == "done")
    return {
        "expected": len(cell["status"]),
        "failed": int((cell["status"] == "failed").sum()),
        "missing": int((cell["status"] == "missing").sum()),
        "seconds": statistics.median(seconds) if seconds else math.nan,
    }


def _values(cell: Runs, done: npt.NDArray[np.bool_], metric: str) -> dict[str, Any]:
    """The cell under one metric: its median over splits, and what another selection would give."""
    values, best = _finite(cell, metric, done), _finite(cell, BEST_TEST + metric, done)
    found = median_interval(values) if values else NOTHING
    # A median over other runs than the cell's own would be no gap between selections.
    best_median = statistics.median(best) if best and len(best) == len(values) else math.nan
    choice = bool((cell["n_evaluated"][done] > 1).all())
    return {
        **asdict(found),
        "bounds": found.bounds,
        "complete": len(values) == len(done) > 0,
        "undefined": int(done.sum()) - len(values),
        "mean": math.fsum(value / len(values) for value in values) if values else math.nan,
        "best_test_median": best_median,
        # Without a choice among epochs there is no gap.
        "gap": best_median - found.median if choice else math.nan,
    }


def _noise(cell: Runs) -> dict[str, Any]:
    """How many test images are semantic noise: the median over splits, where runs can say."""
    counts = _finite(cell, "noise", cell["status"] == "done")
    found = median_interval(counts) if counts else NOTHING
    return {
        "noise": found.median,
        "noise_low": found.low,
        "noise_high": found.high,
        "noise_n": found.n,
    }


def _finite(cell: Runs, name: str, where: npt.NDArray[np.bool_]) -> list[float]:
    """What is a number in a column; nothing of a column that is not there."""
    if name not in cell:
        return []
    values = cell[name][where].astype(float)
    return [float(value) for value in values[np.isfinite(values)]]


def base_name(dataset: str) -> str:
    """A dataset without its label version.

    >>> base_name("tid2013@ssim")
    'tid2013'
    """
    return dataset.partition("@")[0]


def on_demo(*datasets: str) -> bool:
    """Whether one of these, or of several joined by '+', is rendered."""
    names = (name for joined in datasets for name in joined.split(JOINT))
    return not set(DEMO_SETS).isdisjoint(map(base_name, names))


def _distinct(notes: Iterable[Any]) -> list[str]:
    """Each note of a cell's runs once, in their order."""
    texts = (note for text in notes if isinstance(text, str) for note in text.split(NOTE_BREAK))
    return list(dict.fromkeys(filter(None, texts)))


def write_csv(summary: pd.DataFrame, path: Path) -> None:
    """Write the summary; numbers keep six digits, what is undefined is an empty field."""
    with replacing(path) as temporary:
        summary.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
