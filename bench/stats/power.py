"""Power: which difference can a planned comparison see, and what would a smaller one take?

Over k random splits the mean difference has the variance (1/k + r) s^2, s being the deviation of
the difference from split to split and r what the corrected t takes for the covariance of two
splits: n_test / n_train (Nadeau & Bengio 2003), or less under a label budget
(`bench.stats.split_covariance`). More splits take off the first term only; the second takes more
images, which make s smaller: s^2 is inversely proportional to the images of a test part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.metrics.inputs import FloatArray
from bench.stats.split_covariance import SplitSizes, covariance_ratio

MOST_SPLITS = 1000
"""More splits than this are not considered."""


@dataclass(frozen=True)
class Design:
    """A planned comparison of two methods on one database."""

    images: int
    test: int
    """Images of a test part."""
    splits: int
    deviation: float
    """Standard deviation of the difference from split to split, in units of the metric."""
    same_test: bool = False
    """Whether every repeat tests the same images: then repeats do not count."""
    alpha: float = 0.05
    power: float = 0.8
    ratio: float | None = None
    """`covariance_ratio` of a pilot; None for Nadeau and Bengio's."""

    @property
    def error(self) -> float:
        """Standard error of the mean difference."""
        return self._error(self.splits)

    def _error(self, splits: int) -> float:
        if self.same_test:
            return self.deviation
        sizes = SplitSizes(self.images - self.test, self.test)
        ratio = covariance_ratio(self.deviation**2, sizes) if self.ratio is None else self.ratio
        return self.deviation * math.sqrt(1 / splits + ratio)

    def seen(self) -> float:
        """The smallest true difference that is found significant with probability `power`."""
        return self._seen(self.splits) if self.splits > 1 or self.same_test else math.nan

    def _seen(self, splits: int) -> float:
        # Over one test set the deviation is that of the images' statistic: a normal test.
        freedom = math.inf if self.same_test else splits - 1
        return _noncentrality(freedom, self.alpha, self.power) * self._error(splits)

    def splits_for(self, difference: float) -> int | None:
        """The least number of splits that detect a difference; None if no number does."""
        if self.same_test:
            return None
        return next((k for k in _splits() if self._seen(k) <= difference), None)

    def images_for(self, difference: float) -> int:
        """Images of a database that would let this number of splits see the difference, with test
        parts of the same share."""
        factor = (self.seen() / difference) ** 2
        return math.ceil(self.images * factor)


def deviation_of_differences(
    test: int,
    srcc: float = 0.85,
    agreement: float = 0.5,
    trials: int = 400,
    seed: int = 0,
) -> float:
    """The deviation of the difference in SRCC of two equally good methods over test parts.

    Simulated: quality and two predictions are jointly normal, each method has this `srcc`, and the
    methods' errors have the correlation `agreement`. Training is not in it, which varies from split
    to split too: stored results of a pilot give the whole. Raises `ValueError` for values outside
    (0, 1), or fewer than 3 test images.

    >>> 0.015 < deviation_of_differences(232) < 0.025
    True
    """
    for name, value in (("srcc", srcc), ("agreement", agreement)):
        if not 0 <= value < 1:
            raise ValueError(f"{name}: expected a number from 0 to 1, got {value}")
    if test < 3:
        raise ValueError(f"test: expected at least 3 images, got {test}")
    r = 2 * math.sin(math.pi * srcc / 6)  # Pearson's, for a bivariate normal (Pearson 1907)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(trials):
        quality, shared, own, other = rng.standard_normal((4, test))
        noise = math.sqrt(1 - r * r)
        first, second = (
            r * quality + noise * (math.sqrt(agreement) * shared + math.sqrt(1 - agreement) * e)
            for e in (own, other)
        )
        ranks = [_ranks(values) for values in (quality, first, second)]
        found.append(_correlation(ranks[1], ranks[0]) - _correlation(ranks[2], ranks[0]))
    return float(np.std(found, ddof=1))


def _noncentrality(freedom: float, alpha: float, power: float) -> float:
    """How many standard errors a difference must have, by the noncentral t distribution."""
    from scipy.special import nctdtrinc, ndtri, stdtrit

    if math.isinf(freedom):
        return float(ndtri(1 - alpha / 2) + ndtri(power))
    critical = float(stdtrit(freedom, 1 - alpha / 2))
    return float(nctdtrinc(freedom, 1 - power, critical))


def _splits() -> list[int]:
    """Numbers of splits, all small ones and then in steps of a tenth."""
    found = list(range(2, 31))
    while found[-1] < MOST_SPLITS:
        found.append(min(MOST_SPLITS, math.ceil(found[-1] * 1.1)))
    return found


def _ranks(values: FloatArray) -> FloatArray:
    return np.asarray(values.argsort().argsort() - (values.size - 1) / 2)


def _correlation(x: FloatArray, y: FloatArray) -> float:
    return float(x @ y / math.sqrt((x @ x) * (y @ y)))
