"""Tests of two methods' errors on the same images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.stats.dependent import outlier_ratios, pitman_morgan, squared_errors


def test_pitman_morgan_is_the_correlation_of_sum_and_difference() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 50))
    first, second = first - first.mean(), 1.4 * (second - second.mean())
    found = pitman_morgan(first, second)
    # Of centred errors it is Pearson's test, with one more degree of freedom: none was estimated.
    r = scipy_stats.pearsonr(first + second, first - second)[0]
    t = r * math.sqrt(49 / (1 - r * r))
    assert found.statistic == pytest.approx(t)
    assert found.p_value == pytest.approx(2 * scipy_stats.t.sf(abs(t), 49))
    assert found.statistic < 0
    assert pitman_morgan(second, first).p_value == found.p_value


def test_the_f_test_misses_what_pitman_morgan_finds() -> None:
    rng = np.random.default_rng(1)
    shared, own, other = rng.normal(size=(3, 400))
    first, second = shared + 0.2 * own, shared + 0.5 * other
    ratio = float(second @ second) / float(first @ first)
    f_p = 2 * scipy_stats.f.sf(ratio, 399, 399)
    assert f_p > 0.05
    assert pitman_morgan(first, second).p_value < 0.01


def test_outliers_by_hand() -> None:
    first = np.array([1] * 30 + [0] * 70)
    second = np.array([1] * 18 + [0] * 82)
    z, exact = outlier_ratios(first, second)
    # p = 0.24; z = 0.12 / sqrt(0.24 * 0.76 * 2 / 100).
    assert z.statistic == pytest.approx(0.12 / math.sqrt(0.24 * 0.76 * 0.02))
    assert z.p_value == pytest.approx(2 * scipy_stats.norm.sf(z.statistic))
    # Twelve images are outliers of the first alone, none of the second.
    assert exact.p_value == pytest.approx(scipy_stats.binomtest(12, 12, 0.5).pvalue)
    assert outlier_ratios([0, 0, 1], [0, 0, 1])[1].p_value == 1


def test_squared_errors_is_students_test_of_squares() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 40)) ** 2
    expected = scipy_stats.ttest_rel(first**2, second**2)
    found = squared_errors(first, second)
    assert (found.statistic, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))


def test_bad_input_has_a_stated_answer() -> None:
    same = pitman_morgan([1, 2, 3], [1, 2, 3])
    assert (same.statistic, same.p_value) == (0, 1)
    assert "no errors" in pitman_morgan([1, 2, 3], [-1, -2, -3]).reason
    assert pitman_morgan([2, 4, 6], [1, 2, 3]).p_value == 0
    with pytest.raises(ValueError, match="first has 3 errors, second 4"):
        pitman_morgan([1, 2, 3], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="shapes"):
        outlier_ratios([1, 0], [1])
