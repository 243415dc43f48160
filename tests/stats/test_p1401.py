"""ITU-T P.1401 (01/2020) by hand: every number below is worked out from its formulas on paper.

7.4: ci95 = q s / sqrt(M), q = t(0.975, M - 1) below 30 ratings and 1.96 from there on (Appendix
III). 7.5.2.2: an outlier has |error| > ci95. 7-27: Perror = max(0, |MOS - MOSp| - ci95). 7-29:
rmse* = sqrt(sum(Perror^2) / (N - d)), d = 4 for a mapping of four coefficients. 7.6.1: Fisher's
z with variance 1 / (N - 3). 7.6.2: sigma^2 = p (1 - p) (1 / N1 + 1 / N2) with the mean p. 7.6.4:
F = (rmse_max / rmse_min)^2 with N - d degrees of freedom each. Quantiles are those of printed
tables.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.metrics import Known
from bench.metrics.p1401 import (
    FREEDOM,
    confidence_half_width,
    epsilon_errors,
    outlier_ratio,
    rmse_epsilon,
)
from bench.stats.dependent import outlier_ratios
from bench.stats.p1401 import correlations, rmse_ratio

MOS = np.array([1.0, 2.0, 3.0, 4.0, 4.5, 2.5])
MAPPED = np.array([1.2, 2.5, 3.0, 3.2, 4.6, 2.1])
"""Errors 0.2, 0.5, 0, 0.8, 0.1, 0.4."""
KNOWN = Known(np.full(6, 0.8), np.full(6, 16.0))
"""ci95 = 2.131 * 0.8 / 4 = 0.4262 for 16 ratings."""


def _as_they_are(prediction: object, quality: object, known: Known) -> np.ndarray:
    return np.asarray(prediction, float)


@pytest.mark.parametrize(
    ("ratings", "quantile"),
    [(2, 12.706), (16, 2.131), (29, 2.048), (30, 1.960), (100, 1.960)],
)
def test_confidence_intervals_take_students_quantile_below_30_ratings(
    ratings: int, quantile: float
) -> None:
    width = confidence_half_width([0.8], [ratings])[0]
    assert width == pytest.approx(quantile * 0.8 / math.sqrt(ratings), rel=3e-4)


def test_outlier_ratio_and_rmse_star() -> None:
    assert epsilon_errors(MAPPED, MOS, KNOWN.std, KNOWN.raters) == pytest.approx(
        [0, 0.0738, 0, 0.3738, 0, 0], abs=1e-4
    )
    assert outlier_ratio(MAPPED, MOS, KNOWN, _as_they_are) == pytest.approx(2 / 6)
    # (0.0738^2 + 0.3738^2) / (6 - 4) = 0.072588
    found = rmse_epsilon(MAPPED, MOS, KNOWN, _as_they_are)
    assert found == pytest.approx(math.sqrt(0.072588), abs=2e-4)
    # On validation images the curve takes no freedom off: / 6.
    validated = rmse_epsilon(MAPPED, MOS, KNOWN, _as_they_are, freedom=0)
    assert validated == pytest.approx(math.sqrt(0.145176 / 6), abs=2e-4)
    four = rmse_epsilon(MAPPED[:4], MOS[:4], KNOWN.of([0, 1, 2, 3]), _as_they_are)
    assert FREEDOM == 4
    assert math.isnan(four)


def test_correlations_by_fishers_z() -> None:
    found = correlations(0.95, 0.90, 53)
    # z = 1.8318 and 1.4722, sigma = sqrt(2 / 50) = 0.2.
    assert found.statistic == pytest.approx(1.798, abs=1e-3)
    assert found.p_value == pytest.approx(2 * (1 - 0.9639), abs=1e-3)
    assert correlations(0.5, 0.5, 20).p_value == 1
    assert correlations(1.0, 0.5, 20).p_value == 0
    for r, n in ((math.nan, 20), (0.4, 3)):
        assert "fewer than four images, or an undefined" in correlations(r, 0.5, n).reason
    with pytest.raises(ValueError, match="not a correlation"):
        correlations(1.2, 0.5, 20)


def test_outlier_ratios_by_the_pooled_share() -> None:
    first, second = np.arange(120) < 36, np.arange(120) < 24
    z, _ = outlier_ratios(first, second)
    # p = 0.25; sigma = sqrt(0.25 * 0.75 * 2 / 120) = 0.0559; z = 0.1 / 0.0559.
    assert z.statistic == pytest.approx(1.789, abs=1e-3)
    assert z.p_value == pytest.approx(0.0736, abs=1e-4)


def test_rmse_ratio_is_f_with_what_freedom_the_mapping_leaves() -> None:
    found = rmse_ratio(0.55, 0.5, 124, FREEDOM)
    assert found.statistic == pytest.approx(1.21)
    # F(0.95; 120, 120) = 1.35 in printed tables: 1.35 stands at 10 % two-sided.
    at_ten_percent = rmse_ratio(math.sqrt(1.3519), 1.0, 124, FREEDOM)
    assert at_ten_percent.p_value == pytest.approx(0.10, abs=1e-3)
    assert found.p_value == pytest.approx(2 * scipy_stats.f.sf(1.21, 120, 120))
    assert rmse_ratio(0.5, 0.55, 124, FREEDOM).p_value == pytest.approx(found.p_value)
    assert rmse_ratio(0.5, 0.5, 124, FREEDOM).p_value == 1
    for first, n in ((0.0, 124), (math.nan, 124), (0.5, 4)):
        assert "degree of freedom" in rmse_ratio(first, 0.5, n, FREEDOM).reason
