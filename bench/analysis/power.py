"""Which differences a protocol can detect, before it is run: a row for each of its tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.analysis.compare import within
from bench.analysis.stored_predictions import StoredPredictions
from bench.data import datasets
from bench.model.mixtures import learnt_from
from bench.model.records import Task
from bench.protocol import Protocol
from bench.stats.power import Design, deviation_of_differences
from bench.store.table import SPLIT
from bench.util.errors import BenchError, UsageError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Planned:
    """One task of a protocol as a comparison of two methods."""

    task: str
    budget: str
    design: Design | None
    source: str
    """The source of the deviation, or why there is no design."""


def plan(
    protocol: Protocol,
    *,
    runs: pd.DataFrame | None = None,
    images: StoredPredictions | None = None,
    metric: str = "srcc",
    srcc: float = 0.85,
    agreement: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.8,
    comparisons: int = 1,
    data_roots: Sequence[Path] = (),
) -> list[Planned]:
    """Every task of a protocol, with its deviation from `runs` (a pilot's table) or simulated.

    Stored deviations are medians over all pairs of methods on the same task, and count for other
    label budgets too; simulated ones are those of SRCC (`deviation_of_differences`). With `images`,
    the pilot's predictions, the correlation of splits under its label budgets is that of its pairs
    too. With several `comparisons` the level of each is alpha over their number: Holm's first step.

    Raises `UsageError` for values outside their range, and for another metric than SRCC without a
    pilot.
    """
    if not 0 < alpha < 1 or not 0 < power < 1 or comparisons < 1:
        raise UsageError("--alpha and --power lie between 0 and 1, --comparisons is at least 1")
    if runs is None and metric != "srcc":
        raise UsageError(f"only SRCC can be simulated: give --results of a pilot for {metric}")
    level = alpha / comparisons
    found = []
    for task in protocol.tasks():
        known = _sizes(protocol, task, list(data_roots))
        if isinstance(known, str):
            found.append(Planned(task.title, task.budget, None, known))
            continue
        total, test, same = known
        deviation, ratio, source = (math.nan, None, "")
        if runs is not None:
            deviation, ratio, source = _stored(runs, task, metric, images)
        if math.isnan(deviation):
            if metric != "srcc":
                text = "the pilot has no two methods on three common splits of this task"
                found.append(Planned(task.title, task.budget, None, text))
                continue
            deviation = deviation_of_differences(test, srcc, agreement)
            if not same:
                # Test parts of one database have the share test / images in common, and vary less
                # from split to split than parts of new databases, which are what is simulated.
                deviation *= math.sqrt(1 - test / total)
            source = f"simulated: SRCC {srcc:g}, errors that correlate {agreement:g}"
        repeats = 1 if same else protocol.repeats
        design = Design(total, test, repeats, deviation, same, level, power, ratio)
        found.append(Planned(task.title, task.budget, design, source))
    return found


def _sizes(protocol: Protocol, task: Task, roots: list[Path]) -> tuple[int, int, bool] | str:
    """Images of the tested database, of a test part, and whether every repeat tests the same."""
    try:
        size = datasets.info(task.test, roots or None).size
    except BenchError as error:
        return str(error).splitlines()[0]
    if not size:
        return f"how many images {task.test} has is not known"
    own = learnt_from(task.train, task.test) and task.side == "own"
    if not own:
        return size, size, True
    if protocol.split != "random":
        return f"the sizes of the split '{protocol.split}' are known only with the data"
    return size, max(3, round(size * protocol.test_fraction)), False


def _stored(
    runs: pd.DataFrame, task: Task, metric: str, images: StoredPredictions | None
) -> tuple[float, float | None, str]:
    """Medians over pairs of methods in a pilot: the deviation of differences, NaN without any, and
    the ratio of their covariance, None where it is not of this budget."""
    on_task = runs[
        (runs["train"] == task.train) & (runs["test"] == task.test) & (runs["status"] == "done")
    ]
    own = on_task[on_task["budget"] == task.budget]
    found = []
    for part in [own] if len(own) else [cells for _, cells in on_task.groupby("budget")]:
        wide = part.pivot_table(metric, list(SPLIT), "label")
        for first, second in combinations(wide.columns, 2):
            differences = (wide[first] - wide[second]).dropna()
            if len(differences) >= 3 and differences.std() > 0:
                found.append(float(differences.std()))
    if not found:
        return math.nan, None, ""
    tests = [pair.corrected for one in within(own, metric, images=images) for pair in one.pairs]
    ratios = [test.correlation / (1 - test.correlation) for test in tests]
    ratio = float(np.median(ratios)) if ratios else None
    return float(np.median(found)), ratio, f"{len(found)} pairs of methods in the pilot"
