"""Metrics against scipy, against hand calculation, and against what they claim to be blind to."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from bench import metrics
from bench.metrics import METRICS, compute, fit_logistic4, fit_logistic5, krasula, krcc, plcc, srcc
from bench.metrics.projection import Projected
from bench.util.errors import UsageError

Floats = npt.NDArray[np.float64]
Function = Callable[[npt.ArrayLike, npt.ArrayLike], float]
CORRELATIONS = [metric for metric in METRICS.values() if metric.upper == 1.0]
FITS = [fit_logistic4, fit_logistic5]


def random_pair(seed: int, n: int, ties: bool = False) -> tuple[Floats, Floats]:
    """A predictor of middling quality; with `ties`, on a coarse scale."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(50, 15, n)
    prediction = quality / 100 + rng.normal(0, 0.15, n)
    return (np.round(prediction, 1), np.round(quality, -1)) if ties else (prediction, quality)


def saturating_pair(seed: int, n: int) -> tuple[Floats, Floats]:
    """Predictions that human scores follow along a curve."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, 50 + 20 * np.tanh(1.5 * (x - 0.5)) + rng.normal(0, 5, n)


@st.composite
def pairs(draw: st.DrawFn, unit: float = 1.0) -> tuple[Floats, Floats]:
    """Integer-valued pairs of one length: ties and constants come up, rounding does not."""
    n = draw(st.integers(3, 30))
    values = st.lists(st.integers(-50, 50), min_size=n, max_size=n)
    return np.array(draw(values)) * unit, np.array(draw(values)) * unit


def same(first: float, second: float, tolerance: float = 1e-9) -> bool:
    """Equal, where undefined equals undefined."""
    return (math.isnan(first) and math.isnan(second)) or abs(first - second) <= tolerance


class TestAgainstScipy:
    @pytest.mark.parametrize("ties", [False, True])
    @pytest.mark.parametrize("n", [3, 10, 500])
    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            (srcc, lambda p, q: stats.spearmanr(p, q)[0]),
            (plcc, lambda p, q: stats.pearsonr(p, q)[0]),
            (krcc, lambda p, q: stats.kendalltau(p, q)[0]),
        ],
    )
    def test_equals(self, ours: Function, theirs: Function, n: int, ties: bool) -> None:
        prediction, quality = random_pair(n, n, ties)
        assert ours(prediction, quality) == pytest.approx(theirs(prediction, quality), abs=1e-12)

    def test_rmse_by_hand(self) -> None:
        assert metrics.rmse([0, 0, 0, 0], [1, -1, 3, -3]) == pytest.approx(math.sqrt(5))

    def test_kendall_by_hand_with_a_tie(self) -> None:
        # Five comparable pairs, all concordant; one tie in the prediction: 5 / sqrt(5 * 6).
        assert krcc([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(5 / math.sqrt(30))


class TestProperties:
    @given(pairs())
    def test_bounds(self, pair: tuple[Floats, Floats]) -> None:
        for function in (srcc, plcc, krcc):
            value = function(*pair)
            assert math.isnan(value) or -1 <= value <= 1

    @given(pairs())
    def test_nan_exactly_for_a_constant_side(self, pair: tuple[Floats, Floats]) -> None:
        constant = any(np.ptp(side) == 0 for side in pair)
        for function in (srcc, plcc, krcc):
            assert math.isnan(function(*pair)) == constant

    @given(pairs())
    def test_negation_turns_the_sign(self, pair: tuple[Floats, Floats]) -> None:
        for function in (srcc, plcc, krcc):
            assert same(function(-pair[0], pair[1]), -function(*pair))

    @given(pairs())
    def test_symmetric_in_its_sides(self, pair: tuple[Floats, Floats]) -> None:
        for function in (srcc, plcc, krcc, metrics.rmse):
            assert same(function(*pair), function(pair[1], pair[0]))

    @given(pairs())
    def test_order_of_images_is_of_no_account(self, pair: tuple[Floats, Floats]) -> None:
        for function in (srcc, plcc, krcc, metrics.rmse):
            assert same(function(pair[0][::-1], pair[1][::-1]), function(*pair))

    @given(pairs())
    def test_ranks_are_blind_to_increasing_maps(self, pair: tuple[Floats, Floats]) -> None:
        for function in (srcc, krcc):
            assert same(function(np.exp(pair[0] / 10), pair[1] ** 3), function(*pair))

    @given(pairs(), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
    def test_plcc_is_blind_to_scale_and_offset(
        self, pair: tuple[Floats, Floats], scale: float, offset: float
    ) -> None:
        assert same(plcc(scale * pair[0] + offset, pair[1]), plcc(*pair), 1e-7)

    def test_plcc_survives_the_ends_of_the_float_range(self) -> None:
        prediction, quality = random_pair(0, 20)
        assert plcc(1e300 * prediction, 1e-300 * quality) == pytest.approx(
            plcc(prediction, quality)
        )

    def test_spread_by_rounding_alone_is_a_constant_for_plcc(self) -> None:
        assert math.isnan(plcc(1 + np.arange(5) * 1e-15, range(5)))


class TestInput:
    @pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
    def test_bad_values_are_counted_and_located(self, metric: metrics.Metric) -> None:
        bad = [1.0, math.nan, math.inf, 4.0]
        with pytest.raises(ValueError, match=r"prediction: 2 of 4 .* the first at index 1"):
            metric(bad, [1, 2, 3, 4])
        with pytest.raises(ValueError, match=r"quality: 2 of 4 .* the first at index 1"):
            metric([1, 2, 3, 4], bad)

    @pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
    def test_lengths_and_shapes(self, metric: metrics.Metric) -> None:
        with pytest.raises(ValueError, match="prediction has 4 values, quality 3"):
            metric([1, 2, 3, 4], [1, 2, 3])
        with pytest.raises(ValueError, match="at least 3 images, got 2"):
            metric([1, 2], [1, 2])
        with pytest.raises(ValueError, match="one dimension"):
            metric([[1, 2, 3]], [[1, 2, 3]])


class TestRegistry:
    def test_names(self) -> None:
        expected = {"srcc", "plcc", "krcc", "rmse"}
        fitted = {f"{name}_logistic{k}" for name in ("plcc", "rmse") for k in (4, 5)}
        assert set(metrics.USUAL) == expected | fitted
        validated = {f"{name}_val" for name in (*fitted, "or", "rmse_eps")}
        rated = {"auc_ds", "auc_bw", "or", "rmse_eps", "frr", "viewers"}
        assert set(METRICS) == expected | fitted | validated | rated
        assert all(name == metric.name for name, metric in METRICS.items())

    @pytest.mark.parametrize("name", metrics.USUAL)
    def test_perfect_beats_poor_within_bounds(self, name: str) -> None:
        metric = METRICS[name]
        prediction, quality = random_pair(1, 60)
        best, poor = metric(quality, quality), metric(prediction, quality)
        assert metric.lower <= best <= metric.upper
        assert metric.lower <= poor <= metric.upper
        assert (best > poor) == metric.higher_is_better

    def test_compute_keeps_the_order_and_names_the_unknown(self) -> None:
        pair = random_pair(2, 30)
        assert list(compute(["krcc", "srcc"], *pair)) == ["krcc", "srcc"]
        with pytest.raises(UsageError, match="Did you mean 'srcc'"):
            compute(["srocc"], *pair)


class TestLogistic:
    @pytest.mark.parametrize("fit", FITS)
    @pytest.mark.parametrize("seed", range(5))
    def test_at_least_as_good_as_scipy_from_the_usual_start(
        self, fit: Callable[..., metrics.LogisticFit], seed: int
    ) -> None:
        x, y = saturating_pair(seed, 300)
        four = fit is fit_logistic4
        start = (
            [y.max(), y.min(), x.mean(), x.std() / 4] if four else [10, 1, x.mean(), 0.1, y.mean()]
        )
        curve = metrics.logistic4 if four else metrics.logistic5
        found, _ = optimize.curve_fit(curve, x, y, p0=start, maxfev=50_000)
        ours = fit(x, y)
        theirs = np.sum((curve(x, *found) - y) ** 2)
        assert np.sum((ours.mapped - y) ** 2) <= theirs * (1 + 1e-6)

    @pytest.mark.parametrize("fit", FITS)
    def test_parameters_give_the_mapping(self, fit: Callable[..., metrics.LogisticFit]) -> None:
        x, y = random_pair(3, 200)
        result = fit(x, y)
        curve = metrics.logistic4 if fit is fit_logistic4 else metrics.logistic5
        assert curve(x, *result.params) == pytest.approx(result.mapped, rel=1e-6)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_recovers_a_known_curve(self, sign: int) -> None:
        x = np.linspace(0, 10, 200)
        true = (80.0, 20.0, 4.0, 1.5) if sign == 1 else (20.0, 80.0, 4.0, 1.5)
        result = fit_logistic4(x, metrics.logistic4(x, *true))
        assert result.params == pytest.approx(true, rel=1e-4)
        assert result.direction == sign

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 10_000), st.integers(8, 60), st.booleans())
    def test_properties(self, seed: int, n: int, ties: bool) -> None:
        x, y = random_pair(seed, n, ties)
        assume(np.ptp(x) > 0 and np.ptp(y) > 0)
        for fit, name in zip(FITS, ("plcc_logistic4", "plcc_logistic5"), strict=True):
            value = METRICS[name](x, y)
            assert -1 <= value <= 1
            # A fit can only explain more than the straight line or the constant that it contains.
            assert np.sum((fit(x, y).mapped - y) ** 2) <= np.sum((y - y.mean()) ** 2) * (1 + 1e-9)
        assert abs(METRICS["plcc_logistic5"](x, y)) >= abs(plcc(x, y)) - 1e-9

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("name", ["plcc_logistic4", "plcc_logistic5"])
    def test_scale_and_direction(self, name: str, seed: int) -> None:
        x, y = random_pair(seed, 120)
        value = METRICS[name](x, y)
        assert METRICS[name](1000 * x - 7, y) == pytest.approx(value, abs=1e-6)
        assert METRICS[name](-x, y) == pytest.approx(-value, abs=1e-6)

    @pytest.mark.parametrize(
        ("x", "y", "reason"),
        [
            (np.ones(20), np.arange(20), "the prediction is constant"),
            (np.arange(20), np.ones(20), "the quality is constant"),
            (np.arange(4), np.arange(4), "4 images do not determine"),
            (np.array([1.0, 2, 3, 4, 5, 6]) * 1e-200, np.arange(6), "out of range"),
        ],
    )
    def test_no_fit_says_why(self, x: Floats, y: Floats, reason: str) -> None:
        for fit in FITS:
            result = fit(x, y)
            assert not result.converged
            assert reason in result.reason
            assert np.isnan(result.params).all()
            assert result.mapped.shape == x.shape
            assert np.isnan(result.mapped).all()
        for name in ("plcc_logistic4", "plcc_logistic5", "rmse_logistic4", "rmse_logistic5"):
            assert math.isnan(METRICS[name](x, y))

    def test_a_solver_that_stops_early_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bench.metrics.projection.EVALUATIONS", 1)
        monkeypatch.setattr("bench.metrics.projection.ROUNDS", 1)
        result = fit_logistic4(*random_pair(0, 50))
        assert not result.converged
        assert "did not converge" in result.reason

    @pytest.mark.parametrize("with_line", [False, True])
    @pytest.mark.parametrize("point", [(0.0, 0.0), (0.7, -1.5), (-2.0, 1.0)])
    def test_slopes_are_those_of_the_errors(
        self, point: tuple[float, float], with_line: bool
    ) -> None:
        x, y = saturating_pair(1, 80)
        search = Projected((x - x.mean()) / x.std(), (y - y.mean()) / y.std(), with_line)
        steps = 1e-6 * np.eye(2)
        numeric = [
            (search._errors(point + step) - search._errors(point - step)) / 2e-6 for step in steps
        ]
        assert search._slopes(np.array(point)) == pytest.approx(np.stack(numeric, 1), abs=1e-7)

    def test_a_step_is_fitted_and_marked(self) -> None:
        x = np.arange(40.0)
        result = fit_logistic4(x, (x > 20).astype(float))
        assert result.converged
        assert result.at_bound


def krasula_by_loops(
    prediction: Floats, mos: Floats, std: Floats, raters: float
) -> tuple[float, float]:
    """The definition, pair by pair and comparison by comparison."""
    different, similar = [], []
    for i in range(len(mos)):
        for j in range(len(mos)):
            if i == j:
                continue
            z = (mos[i] - mos[j]) / math.sqrt((std[i] ** 2 + std[j] ** 2) / raters)
            delta = prediction[i] - prediction[j]
            if abs(z) > stats.norm.ppf(0.975):
                different.append((delta, z > 0))
            else:
                similar.append(delta)

    def area(high: list[float], low: list[float]) -> float:
        return float(np.mean([(a > b) + (a == b) / 2 for a in high for b in low]))

    better = [delta for delta, up in different if up]
    worse = [delta for delta, up in different if not up]
    return area([abs(d) for d, _ in different], [abs(d) for d in similar]), area(better, worse)


class TestKrasula:
    @pytest.mark.parametrize("ties", [False, True])
    def test_equals_the_definition(self, ties: bool) -> None:
        prediction, mos = random_pair(5, 25, ties)
        std = np.random.default_rng(5).uniform(8, 30, 25)
        result = krasula(prediction, mos, std, 15)
        expected = krasula_by_loops(prediction, mos, std, 15)
        assert (result.auc_different_similar, result.auc_better_worse) == pytest.approx(expected)
        assert result.n_different + result.n_similar == 25 * 24 / 2

    def test_direction(self) -> None:
        prediction, mos = random_pair(6, 40)
        up, down = (krasula(sign * prediction, mos, np.full(40, 10), 20) for sign in (1, -1))
        assert down.auc_better_worse == pytest.approx(1 - up.auc_better_worse)
        assert down.correct_sign_rate == pytest.approx(1 - up.correct_sign_rate)
        assert down.auc_different_similar == up.auc_different_similar

    def test_constant_prediction_is_chance(self) -> None:
        result = krasula(np.ones(10), np.arange(10), np.full(10, 2), 10)
        assert result.auc_different_similar == result.auc_better_worse == 0.5
        assert result.correct_sign_rate == 0.5

    def test_no_different_or_no_similar_pair_is_undefined(self) -> None:
        none_differ = krasula(range(5), range(5), np.full(5, 100), 5)
        assert math.isnan(none_differ.auc_better_worse)
        assert math.isnan(none_differ.auc_different_similar)
        all_differ = krasula(range(5), range(5), np.zeros(5), 5)
        assert math.isnan(all_differ.auc_different_similar)
        assert all_differ.auc_better_worse == 1.0

    def test_raters_by_image(self) -> None:
        prediction, mos = random_pair(7, 30)
        std = np.full(30, 12.0)
        assert krasula(prediction, mos, std, np.full(30, 9)) == krasula(prediction, mos, std, 9)

    @pytest.mark.parametrize(
        ("std", "raters", "message"),
        [
            ([1, 1, -1], 5, "std: negative at index 2"),
            ([1, 1], 5, "std has 2 values, prediction 3"),
            ([1, 1, math.nan], 5, "std: 1 of 3 values are NaN"),
            ([1, 1, 1], 0, "raters: less than 1 at index 0"),
            ([1, 1, 1], [5, 5], "raters has 2 values"),
        ],
    )
    def test_bad_input(self, std: list[float], raters: float, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            krasula([1, 2, 3], [1, 2, 3], std, raters)


@pytest.fixture(scope="module")
def livec() -> tuple[dict[str, Floats], Floats, Floats]:
    """Published scores by metric name, MOS and standard deviation of LIVEC's 1,162 images."""
    if "IQA_DATA" not in os.environ:
        pytest.skip("IQA_DATA is not set: no real scores to compare with")
    folder = Path(os.environ["IQA_DATA"])
    table = folder / "predictions/livec_scores.csv"
    native = folder / "livec/ChallengeDB_release/Data"
    if not table.is_file() or not native.is_dir():
        pytest.skip("IQA_DATA holds no LIVEC labels and scores")
    import pandas as pd
    from scipy.io import loadmat

    def column(name: str) -> npt.NDArray[np.generic]:
        # The first seven are the images that raters were trained with.
        return np.asarray(loadmat(native / f"{name}.mat")[name]).ravel()[7:]

    names = [str(cell[0]) for cell in column("AllImages_release")]
    scores = pd.read_csv(table).set_index("image_name").loc[names]
    by_name = {str(name): scores[name].to_numpy(dtype=np.float64) for name in scores}
    mos, std = (column(f"All{name}_release").astype(np.float64) for name in ("MOS", "StdDev"))
    return by_name, mos, std


class TestRealScores:
    def test_brisque_on_livec(self, livec: tuple[dict[str, Floats], Floats, Floats]) -> None:
        scores, mos, _ = livec
        assert mos.size == 1162
        assert srcc(scores["brisque"], mos) == pytest.approx(-0.3129, abs=5e-5)
        # Lower is better for BRISQUE, and nothing hides that.
        assert METRICS["plcc_logistic4"](scores["brisque"], mos) < 0

    def test_all_fits_converge(self, livec: tuple[dict[str, Floats], Floats, Floats]) -> None:
        scores, mos, _ = livec
        for prediction in scores.values():
            four, five = (fit(prediction, mos) for fit in FITS)
            assert four.converged
            assert five.converged
            assert abs(METRICS["plcc_logistic5"](prediction, mos)) >= abs(plcc(prediction, mos))

    def test_krasula_ranks_metrics_as_srcc_does(
        self, livec: tuple[dict[str, Floats], Floats, Floats]
    ) -> None:
        scores, mos, std = livec
        # About 175 ratings an image (Ghadiyaram & Bovik 2016).
        areas = {k: krasula(v, mos, std, 175).auc_better_worse for k, v in scores.items()}
        assert areas["maniqa"] > areas["hyperiqa"] > 0.8
        assert areas["niqe"] < areas["brisque"] < 0.5


class TestWithinGroups:
    """METRIC@COLUMN."""

    def test_the_median_over_groups(self) -> None:
        quality = [1.0, 2, 3, 1, 2, 3, 1, 2, 3]
        prediction = [1.0, 2, 3, 3, 2, 1, 2, 1, 3]
        groups = {"scene": list("aaabbbccc")}
        found = compute(["srcc@scene", "srcc"], prediction, quality, groups)
        assert found["srcc@scene"] == pytest.approx(0.5)  # of 1, -1 and 0.5
        assert list(found) == ["srcc@scene", "srcc"]

    def test_images_of_several_groups_and_of_none(self) -> None:
        quality, prediction = [1.0, 2, 3, 4, 5], [1.0, 2, 4, 3, 0]
        groups = {"scene": ["a", "a", "a|b", "b", ""]}
        # b has two images and so no correlation; the last image belongs nowhere.
        assert compute(["srcc@scene"], prediction, quality, groups)["srcc@scene"] == 1.0
        assert math.isnan(compute(["srcc@scene"], prediction, quality)["srcc@scene"])

    def test_constant_labels_leave_a_group_out_and_constant_predictions_do_not(self) -> None:
        groups = {"group": list("aaabbb")}
        quality = [1.0, 2, 3, 2, 2, 2]
        assert compute(["plcc@group"], [1, 2, 3, 3, 2, 1], quality, groups)["plcc@group"] == 1.0
        quality = [1.0, 2, 3, 1, 2, 3]
        assert math.isnan(
            compute(["plcc@group"], [1, 2, 3, 2, 2, 2], quality, groups)["plcc@group"]
        )
