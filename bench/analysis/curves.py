"""Stored runs → lines over epochs and budgets, and predictions against quality, for drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.metrics import fit_logistic4, logistic4
from bench.model.records import CurvePoint, Record
from bench.stats.median import median_intervals

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.results import Results

FloatArray = npt.NDArray[np.float64]
WORST = 6
"""Largest number of worst errors that are named."""
Reading = Callable[[CurvePoint], float | None]


@dataclass(frozen=True)
class Line:
    """A median over repeats with its interval, point by point."""

    title: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Cloud:
    """Predictions of one run against quality, with the logistic that maps one to the other."""

    prediction: FloatArray
    quality: FloatArray
    curve: tuple[FloatArray, FloatArray] | None
    """Points of the fitted logistic; None where there is no fit."""
    reason: str
    """Why there is no fit."""
    mapped: FloatArray | None = None
    """Every prediction on the scale of quality; None where there is no fit."""
    worst: tuple[tuple[str, int], ...] = ()
    """Name and place of the `WORST` images that the run errs most on, the worst first."""


def loss(point: CurvePoint) -> float | None:
    """The training loss of an epoch."""
    return point.loss


def on_test(metric: str) -> Reading:
    """A metric on the test images, where the epoch was evaluated."""
    return lambda point: (point.test or {}).get(metric)


def diagnostic(name: str) -> Reading:
    """A diagnostic of the method, e.g. 'angle'."""
    return lambda point: point.diagnostics.get(name)


def over_epochs(title: str, runs: Sequence[Record], reading: Reading) -> Line | None:
    """Median and interval over `runs`, epoch by epoch; None with fewer than two epochs.

    An epoch only counts if every run with a curve has a value, so that no step of the line
    comes from a change of the runs.
    """
    curves = [values for run in runs if (values := _values(run, reading))]
    epochs = sorted(set.intersection(*(set(values) for values in curves))) if curves else []
    if len(epochs) < 2:
        return None
    found = median_intervals([[values[epoch] for epoch in epochs] for values in curves])
    return Line(
        title,
        [float(epoch) for epoch in epochs],
        [item.median for item in found],
        [item.low for item in found],
        [item.high for item in found],
    )


def over_budgets(title: str, rows: pd.DataFrame, unit: str = "") -> Line | None:
    """Median and interval over label budgets, of complete cells with a number of labels.

    With `unit` '%' over training ratios, in per cent.
    """
    if len(rows) < 2:  # as in a protocol of one budget: no need to look
        return None
    counted = rows[rows["complete"] & rows["labels"].astype(str).str.fullmatch(rf"[\d.]+{unit}")]
    numbers = counted["labels"].str.removesuffix(unit).astype(float)
    counted = counted.assign(budget=numbers).sort_values("budget")
    if len(counted) < 2:
        return None
    columns = (counted[name].tolist() for name in ("budget", "median", "low", "high"))
    x, y, low, high = ([float(value) for value in column] for column in columns)
    return Line(title, x, y, low, high)


def cloud(results: Results, run: Record) -> Cloud:
    """The scatter of a run's stored predictions; computed once for figures and pages.

    Raises `StoreError` where they cannot be read.
    """
    key = ("cloud", run.run_id)
    if key not in results.worked_out:
        results.worked_out[key] = _cloud(results.predictions(run))
    found: Cloud = results.worked_out[key]
    return found


def _cloud(predictions: pd.DataFrame) -> Cloud:
    x = predictions["prediction"].to_numpy(dtype=np.float64)
    y = predictions["quality"].to_numpy(dtype=np.float64)
    fit = fit_logistic4(x, y)
    # Without a logistic, ranks tell which images are judged otherwise than by people.
    error = np.abs(y - fit.mapped if fit.converged else _ranks(y) - _ranks(x))
    places = np.argsort(-error, kind="stable")[:WORST].tolist()
    worst = tuple((str(predictions["image"].iloc[place]), place) for place in places)
    if not fit.converged:
        return Cloud(x, y, None, fit.reason, worst=worst)
    grid = np.linspace(x.min(), x.max(), 60)
    return Cloud(x, y, (grid, logistic4(grid, *fit.params)), "", fit.mapped, worst)


def _ranks(values: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values))


def _values(run: Record, reading: Reading) -> dict[int, float]:
    read = ((point.epoch, reading(point)) for point in run.curve)
    return {epoch: value for epoch, value in read if value is not None and math.isfinite(value)}
