"""Metrics that know the raters' uncertainty, against hand calculation and independent formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score

from bench.metrics import METRICS, USUAL, Known, compute, fit_logistic4, krasula, logistic4
from bench.metrics.false_ranking import VIEWERS, equivalent_viewers, false_ranking_rate
from bench.metrics.krasula import krasula_difference
from bench.metrics.p1401 import confidence_half_width, epsilon_errors


def _data(n: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Known]:
    rng = np.random.default_rng(seed)
    quality = np.clip(rng.normal(3, 0.8, n), 1, 5)
    prediction = quality + rng.normal(0, 0.5, n)
    std, raters = rng.uniform(0.5, 0.9, n), rng.integers(10, 40, n).astype(float)
    return prediction, quality, Known(std, raters, five_levels=True)


def test_confidence_interval_is_students() -> None:
    # 24 ratings of deviation 0.8: t(0.975, 23) = 2.0687, times 0.8 / sqrt(24).
    assert confidence_half_width([0.8], [24]) == pytest.approx([2.0687 * 0.8 / 24**0.5], abs=1e-4)
    assert math.isnan(confidence_half_width([0.8], [1])[0])
    low, high = scipy_stats.t.interval(0.95, 9, 0, 0.6 / 10**0.5)
    assert confidence_half_width([0.6], [10])[0] == pytest.approx(high)
    assert low == pytest.approx(-high)


def test_outliers_and_epsilon_errors_by_hand() -> None:
    # Half width of every interval: 2.0687 * 0.8 / sqrt(24) = 0.3378.
    errors = epsilon_errors([1.0, 2.0, 3.0, 4.0], [1.2, 2.5, 3.0, 3.2], [0.8] * 4, [24] * 4)
    assert errors == pytest.approx([0, 0.5 - 0.3378, 0, 0.8 - 0.3378], abs=1e-4)


def test_table_values_are_those_after_the_mapping() -> None:
    prediction, quality, known = _data()
    mapped = fit_logistic4(prediction, quality).mapped
    student = scipy_stats.t.ppf(0.975, known.raters - 1)
    quantile = np.where(known.raters < 30, student, scipy_stats.norm.ppf(0.975))
    width = quantile * known.std / np.sqrt(known.raters)
    beyond = np.maximum(0, np.abs(mapped - quality) - width)
    found = compute(["or", "rmse_eps"], prediction, quality, known=known)
    assert found["or"] == pytest.approx(np.mean(np.abs(mapped - quality) > width))
    assert found["rmse_eps"] == pytest.approx(math.sqrt((beyond**2).sum() / (len(beyond) - 4)))
    assert 0 < found["or"] < 1


def test_mapping_on_validation_images_is_that_curve() -> None:
    prediction, quality, known = _data()
    other, labels, _ = _data(60, seed=1)
    known = Known(known.std, known.raters, validation=(other, labels))
    curve = logistic4(prediction, *fit_logistic4(other, labels).params)
    found = compute(["plcc_logistic4_val", "rmse_logistic4_val"], prediction, quality, known=known)
    assert found["plcc_logistic4_val"] == pytest.approx(np.corrcoef(curve, quality)[0, 1])
    assert found["rmse_logistic4_val"] == pytest.approx(np.sqrt(np.mean((curve - quality) ** 2)))
    # A curve that was fitted on the test images cannot have the larger error.
    assert (
        found["rmse_logistic4_val"]
        >= compute(["rmse_logistic4"], prediction, quality)["rmse_logistic4"]
    )
    falling = Known(validation=(-other, labels))
    assert METRICS["plcc_logistic4_val"](-prediction, quality, falling) < 0


def test_areas_are_those_of_sklearn() -> None:
    prediction, quality, known = _data(40)
    pairs = np.array(list(itertools.combinations(range(40), 2)))
    first, second = pairs.T
    error = np.sqrt(
        known.std[first] ** 2 / known.raters[first] + known.std[second] ** 2 / known.raters[second]
    )
    differs = np.abs(quality[first] - quality[second]) / error > scipy_stats.norm.ppf(0.975)
    delta = prediction[first] - prediction[second]
    found = compute(["auc_ds", "auc_bw"], prediction, quality, known=known)
    assert found["auc_ds"] == pytest.approx(roc_auc_score(differs, np.abs(delta)))
    better = (quality[first] > quality[second])[differs]
    signs = np.concatenate([better, ~better])
    both = np.concatenate([delta[differs], -delta[differs]])
    assert found["auc_bw"] == pytest.approx(roc_auc_score(signs, both))


def test_difference_of_areas_agrees_with_a_bootstrap_over_images() -> None:
    prediction, quality, known = _data(120)
    rng = np.random.default_rng(5)
    other = quality + rng.normal(0, 0.9, 120)
    found = krasula_difference(prediction, other, quality, known.std, known.raters)
    one, two = (krasula(x, quality, known.std, known.raters) for x in (prediction, other))
    assert found[0].difference == pytest.approx(
        one.auc_different_similar - two.auc_different_similar
    )
    assert found[1].difference == pytest.approx(one.auc_better_worse - two.auc_better_worse)
    draws = []
    for _ in range(150):
        rows = rng.integers(0, 120, 120)
        known_rows = (quality[rows], known.std[rows], known.raters[rows])
        pair = [krasula(x[rows], *known_rows) for x in (prediction, other)]
        draws.append(
            [
                pair[0].auc_different_similar - pair[1].auc_different_similar,
                pair[0].auc_better_worse - pair[1].auc_better_worse,
            ]
        )
    spread = np.std(draws, axis=0)
    for area, deviation in zip(found, spread, strict=True):
        assert area.error == pytest.approx(deviation, rel=0.25)
    same = krasula_difference(prediction, prediction, quality, known.std, known.raters)
    assert [area.p_value for area in same] == [1.0, 1.0]


def test_false_rankings_by_hand() -> None:
    # Pairs that differ by more than 0.5: (1, 2), (1, 4), (1, 2.4), (2, 4), (2.4, 4): of these the
    # predictions turn (2, 4) and (2.4, 4) round; (2, 2.4) is not asked.
    quality, prediction = [1.0, 2.0, 4.0, 2.4], [0.1, 0.9, 0.8, 0.85]
    assert false_ranking_rate(prediction, quality) == pytest.approx(2 / 6)
    assert equivalent_viewers(prediction, quality) == 0
    known = Known(five_levels=True)
    assert METRICS["frr"](prediction, quality, known=known) == pytest.approx(2 / 6)
    assert math.isnan(METRICS["frr"](prediction, quality))
    assert false_ranking_rate([1, 1, 1, 1], quality) == 0
    assert math.isnan(equivalent_viewers([1, 1, 1, 1], quality))


@pytest.mark.parametrize(("rate", "viewers"), VIEWERS)
def test_equivalent_viewers_are_those_of_ntias_table(
    rate: float, viewers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.metrics import false_ranking

    for shift, wanted in ((0.0, viewers), (1e-6, None)):
        monkeypatch.setattr(false_ranking, "false_ranking_rate", lambda *_, s=shift: rate + s)
        found = equivalent_viewers([1, 2, 3], [1, 2, 3])
        assert found == wanted if wanted is not None else found < viewers


def test_without_what_they_need_metrics_are_undefined() -> None:
    prediction, quality, known = _data()
    needy = [name for name, metric in METRICS.items() if metric.needs]
    assert set(USUAL) | set(needy) == set(METRICS)
    assert all(math.isnan(value) for value in compute(needy, prediction, quality).values())
    single = Known(np.zeros(80), np.ones(80))  # one rating an image has no spread
    assert math.isnan(METRICS["auc_bw"](prediction, quality, single))
    unknown = Known(np.full(80, np.nan), known.raters)
    assert math.isnan(METRICS["or"](prediction, quality, unknown))


def test_constant_predictions_have_a_stated_answer() -> None:
    _, quality, known = _data()
    flat = np.ones(80)
    values = compute(
        ["auc_ds", "auc_bw", "or", "rmse_eps", "frr", "viewers"], flat, quality, known=known
    )
    assert (values["auc_ds"], values["auc_bw"], values["frr"]) == (0.5, 0.5, 0)
    assert all(math.isnan(values[name]) for name in ("or", "rmse_eps", "viewers"))
