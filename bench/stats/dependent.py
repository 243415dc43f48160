"""Two methods' errors on the same images: tests that know that the errors depend on each other.

ITU-T P.1401 (01/2020), 7.6.4, compares two RMSE by an F test of the ratio of their squares. The F
test assumes independent errors; two methods that judge the same pictures share the raters' noise
and the hard images, and their errors correlate. It then finds far too little. Pitman and Morgan's
test (1939) is exact for correlated normal errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray, finite_vector
from bench.stats.paired import paired_t


@dataclass(frozen=True)
class DependentTest:
    """A test of two methods on the same images."""

    statistic: float
    p_value: float
    """Two-sided."""
    n: int
    reason: str = ""
    """Why there is no test (then NaN); empty when there is one."""


def pitman_morgan(first: npt.ArrayLike, second: npt.ArrayLike) -> DependentTest:
    """Are the mean squares of two methods' (n,) errors on the same images equal?

    E. J. G. Pitman, Biometrika 31, 1939; W. A. Morgan, ibid.: equal variances mean that sum and
    difference of the errors are uncorrelated, and the test is that of this correlation, Student's t
    with n - 1 degrees of freedom. Errors are not centred, since the RMSE is not either. Positive
    statistic: `first` has the larger errors. All equal: statistic 0, p 1. NaN with a reason where
    the sums or the differences are all zero otherwise.

    Raises `ValueError` for NaN or infinity, different lengths and n < 3.

    >>> result = pitman_morgan([1, -1, 2, -2, 1], [0.5, -1, 1, -1.5, 0.5])
    >>> round(result.statistic, 3), round(result.p_value, 4)
    (3.467, 0.0257)
    """
    one, other = _errors(first, second)
    total, difference = one + other, one - other
    if not difference.any():
        return DependentTest(0.0, 1.0, one.size)
    power = float(total @ total) * float(difference @ difference)
    if power == 0:
        return DependentTest(math.nan, math.nan, one.size, "one side has no errors at all")
    # Rounding may carry it beyond 1, where the statistic is not defined.
    r = min(1.0, max(-1.0, float(total @ difference) / math.sqrt(power)))
    return _correlation_test(r, one.size)


def squared_errors(first: npt.ArrayLike, second: npt.ArrayLike) -> DependentTest:
    """The same question for errors that are far from normal, as the epsilon-insensitive ones of
    P.1401, 7.7, of which most are 0: Student's t of the differences of squares, (n,) each.

    >>> result = squared_errors([0, 0, 1, 2, 0, 1], [0, 0, 0.5, 1, 0, 0.5])
    >>> round(result.p_value, 3)
    0.175
    """
    one, other = _errors(first, second)
    found = paired_t(one**2 - other**2)
    reason = "all differences are equal" if found.reason else ""
    return DependentTest(found.statistic, found.p_value, one.size, reason)


def outlier_ratios(
    first: npt.ArrayLike, second: npt.ArrayLike
) -> tuple[DependentTest, DependentTest]:
    """P.1401's test of two outlier ratios, and McNemar's, of (n,) outlier flags on the same images.

    P.1401, 7.6.2: z = (p1 - p2) / sqrt(2 p (1 - p) / n) with the mean p of both, which assumes
    independent methods. McNemar (Psychometrika 12, 1947), exact: of the images that are an outlier
    of one method alone, is half each method's? Positive: `first` has more outliers.

    >>> z, exact = outlier_ratios([1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0])
    >>> round(z.statistic, 4), exact.p_value
    (1.6181, 0.25)
    """
    one, other = (np.asarray(flags, dtype=bool) for flags in (first, second))
    if one.shape != other.shape or one.ndim != 1 or one.size < 1:
        raise ValueError(f"outliers of shapes {one.shape} and {other.shape}")
    mean = (one.mean() + other.mean()) / 2
    error = math.sqrt(2 * mean * (1 - mean) / one.size)
    z = float(one.mean() - other.mean()) / error if error else 0.0
    from scipy.special import bdtr, ndtr

    # Images on which both agree say nothing about a difference.
    alone, against = int((one & ~other).sum()), int((other & ~one).sum())
    total = alone + against
    exact = min(1.0, 2 * float(bdtr(min(alone, against), total, 0.5))) if total else 1.0
    return (
        DependentTest(z, 2 * float(ndtr(-abs(z))), one.size),
        DependentTest(float(alone - against), exact, one.size),
    )


def _errors(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    one = finite_vector(first, "first", minimum=3)
    other = finite_vector(second, "second", minimum=3)
    if one.size != other.size:
        raise ValueError(f"first has {one.size} errors, second {other.size}")
    return one, other


def _correlation_test(r: float, n: int) -> DependentTest:
    from scipy.special import stdtr

    if abs(r) == 1:
        return DependentTest(math.copysign(math.inf, r), 0.0, n)
    statistic = r * math.sqrt((n - 1) / (1 - r * r))
    return DependentTest(statistic, 2 * float(stdtr(n - 1, -abs(statistic))), n)
