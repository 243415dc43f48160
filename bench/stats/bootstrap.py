"""Image-level bootstrap of SRCC: how much would it change with other images of the same kind?

A resample draws n images with replacement, so an image appears c times. Its ranks follow from the
counts alone: along the images in sorted order, the mean rank of a group of equal values is the
number of draws before it plus half of those in it. Nothing is sorted again, which is what makes
1,000 resamples of 2,000 images a matter of a fraction of a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.metrics.correlation import srcc
from bench.metrics.inputs import FloatArray, finite_pair

# Draws held at once: large enough to vectorise, small enough to stay in the processor's cache.
BATCH = 200_000


@dataclass(frozen=True)
class BootstrapInterval:
    """An estimate and its percentile interval."""

    estimate: float
    """On the images as they are."""
    low: float
    high: float
    p_value: float
    """Two-sided, for the true value being 0; at least 2 / (resamples + 1)."""
    confidence: float
    resamples: int
    undefined: int
    """Resamples left out because a side of them was constant."""


def bootstrap_srcc(
    prediction: npt.ArrayLike,
    quality: npt.ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> BootstrapInterval:
    """SRCC of (n,) predictions and (n,) quality with its percentile interval over images.

    Efron 1979; each resample's SRCC is exactly that of `scipy.stats.spearmanr`, ties included. All
    NaN when a side is constant. One `seed` gives one answer, and the same resamples for any two
    arrays of one length. Raises `ValueError` as `bench.metrics.srcc`, for `resamples` < 1 and for
    `confidence` outside (0, 1).

    >>> x = np.arange(100.0)
    >>> result = bootstrap_srcc(x, x + 20 * np.sin(x), resamples=200, seed=1)
    >>> result.low < result.estimate < result.high
    True
    """
    first, second = finite_pair(prediction, quality)
    _check(resamples, confidence)
    x, y = _Ranked(first), _Ranked(second)
    batches = resample_counts(first.size, resamples, seed)
    values = [_correlate(x.of(counts), y.of(counts), counts) for counts in batches]
    return _interval(srcc(first, second), np.concatenate(values), confidence)


def bootstrap_srcc_difference(
    prediction: npt.ArrayLike,
    other: npt.ArrayLike,
    quality: npt.ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> BootstrapInterval:
    """SRCC of `prediction` minus SRCC of `other`, all (n,), with its paired interval over images.

    Both are scored on the same resamples. For methods that are compared on one fixed test set,
    where repeats carry no information; it takes the trained methods as given. Positive:
    `prediction` is the better. Raises as `bootstrap_srcc`.

    >>> x = np.arange(100.0)
    >>> bootstrap_srcc_difference(x, x + 30 * np.sin(x), x, resamples=200).low > 0
    True
    """
    first, target = finite_pair(prediction, quality)
    second, _ = finite_pair(other, quality)
    _check(resamples, confidence)
    ranked = [_Ranked(values) for values in (first, second, target)]
    values = []
    for counts in resample_counts(target.size, resamples, seed):
        a, b, q = (item.of(counts) for item in ranked)
        values.append(_correlate(a, q, counts) - _correlate(b, q, counts))
    estimate = srcc(first, target) - srcc(second, target)
    return _interval(estimate, np.concatenate(values), confidence)


def resample_indices(n: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """The (b, n) image indices of all resamples, in batches.

    >>> sum(batch.shape[0] for batch in resample_indices(5, 7, seed=0))
    7
    """
    rng = np.random.default_rng(seed)
    size = max(1, BATCH // n)
    for start in range(0, resamples, size):
        yield rng.integers(0, n, size=(min(size, resamples - start), n))


def resample_counts(n: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    """As `resample_indices`, as (b, n) numbers of times that each image was drawn.

    >>> next(resample_counts(5, 7, seed=0)).sum(axis=1)
    array([5., 5., 5., 5., 5., 5., 5.])
    """
    for indices in resample_indices(n, resamples, seed):
        rows = indices.shape[0]
        flat = indices + n * np.arange(rows)[:, None]
        yield np.bincount(flat.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


class _Ranked:
    """(n,) values, sorted once, that give the ranks of any resample."""

    def __init__(self, values: FloatArray) -> None:
        distinct, self._group = np.unique(values, return_inverse=True)
        self._order = np.argsort(values, kind="stable")
        self._starts = np.searchsorted(values[self._order], distinct)
        self._tied = distinct.size < values.size

    def of(self, counts: FloatArray) -> FloatArray:
        """(b, n) mean ranks, less their overall mean, of the images drawn `counts` times."""
        ordered = counts[:, self._order]
        if self._tied:
            ordered = np.add.reduceat(ordered, self._starts, axis=1)
        middle = np.cumsum(ordered, axis=1) - ordered / 2
        # Draws before plus half of the own, plus 1/2, is the mean rank; their mean is (n + 1) / 2.
        return np.asarray(middle[:, self._group] - counts.shape[1] / 2)


def _correlate(x: FloatArray, y: FloatArray, counts: FloatArray) -> FloatArray:
    """(b,) weighted correlations of centred ranks; NaN where a side is constant."""
    weighted = x * counts
    covariance = np.einsum("bi,bi->b", weighted, y)
    power = np.einsum("bi,bi->b", weighted, x) * np.einsum("bi,bi,bi->b", y, y, counts)
    defined = power > 0
    root = np.sqrt(np.where(defined, power, 1.0))
    return np.where(defined, np.clip(covariance / root, -1, 1), math.nan)


def _check(resamples: int, confidence: float) -> None:
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")


def _interval(estimate: float, values: FloatArray, confidence: float) -> BootstrapInterval:
    usable = values[~np.isnan(values)]
    undefined = values.size - usable.size
    if math.isnan(estimate) or not usable.size:
        nan = math.nan
        return BootstrapInterval(estimate, nan, nan, nan, confidence, values.size, undefined)
    tail = (1 - confidence) / 2
    low, high = (float(bound) for bound in np.quantile(usable, [tail, 1 - tail]))
    crossing = min(np.count_nonzero(usable <= 0), np.count_nonzero(usable >= 0))
    p_value = min(1.0, 2 * float(crossing + 1) / (usable.size + 1))
    return BootstrapInterval(estimate, low, high, p_value, confidence, values.size, undefined)
