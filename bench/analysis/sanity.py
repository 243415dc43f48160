"""Checks of methods whose scores are known beforehand; if one fails, the table is wrong.

`constant` and `label_mean` have no correlation, that of `random` is within chance, that of `oracle`
without noise is perfect, and an oracle with more noise never scores above one with less.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from bench.analysis.grid import metric_title, number
from bench.metrics import metric as metric_of
from bench.model.titles import task_title
from bench.store.table import CELL

if TYPE_CHECKING:
    import pandas as pd

CORRELATIONS = ("srcc", "plcc", "krcc")
CONSTANT = ("constant", "label_mean")
CHANCE = 4.0
"""Standard errors of a correlation, 1 / sqrt(n - 1) over n images, that count as chance. Random
scores go further once in 16,000 tables."""
EXACT = 1e-6


@dataclass(frozen=True)
class SanityRow:
    """A method whose score is known, on one task under one metric."""

    label: str
    method: str
    values: list[float]
    """Of its done runs, where defined; at least one."""
    noise: float | None
    """Of an oracle of the tested dataset; None for all other methods."""
    chance: float
    """Largest correlation over its test images that chance explains."""

    @property
    def median(self) -> float:
        """Over its runs."""
        return statistics.median(self.values)


def broken(runs: pd.DataFrame) -> list[str]:
    """A sentence for every check that fails; [] for a sound table.

    `runs` is a table as `bench.store.table.load` gives it.
    """
    kinds = runs["method"].map(lambda name: str(name).partition(":")[0])
    known = runs[kinds.isin([*CONSTANT, "random", "oracle"]) & (runs["status"] == "done")]
    return [
        f"{protocol} on {task_title(str(train), str(test))}, {budget}: {text}"
        for (protocol, train, test, budget, _), part in known.groupby(
            ["protocol", *CELL[1:]], sort=False
        )
        for metric in CORRELATIONS
        if metric in part
        for rows in [list(_rows(part, metric))]
        for text in [*_alone(rows, metric), *_ordered(rows, metric)]
    ]


def _rows(part: pd.DataFrame, metric: str) -> Iterator[SanityRow]:
    for label, cell in part.groupby("label", sort=False):
        values = cell[metric].dropna().tolist()
        if values:
            first = cell.iloc[0]
            noise = _noise(first["method"], first["test"], json.loads(first["settings"]))
            images = int(cell["n_test"].fillna(0).min())
            chance = CHANCE / math.sqrt(images - 1) if images > 1 else math.inf
            yield SanityRow(str(label), str(first["method"]), values, noise, chance)


def _alone(rows: list[SanityRow], metric: str) -> Iterator[str]:
    """Checks of one row by itself."""
    for row in rows:
        says = f"{row.label} has {metric_title(metric)} {number(row.median)}"
        if row.method in CONSTANT:
            yield f"{says}, but predicts one value for all images"
        elif row.method == "random" and abs(row.median) > row.chance:
            yield f"{says}, beyond chance (±{number(row.chance)})"
        elif row.noise == 0 and min(row.values) < metric_of(metric).upper - EXACT:
            yield f"{says}, but knows the labels"


def _ordered(rows: list[SanityRow], metric: str) -> Iterator[str]:
    """Checks of order: oracles by ascending noise, then `random`; none may score above the last."""
    known = [row for row in rows if row.noise is not None]
    known.sort(key=lambda row: row.noise or 0)
    known += [row for row in rows if row.method == "random"]
    for better, worse in pairwise(known):
        if worse.median > better.median + worse.chance:
            yield (
                f"{worse.label} ({metric_title(metric)} {number(worse.median)}) stands above "
                f"{better.label} ({number(better.median)}), which knows more"
            )


def _noise(method: str, test: str, settings: dict[str, object]) -> float | None:
    """An oracle's noise; None for other methods, and for an oracle of another database."""
    if not method.startswith("oracle") or settings["dataset"] != test:
        return None
    return float(str(settings["noise"]))
