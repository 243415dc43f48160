"""Do the methods whose rank is known beforehand stand where they must? If not, the table is wrong.

Answers that are known: `constant` and `label_mean` have no correlation, `random` has none beyond
chance, `oracle` without noise has all of it, and more noise never ranks above less.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from bench.analysis.grid import metric_title, number
from bench.analysis.results import CellResult
from bench.metrics import METRICS

CORRELATIONS = ("srcc", "plcc", "krcc")
CONSTANT = ("constant", "label_mean")
CHANCE = 4.0
"""Standard errors, 1 / sqrt(n - 1) of a correlation over n images, that chance is granted: it goes
further once in 16,000 tables."""
EXACT = 1e-6


def broken(cells: Iterable[CellResult]) -> list[str]:
    """A sentence for every sanity row that is not where it must be; [] for a sound table."""
    columns: dict[tuple[str, ...], list[CellResult]] = defaultdict(list)
    for cell in cells:
        if cell.done and cell.entry.method.partition(":")[0] in (*CONSTANT, "random", "oracle"):
            entry = cell.entry
            key = (cell.protocol.name, entry.task.title, entry.task.budget, entry.selection)
            columns[key].append(cell)
    return [
        f"{protocol} on {dataset}, {labels}: {text}"
        for (protocol, dataset, labels, _), rows in columns.items()
        for metric in CORRELATIONS
        for text in [*_alone(rows, metric), *_ordered(rows, metric)]
    ]


def _alone(rows: list[CellResult], metric: str) -> Iterator[str]:
    """What a row's own value gives away."""
    for cell in rows:
        values = cell.values(metric)
        if not values:
            continue
        method, found = cell.entry.method, statistics.median(values)
        says = f"{cell.entry.label} has {metric_title(metric)} {number(found)}"
        if method in CONSTANT:
            yield f"{says}, but predicts one value for all images"
        elif method == "random" and abs(found) > _chance(cell):
            yield f"{says}, beyond chance (±{number(_chance(cell))})"
        elif _noise(cell) == 0 and min(values) < METRICS[metric].upper - EXACT:
            yield f"{says}, but knows the labels"


def _ordered(rows: list[CellResult], metric: str) -> Iterator[str]:
    """Oracles in the order of their noise, chance last; a later row must not pass an earlier."""
    known = [cell for cell in rows if _noise(cell) is not None and cell.values(metric)]
    known.sort(key=lambda cell: _noise(cell) or 0)
    known += [cell for cell in rows if cell.entry.method == "random" and cell.values(metric)]
    for better, worse in pairwise(known):
        high, low = (statistics.median(cell.values(metric)) for cell in (better, worse))
        if low > high + _chance(worse):
            yield (
                f"{worse.entry.label} ({metric_title(metric)} {number(low)}) stands above "
                f"{better.entry.label} ({number(high)}), which knows more"
            )


def _noise(cell: CellResult) -> float | None:
    """An oracle's noise; None for other methods, and for an oracle of another database."""
    settings = cell.done[0].spec.fit.settings
    if not cell.entry.method.startswith("oracle") or settings["dataset"] != cell.entry.task.test:
        return None
    return float(settings["noise"])


def _chance(cell: CellResult) -> float:
    images = min(run.sizes.get("test", 0) for run in cell.done)
    return CHANCE / math.sqrt(images - 1) if images > 1 else math.inf
