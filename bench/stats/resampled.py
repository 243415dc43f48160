"""Metrics of images that are drawn several times each: what a bootstrap computes in every resample.

A resample is a row of weights: how often each image was drawn. Ranks follow from the weights alone:
along the images in sorted order, the mean rank of equal values is the number of draws before them
plus half of theirs. Nothing is sorted again, and thousands of resamples are a few array operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from bench.metrics import LogisticFit, fit_logistic4, fit_logistic5
from bench.metrics.inputs import FloatArray, unit_scale

Resampled = Callable[[FloatArray], FloatArray]
"""(b, n) weights of n images -> (b,) values; NaN where a side is constant among the drawn images.
"""
MOST_PAIRS = 3000
"""Images of a side above which no resampled KRCC is computed: it looks at all pairs."""


def srcc(prediction: FloatArray, quality: FloatArray) -> Resampled:
    """Spearman's correlation as `bench.metrics.srcc` has it, ties included."""
    by_prediction = np.argsort(prediction, kind="stable")
    first = _Ranked(prediction[by_prediction])
    target = quality[by_prediction]
    order = np.argsort(target, kind="stable")
    second = _Ranked(target[order])

    def values(weights: FloatArray) -> FloatArray:
        own = weights[:, by_prediction]
        other = own[:, order]
        x, y = first.ranks(own), second.ranks(other)
        x_there = x[:, order]
        shared = other * y
        covariance = np.einsum("bi,bi->b", shared, x_there)
        power = np.einsum("bi,bi->b", shared, y) * np.einsum("bi,bi,bi->b", own, x, x)
        return _ratio(covariance, power)

    return values


def plcc(prediction: FloatArray, quality: FloatArray) -> Resampled:
    """Pearson's correlation as `bench.metrics.plcc` has it."""
    if np.ptp(prediction) == 0 or np.ptp(quality) == 0:
        return _undefined
    x, y = unit_scale(prediction), unit_scale(quality)
    sums = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)

    def values(weights: FloatArray) -> FloatArray:
        total, mx, my, xx, yy, xy = (weights @ sums).T
        total = np.where(total > 0, total, np.nan)
        vx, vy = xx - mx * mx / total, yy - my * my / total
        # What rounding leaves of a constant side is no spread.
        flat = (vx < 1e-12 * xx) | (vy < 1e-12 * yy)
        return _ratio(xy - mx * my / total, np.where(flat, 0.0, vx * vy))

    return values


def krcc(prediction: FloatArray, quality: FloatArray) -> Resampled:
    """Kendall's tau-b as `bench.metrics.krcc` has it; undefined above `MOST_PAIRS` images."""
    if prediction.size > MOST_PAIRS:
        return _undefined
    x, y = (np.sign(v[:, None] - v[None, :]).astype(np.float32) for v in (prediction, quality))

    def values(weights: FloatArray) -> FloatArray:
        drawn = weights.astype(np.float32)

        def pairs(sign: npt.NDArray[np.float32]) -> FloatArray:
            found = np.einsum("bi,bi->b", drawn @ sign, drawn, dtype=np.float64)
            return np.asarray(found)

        return _ratio(pairs(x * y), pairs(np.abs(x)) * pairs(np.abs(y)))

    return values


def rmse(prediction: FloatArray, quality: FloatArray) -> Resampled:
    """Root mean square error as `bench.metrics.rmse` has it."""
    squares = (prediction - quality) ** 2

    def values(weights: FloatArray) -> FloatArray:
        total = weights.sum(axis=1)
        return np.sqrt(weights @ squares / np.where(total > 0, total, np.nan))

    return values


def _mapped(
    fit: Callable[..., LogisticFit], metric: Callable[..., Resampled]
) -> Callable[..., Resampled]:
    """A metric after a fitted curve. The curve is that of all images, in every resample: refitting
    a thousand times would take minutes, and moves the result far less than the images do."""

    def of(prediction: FloatArray, quality: FloatArray) -> Resampled:
        found = fit(prediction, quality)
        if not found.converged:
            return _undefined
        values = metric(found.mapped, quality)
        # A falling curve hides a predictor that runs the wrong way; see `plcc_logistic4`.
        sign = found.direction if metric is plcc else 1
        return lambda weights: sign * values(weights)

    return of


RESAMPLED: Mapping[str, Callable[[FloatArray, FloatArray], Resampled]] = MappingProxyType(
    {
        "srcc": srcc,
        "plcc": plcc,
        "krcc": krcc,
        "rmse": rmse,
        "plcc_logistic4": _mapped(fit_logistic4, plcc),
        "plcc_logistic5": _mapped(fit_logistic5, plcc),
        "rmse_logistic4": _mapped(fit_logistic4, rmse),
        "rmse_logistic5": _mapped(fit_logistic5, rmse),
    }
)
"""Metrics that have an interval over images, by their names in `bench.metrics.METRICS`."""


class _Ranked:
    """(n,) values in ascending order, that give the ranks of any resample."""

    def __init__(self, ordered: FloatArray) -> None:
        _, self._starts, self._group = np.unique(ordered, return_index=True, return_inverse=True)
        self._tied = self._starts.size < ordered.size

    def ranks(self, weights: FloatArray) -> FloatArray:
        """(b, n) mean ranks, less their overall mean, of images drawn `weights` times."""
        half = weights.sum(axis=1, keepdims=True) / 2
        # Draws before plus half of the own, plus 1/2, is the mean rank; their mean is (n + 1) / 2.
        if not self._tied:
            return np.asarray(np.cumsum(weights, axis=1) - weights / 2 - half)
        grouped = np.add.reduceat(weights, self._starts, axis=1)
        middle = np.cumsum(grouped, axis=1) - grouped / 2 - half
        return np.asarray(middle[:, self._group])


def _ratio(covariance: FloatArray, power: FloatArray) -> FloatArray:
    defined = power > 0
    root = np.sqrt(np.where(defined, power, 1.0))
    return np.where(defined, np.clip(covariance / root, -1, 1), math.nan)


def _undefined(weights: FloatArray) -> FloatArray:
    return np.full(len(weights), math.nan)
