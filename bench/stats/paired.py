"""Tests of paired differences between two methods, and Holm's correction for many of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray, finite_vector
from bench.stats.split_covariance import Influence, SplitSizes, covariance_ratio

# Differences that vary by less than this, relative to the largest, do so by rounding alone.
NO_SPREAD = 1e-12


@dataclass(frozen=True)
class PairedT:
    """A t-test of paired differences, with the interval of their mean."""

    mean: float
    """Of the differences."""
    low: float
    """Lower bound of the mean difference, at `confidence`."""
    high: float
    """Upper bound of it."""
    statistic: float
    """t, with `df` degrees of freedom."""
    p_value: float
    """Two-sided."""
    df: int
    """Differences minus one."""
    confidence: float
    """Of the interval, in (0, 1)."""
    n: int
    """Number of differences."""
    correlation: float
    """Between the differences of two splits, as the test takes it; 0 for independent ones."""
    reason: str
    """Why there is no test (then NaN); empty when there is one."""


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test of paired differences."""

    statistic: float
    """The smaller of the two rank sums."""
    p_value: float
    """Two-sided."""
    n: int
    """Differences that are not 0; the others do not count."""
    smallest_p: float
    """2 / 2**n: no outcome of n differences can have a smaller exact p-value."""


def corrected_t(
    differences: npt.ArrayLike,
    sizes: SplitSizes,
    influence: Influence | None = None,
    confidence: float = 0.95,
) -> PairedT:
    """Corrected resampled t-test of (k,) differences over k random splits of one dataset.

    C. Nadeau & Y. Bengio, "Inference for the generalization error", Machine Learning 52, 2003.
    Random splits share images, so their differences are correlated and s^2 / k is too small a
    variance of the mean. This test takes s^2 / k + C, with k - 1 degrees of freedom, where C is
    the covariance of two splits: n_test / n_train s^2, and less under a label budget where the
    `influence` of images on the differences is known (`bench.stats.split_covariance`). Units of
    the mean and its interval are those of `differences`.

    All differences 0: statistic 0, p 1, interval [0, 0]. All equal but not 0 (as when the splits
    are one fixed test set): NaN with a `reason`, since repeats without spread say nothing about
    chance.
    Raises `ValueError` for NaN or infinity, k < 2 and `confidence` outside (0, 1).

    >>> result = corrected_t([.02, .01, .03, .00, .02], SplitSizes(left=80, tested=20))
    >>> round(result.statistic, 3), round(result.p_value, 3), result.df, result.correlation
    (2.092, 0.105, 4, 0.2)
    """
    d = finite_vector(differences, "differences", minimum=2)
    with np.errstate(over="ignore"):  # then the ratio does not look at it
        variance = float(d.var(ddof=1))
    return _t_test(d, covariance_ratio(variance, sizes, influence), confidence)


def paired_t(differences: npt.ArrayLike, confidence: float = 0.95) -> PairedT:
    """Student's paired t-test of (k,) independent differences.

    Over overlapping splits the differences are not independent and this finds far too many
    (`docs/statistics.md`); it is here to be compared with. Otherwise as `corrected_t`.

    >>> round(paired_t([.02, .01, .03, .00, .02]).p_value, 3)
    0.035
    """
    return _t_test(finite_vector(differences, "differences", minimum=2), 0.0, confidence)


def _t_test(d: FloatArray, ratio: float, confidence: float) -> PairedT:
    """The test with the covariance of two differences as a `ratio` to their variance."""
    from scipy.special import stdtr, stdtrit

    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    mean, df = float(d.mean()), d.size - 1
    correlation = ratio / (1 + ratio)
    if _no_spread(d):
        return _without_spread(d, confidence, correlation)
    # A power of two costs no digit, and keeps squares of tiny differences from becoming 0.
    _, exponent = math.frexp(float(np.abs(d).max()))
    scaled = np.ldexp(d, -exponent)
    error = math.sqrt((1 / d.size + ratio) * float(scaled.var(ddof=1)))
    statistic = float(scaled.mean()) / error
    p_value = 2 * float(stdtr(df, -abs(statistic)))
    half = math.ldexp(float(stdtrit(df, (1 + confidence) / 2)) * error, exponent)
    low, high = mean - half, mean + half
    return PairedT(
        mean, low, high, statistic, p_value, df, confidence, d.size, correlation, reason=""
    )


def _no_spread(d: FloatArray) -> bool:
    return bool(np.ptp(d) <= NO_SPREAD * np.abs(d).max())


def _without_spread(d: FloatArray, confidence: float, correlation: float) -> PairedT:
    facts = (d.size - 1, confidence, d.size, correlation)
    if not d.any():
        return PairedT(0.0, 0.0, 0.0, 0.0, 1.0, *facts, reason="")
    nan = math.nan
    reason = f"all {d.size} differences are equal: compare the images instead"
    return PairedT(float(d.mean()), nan, nan, nan, nan, *facts, reason)


def wilcoxon_signed_rank(differences: npt.ArrayLike) -> SignedRank:
    """Wilcoxon's signed-rank test (1945) of (k,) differences, as `scipy.stats.wilcoxon`.

    Zeros are dropped (Wilcoxon's own rule); exact where scipy can, else the normal approximation.
    All differences 0: statistic 0, p 1. It assumes independent differences, which those over
    overlapping splits are not. Raises `ValueError` for NaN or infinity and for no differences.

    >>> wilcoxon_signed_rank([.02, .01, .03, .04, .05]).p_value
    0.0625
    """
    d = finite_vector(differences, "differences")
    d = d[d != 0]
    if not d.size:
        return SignedRank(0.0, 1.0, 0, 1.0)
    from scipy import stats

    statistic, p_value = stats.wilcoxon(d)
    return SignedRank(float(statistic), float(p_value), d.size, 2.0 ** (1 - d.size))


def signed_ranks(differences: FloatArray) -> list[SignedRank]:
    """`wilcoxon_signed_rank` of each row of (m, k) differences.

    Rows without zeros and ties, for which scipy has an exact distribution, go to it together: it
    takes most of a millisecond however many there are.
    """
    sizes = np.sort(np.abs(differences), axis=1)
    plain = (sizes[:, :1] > 0).all(axis=1) & (np.diff(sizes, axis=1) > 0).all(axis=1)
    found = {int(row): wilcoxon_signed_rank(differences[row]) for row in np.flatnonzero(~plain)}
    if plain.any():
        from scipy import stats

        count = differences.shape[1]
        statistics, p_values = stats.wilcoxon(differences[plain], axis=1)
        tests = zip(np.flatnonzero(plain), statistics, p_values, strict=True)
        for row, statistic, p in tests:
            found[int(row)] = SignedRank(float(statistic), float(p), count, 2.0 ** (1 - count))
    return [found[row] for row in range(len(differences))]


def holm(pvalues: npt.ArrayLike) -> FloatArray:
    """Holm's step-down adjusted p-values of (m,) p-values, in their order.

    S. Holm, Scand. J. Statist. 6, 1979: calling significant what is at most alpha makes any false
    claim with probability at most alpha, whatever the dependence between the tests. NaN (no test
    was possible) stays NaN and does not count among the m.
    Raises `ValueError` for values outside [0, 1].

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(pvalues, dtype=np.float64)
    if p.ndim != 1:
        raise ValueError(f"pvalues: expected one dimension, got shape {p.shape}")
    outside = np.flatnonzero((p < 0) | (p > 1))
    if outside.size:
        raise ValueError(f"pvalues: {p[outside[0]]} at index {outside[0]} is not a probability")
    adjusted = np.full(p.size, math.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    # Step-down: no adjusted p-value is below that of a smaller p-value.
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return adjusted
