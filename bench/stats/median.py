"""The median over repeats, with an interval that needs no distribution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import comb

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import finite_vector, require_finite


@dataclass(frozen=True)
class MedianInterval:
    """A median between two of the observed values."""

    median: float
    """Of the observed values."""
    low: float
    """Lower end, an observed value."""
    high: float
    """Upper end, an observed value."""
    coverage: float
    """Probability that [low, high] holds the median of what the values were drawn from."""
    n: int
    """How many values were observed."""

    @property
    def bounds(self) -> str:
        """The kind of [low, high]: see `bounds`."""
        return bounds(self.n)


LEAST_SPLITS = 6
"""Fewest values whose order statistics make an interval of 95 %."""


def bounds(n: int) -> str:
    """The kind of [low, high] that `median_interval` gives for n values.

    >>> bounds(10), bounds(5), bounds(1), bounds(0)
    ('interval', 'range', 'one value', '')
    """
    if n >= LEAST_SPLITS:
        return "interval"
    return "range" if n > 1 else "one value" if n else ""


def median_interval(values: npt.ArrayLike, confidence: float = 0.95) -> MedianInterval:
    """Median of (n,) `values` and its exact order-statistic interval, in the units of `values`.

    From the k-th smallest to the k-th largest value, with the largest k for which the coverage
    1 - 2 P(Binomial(n, 1/2) < k) is at least `confidence` (David & Nagaraja, Order Statistics,
    2003, section 7.1); for n = 10 the 2nd and the 9th, coverage 0.979. When n is too small for that
    (n < 6 at 0.95) it is [minimum, maximum], and `coverage` tells what that is worth. The coverage
    is exact for independent draws from a continuous distribution, at least as large with ties.
    Scores over overlapping splits of one dataset are not independent: there the interval tells how
    much they vary from split to split, not how near their median is to the truth for new images.

    Raises `ValueError` for no values, NaN or infinity, or a `confidence` outside (0, 1).

    >>> median_interval([.81, .84, .79, .83, .85, .80, .82, .86, .88, .87])
    MedianInterval(median=0.835, low=0.8, high=0.87, coverage=0.978515625, n=10)
    >>> median_interval([0.8, 0.7, 0.9]).coverage
    0.75
    """
    (found,) = median_intervals(finite_vector(values, "values")[:, None], confidence)
    return found


def median_intervals(values: npt.ArrayLike, confidence: float = 0.95) -> list[MedianInterval]:
    """`median_interval` of each column of (n, m) values, e.g. of n runs at m epochs.

    Raises as it does.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=0)
    require_finite(ordered, "values")
    count = len(ordered)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    k, coverage = _order(count, confidence)
    columns = zip(np.median(ordered, axis=0), ordered[k - 1], ordered[-k], strict=True)
    return [
        MedianInterval(float(middle), float(low), float(high), coverage, count)
        for middle, low, high in columns
    ]


@cache
def _order(n: int, confidence: float) -> tuple[int, float]:
    """The largest usable k (at least 1) and what the k-th to the (n + 1 - k)-th value cover."""
    below, k = 1, 1
    # Integers, not floats: 2**n and the binomials overflow a float long before n = 2,000.
    while (k + 1) * 2 <= n and 1 - 2 * (below + comb(n, k)) / 2**n >= confidence:
        below += comb(n, k)
        k += 1
    return k, max(0.0, 1 - 2 * below / 2**n)
