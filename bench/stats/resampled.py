"""Metrics of images that are drawn several times each: what a bootstrap computes in every resample.

A resample is a column of weights: how often each image was drawn. Ranks follow from the weights
alone: along the images in sorted order, the mean rank of equal values is the number of draws before
them plus half of theirs. Nothing is sorted again, and thousands of resamples are a few array
operations. Several predictions of the same images share what follows from their quality.
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
"""(n, b) weights of n images -> (m, b) values of m predictions; NaN where a side is constant among
the drawn images. Resamples lie side by side in memory, so that images are taken row by row."""
MOST_PAIRS = 3000
"""Images of a side above which no resampled KRCC is computed: it looks at all pairs."""


def srcc(predictions: FloatArray, quality: FloatArray) -> Resampled:
    """Spearman's correlation as `bench.metrics.srcc` has it, ties included; (m, n) predictions."""
    target, ranked = _Ranked(quality), [_Ranked(one) for one in predictions]

    def values(weights: FloatArray) -> FloatArray:
        drawn = weights.sum(axis=0)
        # Mean rank less the mean of all ranks, times the draws.
        pulled = weights * (target.draws_until_middle(weights) - drawn / 2)
        powers = _Powers(weights, drawn)
        power = powers.of(target)
        found = np.empty((len(ranked), weights.shape[1]))
        for row, one in enumerate(ranked):
            # `pulled` sums to 0, so that the predictions' ranks need not be centred.
            middle = one.draws_until_middle(weights, sort=False)
            covariance = np.einsum("ib,ib->b", pulled[one.order], middle)
            found[row] = _ratio(covariance, power * powers.of(one))
        return found

    return values


def plcc(predictions: FloatArray, quality: FloatArray) -> Resampled:
    """Pearson's correlation as `bench.metrics.plcc` has it; (m, n) predictions."""
    rows = [row for row, one in enumerate(predictions) if np.ptp(one) > 0]
    if not rows or np.ptp(quality) == 0:
        return _undefined(len(predictions))
    y = unit_scale(quality)
    x = np.array([unit_scale(predictions[row]) for row in rows])
    sums = np.concatenate([[np.ones_like(y), y, y * y], x, x * x, x * y])

    def values(weights: FloatArray) -> FloatArray:
        total, my, yy, *of_x = sums @ weights
        # All sums come from one matrix product, which is the whole cost.
        mx, xx, xy = np.array(of_x).reshape(3, len(rows), -1)
        total = np.where(total > 0, total, np.nan)
        vx, vy = xx - mx * mx / total, yy - my * my / total
        # What rounding leaves of a constant side is no spread.
        flat = (vx < 1e-12 * xx) | (vy < 1e-12 * yy)
        found = np.full((len(predictions), weights.shape[1]), math.nan)
        found[rows] = _ratio(xy - mx * my / total, np.where(flat, 0.0, vx * vy))
        return found

    return values


def krcc(predictions: FloatArray, quality: FloatArray) -> Resampled:
    """Kendall's tau-b as `bench.metrics.krcc` has it; undefined above `MOST_PAIRS` images."""
    if quality.size > MOST_PAIRS:
        return _undefined(len(predictions))

    # Signs and counts of draws are exact in float32, which halves the memory of all pairs.
    def signs(values: FloatArray) -> npt.NDArray[np.float32]:
        return np.sign(values[:, None] - values[None, :]).astype(np.float32)

    y = signs(quality)

    def values(weights: FloatArray) -> FloatArray:
        drawn = weights.astype(np.float32)

        def pairs(sign: npt.NDArray[np.float32]) -> FloatArray:
            return np.asarray(np.einsum("ib,ib->b", sign @ drawn, drawn, dtype=np.float64))

        power = pairs(np.abs(y))
        found = [_ratio(pairs(x * y), pairs(np.abs(x)) * power) for x in map(signs, predictions)]
        return np.array(found)

    return values


def rmse(predictions: FloatArray, quality: FloatArray) -> Resampled:
    """Root mean square error as `bench.metrics.rmse` has it; (m, n) predictions."""
    squares = (predictions - quality) ** 2

    def values(weights: FloatArray) -> FloatArray:
        total = weights.sum(axis=0)
        return np.asarray(np.sqrt(squares @ weights / np.where(total > 0, total, np.nan)))

    return values


def _mapped(
    fit: Callable[..., LogisticFit], metric: Callable[..., Resampled]
) -> Callable[..., Resampled]:
    """A metric after a fitted curve. The curve is that of all images, in every resample: refitting
    a thousand times would take minutes, and moves the result far less than the images do."""

    def of(predictions: FloatArray, quality: FloatArray) -> Resampled:
        fits = [fit(one, quality) for one in predictions]
        mapped = np.array([one.mapped if one.converged else quality for one in fits])
        values = metric(mapped, quality)
        # A falling curve hides a predictor that runs the wrong way; see `plcc_logistic4`.
        signs = [one.direction if metric is plcc else 1 for one in fits]
        factors = np.array(
            [sign if one.converged else math.nan for sign, one in zip(signs, fits, strict=True)]
        )
        return lambda weights: factors[:, None] * values(weights)

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
    """(n,) values that give the ranks of any resample."""

    def __init__(self, values: FloatArray) -> None:
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        _, self.starts, self._group = np.unique(ordered, return_index=True, return_inverse=True)
        self.tied = self.starts.size < ordered.size
        self._back = np.argsort(self.order)

    def draws_until_middle(self, weights: FloatArray, sort: bool = True) -> FloatArray:
        """(n, b) mean ranks, less 1/2: draws before an image, and half of those equal to it.

        In the order of the images, or that of the sorted values without `sort`.
        """
        ordered = weights[self.order]
        if self.tied:
            equal = np.add.reduceat(ordered, self.starts, axis=0)
            ranks = (_running_sums(equal) - equal / 2)[self._group]
        else:
            ranks = _running_sums(ordered)
            ordered /= 2
            ranks -= ordered
        return ranks[self._back] if sort else ranks

    def equal_draws(self, weights: FloatArray) -> FloatArray:
        """(g, b) draws of each of the g values that differ."""
        return np.asarray(np.add.reduceat(weights[self.order], self.starts, axis=0))


class _Powers:
    """Sums of squared centred ranks: (N^3 - sum t^3) / 12 for N draws, t of each value."""

    def __init__(self, weights: FloatArray, drawn: FloatArray) -> None:
        self._weights, self._whole = weights, drawn**3
        self._untied = self._of(weights)

    def of(self, ranked: _Ranked) -> FloatArray:
        """(b,) of one side."""
        return self._of(ranked.equal_draws(self._weights)) if ranked.tied else self._untied

    def _of(self, equal: FloatArray) -> FloatArray:
        return np.asarray((self._whole - np.einsum("ib,ib,ib->b", equal, equal, equal)) / 12)


def _running_sums(values: FloatArray) -> FloatArray:
    """`np.cumsum` along the first of two axes, exact for whole numbers.

    In blocks of rows that are added as a whole, in a third of the time: a plain running sum waits
    for each addition before it begins the next.
    """
    rows, columns = values.shape
    block = max(1, math.isqrt(rows))
    blocks = np.zeros((-(-rows // block), block, columns))
    flat = blocks.reshape(-1, columns)
    flat[:rows] = values
    for place in range(1, block):
        blocks[:, place] += blocks[:, place - 1]
    for place in range(1, len(blocks)):
        blocks[place] += blocks[place - 1, -1]
    return np.asarray(flat[:rows])


def _ratio(covariance: FloatArray, power: FloatArray) -> FloatArray:
    defined = power > 0
    root = np.sqrt(np.where(defined, power, 1.0))
    return np.where(defined, np.clip(covariance / root, -1, 1), math.nan)


def _undefined(count: int) -> Resampled:
    return lambda weights: np.full((count, weights.shape[1]), math.nan)
