"""ITU-T P.1401's tests of two methods on the same images, split by split.

Every test is of one split's test images, with the methods' predictions mapped by a 4-parameter
logistic fitted on those images. Splits of one database share images, so their p-values are not
combined: the median over splits is the result of a typical split.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from bench.analysis.stored_predictions import NoSides, StoredPredictions
from bench.metrics import Known, fit_logistic4, plcc
from bench.metrics.correlation import root_mean_square
from bench.metrics.krasula import krasula_difference
from bench.metrics.p1401 import FREEDOM, epsilon_errors
from bench.model.titles import task_title
from bench.stats.dependent import outlier_ratios, pitman_morgan, squared_errors
from bench.stats.p1401 import correlations, rmse_ratio
from bench.store.judging import known_of
from bench.store.table import SPLIT

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

MOST_IMAGES = 3000
"""Test images above which the areas under the curve are left out: they look at all pairs."""


@dataclass(frozen=True)
class ErrorTests:
    """Two methods on one task: median p-values over `splits` splits, by test."""

    task: str
    budget: str
    first: str
    second: str
    splits: int
    p_values: dict[str, float]
    note: str
    """Why all tests, or those that need ratings, are missing."""


def compare(
    runs: pd.DataFrame, predictions: StoredPredictions, reference: str | None = None
) -> list[ErrorTests]:
    """Every pair of methods (or all against `reference`) on each task, over common splits."""
    found = []
    keys = ["protocol", "train", "test", "budget", "selection"]
    for (_, train, test, budget, selection), part in runs.groupby(keys, sort=False):
        done = part[part["status"] == "done"]
        records = {
            str(label): dict(
                zip(
                    cell[list(SPLIT)].itertuples(index=False, name=None),
                    cell["record"],
                    strict=True,
                )
            )
            for label, cell in done.groupby("label", sort=False)
        }
        for first, second in combinations(records, 2):
            if reference not in (None, first, second):
                continue
            shared = [split for split in records[first] if split in records[second]]
            pairs = [(records[first][split], records[second][split]) for split in shared]
            if pairs:
                title = task_title(str(train), str(test))
                p_values, note = _tests(predictions, str(test), str(selection), pairs)
                found.append(
                    ErrorTests(title, str(budget), first, second, len(pairs), p_values, note)
                )
    return found


def _tests(
    predictions: StoredPredictions, test: str, selection: str, pairs: Sequence[tuple[str, str]]
) -> tuple[dict[str, float], str]:
    values: dict[str, list[float]] = {}
    note = ""
    for records in pairs:
        try:
            tables = [predictions.table(record) for record in records]
        except NoSides as reason:
            return {}, str(reason)
        quality = tables[0]["quality"].to_numpy(float)
        predicted = [predictions.column(table, selection) for table in tables]
        fits = [fit_logistic4(one, quality) for one in predicted]
        failed = next((fit.reason for fit in fits if not fit.converged), "")
        if failed:
            return {}, f"no mapping: {failed}"
        known = known_of(predictions.at_hand, test, tables[0])
        usable = isinstance(known, Known) and known.has("ratings")
        if not usable:
            lacking = known if isinstance(known, str) else "spread or number of ratings not known"
            note = f"without tests that need ratings: {lacking}"
        found = dict(_unrated([fit.mapped for fit in fits], quality))
        if usable and isinstance(known, Known):
            found |= dict(_rated(predicted, [fit.mapped for fit in fits], quality, known))
        for name, p in found.items():
            values.setdefault(name, []).append(p)
    return {name: statistics.median(found) for name, found in values.items()}, note


def _unrated(
    mapped: Sequence[npt.NDArray[np.float64]], quality: npt.NDArray[np.float64]
) -> Iterator[tuple[str, float]]:
    """Tests that need no ratings, the recommendation's own last."""
    residuals = [one - quality for one in mapped]
    yield "RMSE (Pitman–Morgan)", pitman_morgan(*residuals).p_value
    first, second = map(root_mean_square, residuals)
    yield "RMSE (P.1401, F)", rmse_ratio(first, second, quality.size, FREEDOM).p_value
    first, second = (plcc(one, quality) for one in mapped)
    yield "PLCC (P.1401, Fisher's z)", correlations(first, second, quality.size).p_value


def _rated(
    predicted: Sequence[npt.NDArray[np.float64]],
    mapped: Sequence[npt.NDArray[np.float64]],
    quality: npt.NDArray[np.float64],
    known: Known,
) -> Iterator[tuple[str, float]]:
    """Tests that need the spread and number of ratings."""
    assert known.std is not None
    assert known.raters is not None
    beyond = [epsilon_errors(one, quality, known.std, known.raters) for one in mapped]
    yield "RMSE* (squared errors)", squared_errors(*beyond).p_value
    first, second = map(root_mean_square, beyond)
    yield "RMSE* (P.1401, F)", rmse_ratio(first, second, quality.size, FREEDOM).p_value
    z, exact = outlier_ratios(*(errors > 0 for errors in beyond))
    yield "OR (P.1401, z)", z.p_value
    yield "OR (McNemar)", exact.p_value
    if quality.size <= MOST_IMAGES:
        one, other = predicted
        areas = krasula_difference(one, other, quality, known.std, known.raters)
        yield "AUC different/similar", areas[0].p_value
        yield "AUC better/worse", areas[1].p_value
