"""What two splits share, against formulas, the bootstrap, and the test's own promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import (
    Influence,
    SplitSizes,
    compare_over_splits,
    corrected_t,
    covariance_ratio,
    image_influence,
    image_replicates,
    influences,
    side,
)

SIZES = SplitSizes(left=80, tested=20, labelled=5)
RNG = np.random.default_rng(0)
QUALITY = RNG.standard_normal(300)
PREDICTION = QUALITY + 0.7 * RNG.standard_normal(300)


def test_the_influence_on_rmse_is_its_derivative() -> None:
    squares = (PREDICTION - QUALITY) ** 2
    root = math.sqrt(squares.mean())
    expected = (squares - squares.mean()) / (2 * squares.size * root)
    found = image_influence([side(PREDICTION, QUALITY)], "rmse").values[0]
    assert found == pytest.approx(expected, rel=0.002, abs=1e-6)


@pytest.mark.parametrize("metric", ["srcc", "plcc", "krcc"])
@pytest.mark.parametrize("cluster", [1, 6])
def test_its_variance_is_that_of_the_bootstrap(metric: str, cluster: int) -> None:
    one = side(PREDICTION, QUALITY, np.arange(300) // cluster)
    drawn = image_replicates([one], metric, resamples=500, seed=1).values
    found = image_influence([one], metric)
    # Over 500 resamples a standard deviation is known to 3 %.
    assert math.sqrt(found.variance) == pytest.approx(drawn.std(), rel=0.1)
    assert found.cluster_size == cluster


def test_covariance_is_that_of_shared_images() -> None:
    first, second = (side(PREDICTION[s], QUALITY[s], np.arange(300)[s]) for s in HALVES)
    assert image_influence([first, second]).covariance == pytest.approx(0, abs=1e-15)
    twice = image_influence([first, first])
    assert twice.covariance == pytest.approx(twice.variance)
    assert image_influence([first]).covariance == 0


HALVES = (slice(0, 150), slice(150, 300))


def test_more_clusters_than_units_keep_the_variance() -> None:
    rng = np.random.default_rng(2)
    quality = rng.standard_normal(2000)
    prediction = quality + 0.7 * rng.standard_normal(2000)
    together = image_influence([side(prediction, quality)], "plcc")
    assert together.values.shape == (1, 400)
    r = np.corrcoef(prediction, quality)[0, 1]
    # (1 - r^2)^2 / n is the variance of Pearson's r on normal values.
    assert together.variance == pytest.approx((1 - r**2) ** 2 / 2000, rel=0.2)


def test_the_ratio_by_hand() -> None:
    values = np.array([[3, 4, 0], [3, 0, 4]]) * 1e-3
    # T = 25e-6, c = 9e-6, phi = 0.05, s^2 = 1e-4: V = 84e-6 / 0.95, C = 9e-6 + 0.05 V.
    expected = (9e-6 + 0.05 * 84e-6 / 0.95) / 1e-4
    assert covariance_ratio(1e-4, SIZES, Influence(values, 1)) == pytest.approx(expected)
    # More testing variance than variance: no training in it.
    assert covariance_ratio(4e-5, SIZES, Influence(values * 1.5, 1)) == pytest.approx(0.25)


@given(st.floats(1e-9, 1), st.integers(0, 100), st.integers(2, 12), st.floats(1e-4, 1))
def test_never_above_nadeau_and_bengio(s2: float, seed: int, k: int, scale: float) -> None:
    values = scale * np.random.default_rng(seed).standard_normal((k, 30))
    found = Influence(values, 1.0)
    assert 0 <= covariance_ratio(s2, SIZES, found) <= 0.25
    for whole in (SplitSizes(80, 20), SplitSizes(80, 20, 20), SplitSizes(80, 20, 80)):
        assert covariance_ratio(s2, whole, found) == 0.25
    # Nothing was learnt, so all of it is testing.
    assert covariance_ratio(s2, SplitSizes(80, 20, 0), found) == 0.25


def test_what_is_not_known_counts_as_the_most() -> None:
    values = np.full((3, 4), 1e-3)
    assert covariance_ratio(1e-4, SIZES) == 0.25
    assert covariance_ratio(1e-4, SIZES, Influence(values * math.nan, 1)) == 0.25
    assert covariance_ratio(math.inf, SIZES, Influence(values, 1)) == 0.25
    # 5 images of 10 references of ten touch four of ten: more than test sides share.
    assert not SIZES.budgeted(cluster_size=10)
    assert covariance_ratio(1e-4, SIZES, Influence(values * 0, 10)) == 0.25
    with pytest.raises(ValueError, match="labelled: expected at least 0, got -1"):
        SplitSizes(80, 20, -1)


def test_the_share_of_training_by_simulation() -> None:
    sizes, rng = SplitSizes(240, 60, 12), np.random.default_rng(0)
    chosen = []
    for _ in range(400):
        references = rng.permutation(30)[:24]
        images = (references[:, None] * 10 + np.arange(10)).ravel()
        chosen.append(set(rng.permutation(images)[:12] // 10))
    shared = [len(a & b) / len(a) for a, b in zip(chosen[::2], chosen[1::2], strict=True)]
    assert sizes.training_share(cluster_size=10) == pytest.approx(np.mean(shared), abs=0.03)


def test_a_smaller_covariance_makes_the_interval_narrower() -> None:
    d = [0.02, 0.01, 0.03, 0.00, 0.02]
    known = Influence(np.full((5, 4), 1e-4), 1.0)
    plain, informed = corrected_t(d, SIZES), corrected_t(d, SIZES, known)
    assert plain.correlation == pytest.approx(0.2)
    assert informed.correlation < 0.06
    assert plain.low < informed.low < informed.high < plain.high
    assert informed.p_value < plain.p_value
    scores = {"a": np.array(d), "b": np.zeros(5), "c": np.ones(5)}
    found = {"a": known, "b": Influence(0 * known.values, 1.0)}
    pairs = compare_over_splits(scores, SIZES, influences=found)
    assert pairs[0].corrected == informed
    assert pairs[1].corrected.correlation == pytest.approx(0.2)  # nothing is known of c


def test_methods_with_scores_of_other_images_are_not_put_together() -> None:
    one, other = (side(PREDICTION[s], QUALITY[s]) for s in HALVES)
    assert influences({"a": [one], "b": [other]}, "srcc") == {}
    assert set(influences({"a": [one], "b": [one]}, "srcc")) == {"a", "b"}
