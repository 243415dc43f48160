"""Intervals over images: against scipy resample by resample, and against their promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bench import stats
from bench.metrics import METRICS
from bench.stats.bootstrap import draws
from bench.stats.replicates import Replicates
from bench.stats.resampled import RESAMPLED
from bench.util.errors import UsageError


def _pair(n: int, seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    quality, error = np.random.default_rng(seed).normal(size=(2, n))
    return quality + noise * error, quality


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("metric", sorted(RESAMPLED))
def test_each_resample_is_the_metric_of_the_drawn_images(metric: str, ties: bool) -> None:
    x, y = _pair(60, seed=3)
    if ties:
        x, y = np.round(x), np.round(y)
    weights = next(draws(60, 40, seed=7, size=60))
    drawn = [np.repeat(np.arange(60), row.astype(int)) for row in weights]
    if "logistic" in metric:  # the curve is that of all images
        from bench.metrics import fit_logistic4, fit_logistic5

        x = (fit_logistic4 if metric.endswith("4") else fit_logistic5)(x, y).mapped
        plain = METRICS[metric.partition("_")[0]]
    else:
        plain = METRICS[metric]
    expected = [plain(x[rows], y[rows]) for rows in drawn]
    first = _pair(60, seed=3)[0]
    first = np.round(first) if ties else first
    other = np.random.default_rng(8).normal(size=60)
    found = RESAMPLED[metric](np.array([other, first]), y)(weights.T)
    assert found[1] == pytest.approx(np.array(expected), abs=1e-6)
    alone = RESAMPLED[metric](other[None], y)(weights.T)
    assert found[0] == pytest.approx(alone[0], abs=1e-12, nan_ok=True)


def test_clusters_are_drawn_whole_and_splits_together() -> None:
    clusters = np.array([0, 0, 1, 1, 2, 2, 3, 4])
    x, y = _pair(8)
    sides = [stats.side(x[:6], y[:6], clusters[:6]), stats.side(x[2:], y[2:], clusters[2:])]
    found = stats.image_interval(sides, resamples=50, seed=4)
    expected = []
    for row in np.concatenate(list(draws(5, 50, seed=4, size=8))).astype(int):
        weights = row[clusters]
        values = []
        for part in (slice(0, 6), slice(2, 8)):
            rows = np.repeat(np.arange(8)[part], weights[part])
            with np.errstate(invalid="ignore"):
                constant = rows.size < 2 or np.ptp(x[rows]) == 0
            values.append(math.nan if constant else scipy_stats.spearmanr(x[rows], y[rows])[0])
        expected.append(np.median(values))
    missing = int(np.isnan(expected).sum())
    assert found.undefined == missing
    assert found.clusters == 5
    estimate = np.median([METRICS["srcc"](x[:6], y[:6]), METRICS["srcc"](x[2:], y[2:])])
    assert found.estimate == pytest.approx(estimate)


def test_many_clusters_give_the_plain_percentiles() -> None:
    values = np.random.default_rng(0).normal(size=4000)
    found = Replicates(0.1, values, 10**6).interval()
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(values, [0.025, 0.975])), abs=1e-4
    )
    few = Replicates(0.1, values, 8).interval()
    assert few.low < found.low < found.high < few.high
    # Hesterberg 2015: the normal probability of sqrt(n / (n - 1)) times Student's quantile.
    tail = scipy_stats.norm.cdf(math.sqrt(8 / 7) * scipy_stats.t.ppf(0.025, 7))
    assert few.low == pytest.approx(np.quantile(values, tail))


@pytest.mark.parametrize("widened", [True, False])
def test_p_value_and_interval_agree(widened: bool) -> None:
    for shift in (1.6, 1.9, 2.1, 2.4, 3.0):
        values = np.random.default_rng(1).normal(shift, 1, 20_000)
        for clusters in (6, 25, 10_000):
            found = Replicates(shift, values, clusters, widened=widened).interval()
            assert (found.p_value < 0.05) == (found.low > 0)


def test_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    quality = rng.normal(size=300)
    good, poor = quality + 0.5 * rng.normal(size=300), quality + rng.normal(size=300)
    sides = [[stats.side(one, quality)] for one in (good, poor)]
    result = stats.image_difference(*sides, seed=2)
    assert 0 < result.low < result.estimate < result.high
    assert result.p_value < 0.005
    turned = stats.image_difference(*sides[::-1], seed=2)
    assert (turned.low, turned.high) == pytest.approx((-result.high, -result.low))
    itself = stats.image_difference(sides[0], sides[0])
    assert (itself.low, itself.high) == (0, 0)
    assert itself.p_value == pytest.approx(1, abs=1e-6)


def test_suite_counts_sets_alike_and_names_each() -> None:
    rng = np.random.default_rng(1)
    sets = []
    for n in (60, 400, 80, 60, 70, 90):
        quality = rng.normal(size=n)
        good, poor = (quality + noise * rng.normal(size=n) for noise in (0.6, 0.9))
        one, two = (
            stats.image_replicates([stats.side(x, quality)], "srcc", middle="mean", seed=n)
            for x in (good, poor)
        )
        sets.append(one.minus(two))
    found = stats.suite_difference(sets)
    assert found.over_images.estimate == pytest.approx(np.mean([one.estimate for one in sets]))
    assert found.over_images.clusters == 760
    width = found.over_images.high - found.over_images.low
    alone = [one.interval(0.95) for one in sets]
    assert all(width < one.high - one.low for one in alone if one.clusters < 100)
    assert found.over_sets.high - found.over_sets.low > width
    few = stats.suite_difference(sets[:3])
    assert math.isnan(few.over_sets.low)
    assert "3 test sets are too few" in few.over_sets.reason


@pytest.mark.parametrize("metric", ["srcc", "plcc", "krcc", "rmse", "plcc_logistic4"])
def test_methods_on_the_same_images_are_drawn_together_as_each_alone(metric: str) -> None:
    quality = np.random.default_rng(0).normal(size=(2, 50))
    noise = np.random.default_rng(1).normal(size=(3, 2, 50))
    noise[1] = np.round(noise[1])
    methods = [
        [stats.side(x + q, q, np.arange(50) // 2 + at) for at, (x, q) in enumerate(pairs)]
        for pairs in (zip(own, quality, strict=True) for own in noise)
    ]
    together = stats.image_intervals(methods, metric, resamples=80, seed=3)
    for own, found in zip(methods, together, strict=True):
        alone = stats.image_interval(own, metric, resamples=80, seed=3)
        assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    with pytest.raises(ValueError, match="same images"):
        stats.image_intervals([methods[0], methods[1][::-1]], metric)


def test_what_has_no_interval_says_why() -> None:
    x, y = _pair(40)
    constant = stats.image_interval([stats.side(np.ones(40), y)], resamples=20)
    assert math.isnan(constant.low)
    assert "undefined" in constant.reason
    flat = stats.image_interval([stats.side(x, np.ones(40))], resamples=20)
    assert "undefined" in flat.reason
    one = stats.image_interval([stats.side(x, y, np.zeros(40))], resamples=20)
    assert math.isnan(one.low)
    assert one.reason.startswith("1 clusters of images are too few")
    few = stats.image_interval([stats.side([1.0, 1, 1, 1, 1, 1, 2], range(7))], resamples=400)
    # The image that differs is in none of the 7 draws of (6/7)^7 = 34 % of the resamples.
    assert few.undefined / 400 == pytest.approx(0.34, abs=0.07)
    assert "resamples are undefined" in few.reason
    single = stats.image_interval([stats.side(x, y, np.arange(40))], resamples=50)
    assert single == stats.image_interval([stats.side(x, y)], resamples=50)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(8, 40))
def test_negation_mirrors_it(seed: int, n: int) -> None:
    x, y = np.random.default_rng(seed).normal(size=(2, n))
    up, down = (
        stats.image_interval([stats.side(sign * x, y)], resamples=100, seed=seed)
        for sign in (1, -1)
    )
    assert (down.low, down.high) == pytest.approx((-up.high, -up.low), abs=1e-9)
    assert -1 <= up.low <= up.high <= 1
    assert up == stats.image_interval([stats.side(np.exp(x), y)], resamples=100, seed=seed)


def test_bad_input() -> None:
    one = stats.side([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="resamples"):
        stats.image_interval([one], resamples=0)
    with pytest.raises(ValueError, match="confidence"):
        stats.image_interval([one], confidence=1)
    with pytest.raises(ValueError, match="none given"):
        stats.image_interval([])
    with pytest.raises(UsageError, match="interval over images"):
        stats.image_interval([one], "srrc")
    with pytest.raises(ValueError, match="same images"):
        stats.image_difference([one], [stats.side([1, 2, 3], [1, 3, 2])])
    with pytest.raises(ValueError, match="clusters has shape"):
        stats.side([1, 2, 3], [1, 2, 3], [0, 1])


def test_splits_that_a_resample_misses_are_left_out_and_counted() -> None:
    """Ten splits of five of 25 contents: one in 26 resamples draws no content of some split."""
    x, y = _pair(600)
    content = np.repeat(np.arange(25), 24)
    rng = np.random.default_rng(3)
    sides = []
    for _ in range(10):
        rows = np.flatnonzero(np.isin(content, rng.permutation(25)[:5]))
        sides.append(stats.side(x[rows], y[rows], content[rows]))
    found = stats.image_interval(sides, resamples=2000)
    # Each of 25 draws misses a split of five with 0.8: (0.8)^25 = 0.0038 a split.
    assert found.undefined / 2000 == pytest.approx(10 * 0.8**25, abs=0.02)
    assert found.reason == ""
    assert found.low < found.estimate < found.high
    few = [stats.side(x[a : a + 24], y[a : a + 24], content[a : a + 24]) for a in (0, 24, 48, 72)]
    assert "4 clusters of images are too few" in stats.image_interval(few).reason
    more = [
        stats.side(x[a : a + 24], y[a : a + 24], content[a : a + 24]) for a in range(0, 240, 24)
    ]
    assert "have no image of some split" in stats.image_interval(more).reason


@pytest.mark.parametrize("by_images", [False, True])
def test_interval_of_a_mean_over_sets_is_that_of_each_splits_mean(by_images: bool) -> None:
    sets, weights = [], []
    for number, n in enumerate((60, 90)):
        x, y = _pair(2 * n, seed=number)
        sets.append([stats.side(x[:n], y[:n]), stats.side(x[n:], y[n:], np.arange(n, 2 * n))])
        weights.append(n if by_images else 1)
    found = stats.mean_interval(sets, by_images=by_images, resamples=300, seed=5)
    drawn, own = [], []
    for number, sides in enumerate(sets):
        ways = [stats.image_replicates([one], "srcc", resamples=300) for one in sides]
        own.append([one.estimate for one in ways])
        values = []
        for weight in draws(len(sides[0].quality) * 2, 300, seed=5 + number, size=90):
            parts = (weight.T[one.clusters] for one in sides)
            measures = (RESAMPLED["srcc"](one.prediction[None], one.quality) for one in sides)
            values.append([measure(part)[0] for measure, part in zip(measures, parts, strict=True)])
        drawn.append(np.concatenate(values, axis=1))
    estimate = np.median(np.average(own, axis=0, weights=weights))
    assert found.estimate == pytest.approx(estimate)
    together = np.median(np.average(drawn, axis=0, weights=weights), axis=0)
    expected = Replicates(estimate, together, 120, widened=False).interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.clusters == 120
    with pytest.raises(ValueError, match="different numbers of splits"):
        stats.mean_interval([sets[0], sets[1][:1]])


def test_only_the_median_over_parts_of_the_clusters_is_not_widened() -> None:
    x, y = _pair(60)
    clusters = np.arange(60) // 6
    halves = [stats.side(x[part], y[part], clusters[part]) for part in (slice(36), slice(24, 60))]
    whole = [stats.side(x, y, clusters)] * 2
    for sides, middle, widened in (
        (halves, "median", False),
        (halves, "mean", True),
        (whole, "median", True),
    ):
        found = stats.image_replicates(sides, "srcc", middle=middle, resamples=400)
        tail = scipy_stats.norm.cdf(math.sqrt(10 / 9) * scipy_stats.t.ppf(0.025, 9))
        low = np.nanquantile(found.values, tail if widened else 0.025)
        assert found.interval().low == pytest.approx(low)
