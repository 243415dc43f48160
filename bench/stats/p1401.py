"""ITU-T P.1401's own tests of two models (01/2020, 7.6.1, 7.6.4, 7.7).

They take the models for independent, as if each had been tested on images of its own. Two models
that judge the same images share the hard ones and the raters' noise, and these tests then find too
little; that of RMSE* finds too much, since its errors are mostly 0 and far from normal
(`docs/statistics.md` measures both). They are here because the recommendation asks for them;
`bench.stats.dependent` has tests that know of the dependence, and `outlier_ratios` there both
tests of outlier ratios (7.6.2).
"""

from __future__ import annotations

import math

from bench.stats.dependent import DependentTest


def correlations(first: float, second: float, n: int) -> DependentTest:
    """Are two Pearson correlations over `n` images each equal? P.1401, 7.6.1.

    Fisher's z = atanh(r) has the variance 1 / (n - 3), so that (z1 - z2) / sqrt(2 / (n - 3)) is
    standard normal. Two-sided. NaN with a reason for n < 4, a correlation that is undefined, and
    two perfect ones. Raises `ValueError` for a correlation outside [-1, 1].

    >>> found = correlations(0.9, 0.8, 103)  # (1.4722 - 1.0986) / sqrt(2 / 100)
    >>> round(found.statistic, 3), round(found.p_value, 4)
    (2.642, 0.0082)
    """
    for value in (first, second):
        if abs(value) > 1:
            raise ValueError(f"{value} is not a correlation")
    if n < 4 or math.isnan(first) or math.isnan(second):
        return _none(n, "fewer than four images, or an undefined correlation")
    if first == second:
        return DependentTest(0.0, 1.0, n)
    z = [math.copysign(math.inf, r) if abs(r) == 1 else math.atanh(r) for r in (first, second)]
    return _normal((z[0] - z[1]) / math.sqrt(2 / (n - 3)), n)


def rmse_ratio(first: float, second: float, n: int, freedom: int) -> DependentTest:
    """Are two RMSE over `n` images each equal? P.1401, 7.6.4; for two RMSE* 7.7.

    F = (larger / smaller)^2 with n - `freedom` degrees of freedom on both sides, `freedom` being
    those that the mapping has taken. The recommendation compares F with its 95 % quantile; as the
    larger one always stands above, that is a test at 10 %, and the p-value here is two-sided.
    Statistic: (first / second)^2. NaN with a reason where an RMSE is undefined or 0, or no freedom
    is left.

    >>> found = rmse_ratio(0.6, 0.5, 104, 4)  # F(100, 100) = 1.44
    >>> round(found.statistic, 2), round(found.p_value, 3)
    (1.44, 0.07)
    """
    if n <= freedom or not (first > 0 and second > 0):
        return _none(n, "an error of 0 or undefined, or no degree of freedom left")
    from scipy.special import fdtrc

    if first == second:
        return DependentTest(1.0, 1.0, n)
    ratio = (first / second) ** 2
    left = n - freedom
    return DependentTest(ratio, 2 * float(fdtrc(left, left, max(ratio, 1 / ratio))), n)


def _normal(statistic: float, n: int) -> DependentTest:
    from scipy.special import ndtr

    return DependentTest(statistic, 2 * float(ndtr(-abs(statistic))), n)


def _none(n: int, reason: str) -> DependentTest:
    return DependentTest(math.nan, math.nan, n, reason)
