"""Intervals and tests against scipy, against hand calculation, and against their own promises."""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from bench import stats
from bench.stats import SplitSizes
from bench.stats.cliques import maximal_cliques
from bench.stats.paired import signed_ranks
from bench.util.errors import UsageError
from tools import simulate_training
from tools.simulate_intervals import Simulation, main, simulate

Floats = npt.NDArray[np.float64]
finite = st.floats(-1, 1, allow_subnormal=False)
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=30)


class TestMedianInterval:
    def test_ten_values(self) -> None:
        result = stats.median_interval(np.arange(10, 0, -1))
        assert (result.median, result.low, result.high, result.n) == (5.5, 2, 9, 10)
        assert result.coverage == pytest.approx(0.979, abs=5e-4)

    @pytest.mark.parametrize("n", [1, 2, 5, 6, 9, 10, 25, 100, 3000])
    def test_the_narrowest_that_covers(self, n: int) -> None:
        values = np.arange(1, n + 1)
        result = stats.median_interval(values)
        k = int(result.low)
        assert result.high == n + 1 - k
        assert result.coverage == pytest.approx(1 - 2 * scipy_stats.binom.cdf(k - 1, n, 0.5))
        if k > 1:
            assert 1 - 2 * scipy_stats.binom.cdf(k, n, 0.5) < 0.95 <= result.coverage
        assert k > 1 or n < 9

    @pytest.mark.parametrize(("n", "coverage"), [(1, 0.0), (2, 0.5), (3, 0.75), (5, 0.9375)])
    def test_too_few_says_what_it_is_worth(self, n: int, coverage: float) -> None:
        result = stats.median_interval(np.arange(n))
        assert (result.low, result.high, result.coverage) == (0, n - 1, coverage)

    def test_coverage_holds_for_independent_draws(self) -> None:
        rng = np.random.default_rng(0)
        draws = rng.exponential(size=(4000, 10))
        held = [r.low <= math.log(2) <= r.high for r in map(stats.median_interval, draws)]
        assert np.mean(held) == pytest.approx(0.979, abs=0.008)

    @given(st.lists(finite, min_size=1, max_size=40), st.floats(0.01, 0.999))
    def test_holds_its_median(self, values: list[float], confidence: float) -> None:
        result = stats.median_interval(values, confidence)
        assert min(values) <= result.low <= result.median <= result.high <= max(values)
        assert 0 <= result.coverage < 1 or len(values) > 50

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="at least 1 values"):
            stats.median_interval([])
        with pytest.raises(ValueError, match="1 of 2 values are NaN"):
            stats.median_interval([math.nan, 1])
        with pytest.raises(ValueError, match="confidence"):
            stats.median_interval([1, 2], confidence=95)


class TestPairedT:
    def test_corrected_t_by_hand(self) -> None:
        d = np.array([0.02, 0.01, 0.03, 0.00, 0.02])
        # Mean 0.016, sample variance 0.00013, error sqrt((1/5 + 20/80) * 0.00013).
        error = math.sqrt(0.45 * 0.00013)
        result = stats.corrected_t(d, SplitSizes(80, 20))
        assert result.mean == pytest.approx(0.016)
        assert result.statistic == pytest.approx(0.016 / error)
        assert result.p_value == pytest.approx(2 * scipy_stats.t.sf(0.016 / error, 4))
        half = scipy_stats.t.ppf(0.975, 4) * error
        assert (result.low, result.high) == pytest.approx((0.016 - half, 0.016 + half))

    @given(st.integers(0, 1000), st.integers(2, 30))
    def test_paired_t_is_scipys(self, seed: int, k: int) -> None:
        d = np.random.default_rng(seed).normal(0.1, 1, k)
        ours, theirs = stats.paired_t(d), scipy_stats.ttest_1samp(d, 0)
        assert ours.statistic == pytest.approx(theirs.statistic)
        assert ours.p_value == pytest.approx(theirs.pvalue)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval()))

    @given(st.integers(0, 1000), st.integers(2, 30))
    def test_correction_only_widens_and_turns_with_the_sign(self, seed: int, k: int) -> None:
        d = np.random.default_rng(seed).normal(0.1, 1, k)
        plain, corrected = stats.paired_t(d), stats.corrected_t(d, SplitSizes(80, 20))
        assert corrected.p_value >= plain.p_value
        assert corrected.low <= plain.low <= plain.mean <= plain.high <= corrected.high
        assert (corrected.p_value < 0.05) == (not corrected.low <= 0 <= corrected.high)
        turned = stats.corrected_t(-d, SplitSizes(80, 20))
        assert (turned.statistic, turned.p_value) == (-corrected.statistic, corrected.p_value)

    @pytest.mark.parametrize("power", [-1000, -600, 600])
    def test_units_do_not_matter_however_small(self, power: int) -> None:
        d = np.array([0.02, 0.01, -0.03, 0.0, 0.02])
        known, found = (stats.corrected_t(np.ldexp(d, by), SplitSizes(80, 20)) for by in (0, power))
        assert (found.statistic, found.p_value) == (known.statistic, known.p_value)
        assert (found.low, found.high) == (
            math.ldexp(known.low, power),
            math.ldexp(known.high, power),
        )

    def test_without_spread(self) -> None:
        same = stats.corrected_t(np.zeros(10), SplitSizes(80, 20))
        assert (same.statistic, same.p_value, same.low, same.high) == (0, 1, 0, 0)
        shifted = stats.corrected_t(np.full(10, 0.9) - np.full(10, 0.7), SplitSizes(80, 20))
        assert shifted.mean == pytest.approx(0.2)
        assert math.isnan(shifted.p_value)
        assert "all 10 differences are equal" in shifted.reason

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="left: expected at least 1, got 0"):
            stats.corrected_t([1, 2], SplitSizes(0, 20))
        with pytest.raises(ValueError, match="at least 2 values"):
            stats.corrected_t([1], SplitSizes(80, 20))
        with pytest.raises(ValueError, match="differences: 1 of 2"):
            stats.paired_t([1, math.inf])


class TestSignedRank:
    @given(st.integers(0, 1000), st.integers(1, 60))
    def test_is_scipys(self, seed: int, k: int) -> None:
        d = np.random.default_rng(seed).normal(0.3, 1, k)
        ours, theirs = stats.wilcoxon_signed_rank(d), scipy_stats.wilcoxon(d)
        assert (ours.statistic, ours.p_value) == (theirs.statistic, theirs.pvalue)

    @pytest.mark.parametrize("k", [1, 4, 8, 20, 60])
    def test_of_many_rows_each_is_its_own(self, k: int) -> None:
        table = np.random.default_rng(k).normal(0.3, 1, (6, k))
        table[1, 0], table[2], table[3] = 0, 0, np.round(table[3])
        assert signed_ranks(table) == [stats.wilcoxon_signed_rank(row) for row in table]

    @pytest.mark.parametrize(("n", "p"), [(5, 0.0625), (6, 0.03125), (10, 0.001953125)])
    def test_smallest_p(self, n: int, p: float) -> None:
        result = stats.wilcoxon_signed_rank(np.arange(1, n + 1))
        assert result.p_value == result.smallest_p == p

    def test_zeros_do_not_count(self) -> None:
        some = stats.wilcoxon_signed_rank([0, 0, 1, 2, 3])
        assert some == stats.wilcoxon_signed_rank([1, 2, 3])
        assert some.n == 3
        assert stats.wilcoxon_signed_rank([0, 0]).p_value == 1


class TestHolm:
    def test_by_hand(self) -> None:
        adjusted = stats.holm([0.04, 0.01, 0.02, 0.5])
        assert adjusted == pytest.approx([0.08, 0.04, 0.06, 0.5])

    @given(probabilities)
    def test_never_smaller_and_in_the_same_order(self, p: list[float]) -> None:
        adjusted = stats.holm(p)
        assert (adjusted >= p).all()
        assert (adjusted <= 1).all()
        assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
        assert adjusted.min() == pytest.approx(min(1.0, len(p) * min(p)))

    @given(probabilities)
    def test_rejects_as_the_step_down_does(self, p: list[float]) -> None:
        adjusted = stats.holm(p)
        rejected = 0
        for value in sorted(p):
            if value * (len(p) - rejected) > 0.05:
                break
            rejected += 1
        assert np.count_nonzero(adjusted <= 0.05) == rejected

    def test_nan_does_not_count(self) -> None:
        assert stats.holm([0.01, math.nan, 0.04])[[0, 2]] == pytest.approx([0.02, 0.04])
        assert math.isnan(stats.holm([0.01, math.nan])[1])
        assert stats.holm([]).size == 0

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match=r"1\.5 at index 1"):
            stats.holm([0.5, 1.5])


class TestOverSplits:
    scores = {  # noqa: RUF012
        name: 0.8 + shift + 0.02 * np.random.default_rng(i).normal(size=10)
        for i, (name, shift) in enumerate({"a": 0.1, "b": 0.02, "c": 0.0}.items())
    }

    def test_all_pairs_and_against_one(self) -> None:
        pairs = stats.compare_over_splits(self.scores, SplitSizes(80, 20))
        assert [(item.first, item.second) for item in pairs] == list(combinations("abc", 2))
        against = stats.compare_over_splits(self.scores, SplitSizes(80, 20), reference="b")
        assert [(item.first, item.second) for item in against] == [("b", "a"), ("b", "c")]
        assert against[0].corrected.mean == pytest.approx(-pairs[0].corrected.mean)
        # Fewer comparisons, smaller correction.
        assert against[0].corrected_holm <= pairs[0].corrected_holm

    def test_parts_are_the_tests(self) -> None:
        item, *_ = pairs = stats.compare_over_splits(self.scores, SplitSizes(80, 20))
        d = self.scores["a"] - self.scores["b"]
        assert item.corrected == stats.corrected_t(d, SplitSizes(80, 20))
        assert item.signed_rank == stats.wilcoxon_signed_rank(d)
        adjusted = stats.holm([pair.corrected.p_value for pair in pairs])
        assert [pair.corrected_holm for pair in pairs] == list(adjusted)

    def test_eight_methods_cannot_be_told_apart_by_wilcoxon_over_ten_repeats(self) -> None:
        scores = {str(i): np.arange(10) * 0.1**i + i for i in range(8)}
        first, *_ = stats.compare_over_splits(scores, SplitSizes(80, 20))
        smallest = first.smallest_signed_rank_holm
        assert smallest == pytest.approx(28 * 2 / 2**10)
        assert smallest > 0.05

    def test_bad_input(self) -> None:
        with pytest.raises(UsageError, match="unknown method 'd'"):
            stats.compare_over_splits(self.scores, SplitSizes(80, 20), reference="d")
        with pytest.raises(ValueError, match="different numbers of splits"):
            stats.compare_over_splits({"a": [1, 2], "b": [1, 2, 3]}, SplitSizes(80, 20))
        with pytest.raises(ValueError, match="at least two methods"):
            stats.compare_over_splits({"a": [1, 2]}, SplitSizes(80, 20))
        with pytest.raises(ValueError, match="b: 1 of 2 values are NaN"):
            stats.compare_over_splits({"a": [1, 2], "b": [math.nan, 2]}, SplitSizes(80, 20))


def table(seed: int, d: int, m: int, step: float = 0.0) -> Floats:
    """Scores of m methods on d datasets, each method worse than the last by `step`."""
    return np.random.default_rng(seed).normal(0.8, 0.05, (d, m)) - step * np.arange(m)


class TestAcrossDatasets:
    @given(st.integers(0, 500), st.integers(2, 15), st.integers(3, 8))
    def test_friedman_is_scipys(self, seed: int, d: int, m: int) -> None:
        scores = np.round(table(seed, d, m), 2)
        ours, theirs = stats.friedman(scores), scipy_stats.friedmanchisquare(*scores.T)
        assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))

    def test_friedman_by_hand(self) -> None:
        # Rank sums 4, 8, 12 in 4 blocks: 12 / (4*3*4) * (16 + 64 + 144) - 3*4*4 = 8.
        assert stats.friedman([[3, 2, 1]] * 4).statistic == pytest.approx(8)
        assert stats.friedman(np.ones((4, 3))).p_value == 1

    @given(st.integers(0, 500), st.integers(1, 10), st.integers(2, 8))
    def test_ranks(self, seed: int, d: int, m: int) -> None:
        scores = np.round(table(seed, d, m), 1)
        ranks = stats.average_ranks(scores)
        assert ranks.sum() == pytest.approx(m * (m + 1) / 2)
        assert stats.average_ranks(-scores, higher_is_better=False) == pytest.approx(ranks)
        assert stats.average_ranks(-scores) == pytest.approx(m + 1 - ranks)

    def test_pairwise_matrix(self) -> None:
        scores = table(1, 9, 4, 0.05)
        result = stats.wilcoxon_holm(scores)
        assert (result.p_holm == result.p_holm.T).all()
        assert (np.diag(result.p_holm) == 1).all()
        assert result.p_values[0, 3] == scipy_stats.wilcoxon(scores[:, 0], scores[:, 3]).pvalue
        upper = np.triu_indices(4, 1)
        assert result.p_holm[upper] == pytest.approx(stats.holm(result.p_values[upper]))
        assert result.smallest_holm == 6 * 2 / 2**9

    def test_differences_tie_as_printed_numbers_do(self) -> None:
        # As floats 0.9 - 0.8, 0.8 - 0.7 and 0.3 - 0.2 differ in the last bits.
        result = stats.wilcoxon_holm([[0.9, 0.8], [0.8, 0.7], [0.2, 0.3]])
        assert result.p_values[0, 1] == stats.wilcoxon_signed_rank([1, 1, -1]).p_value

    def test_groups(self) -> None:
        scores = table(0, 12, 4) * 0.01 + np.array([0.5, 0.9, 0.9, 0.7])
        result = stats.critical_difference(scores, ["poor", "good", "fine", "fair"])
        assert set(result.names[:2]) == {"good", "fine"}
        assert result.names[2:] == ("fair", "poor")
        assert [group.members for group in result.groups] == [(0, 1)]
        assert list(result.ranks) == sorted(result.ranks)

    def test_no_rejection_joins_all(self) -> None:
        result = stats.critical_difference(table(4, 10, 4), "abcd")
        assert result.friedman is not None
        assert result.friedman.p_value > 0.05
        assert [group.members for group in result.groups] == [(0, 1, 2, 3)]

    def test_two_methods(self) -> None:
        result = stats.critical_difference(table(0, 10, 2, 0.5), "ab")
        assert result.friedman is None
        assert result.groups == ()
        assert result.names == ("a", "b")

    @given(st.integers(0, 200), st.integers(6, 12), st.integers(2, 6))
    @settings(max_examples=30, deadline=None)
    def test_groups_say_what_the_pairs_say(self, seed: int, d: int, m: int) -> None:
        result = stats.critical_difference(table(seed, d, m, 0.04), [str(i) for i in range(m)])
        joined = {pair for g in result.groups for pair in combinations(g.members, 2)}
        rejected = result.friedman is None or result.friedman.p_value < result.alpha
        p = result.pairwise.p_holm
        alike = {(i, j) for i, j in combinations(range(m), 2) if p[i, j] >= 0.05 or not rejected}
        assert joined == alike

    def test_cliques(self) -> None:
        adjacent = np.zeros((5, 5), dtype=bool)
        for i, j in [(0, 1), (0, 2), (1, 2), (2, 3)]:
            adjacent[i, j] = adjacent[j, i] = True
        assert maximal_cliques(adjacent) == [(0, 1, 2), (2, 3), (4,)]

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match="scores: 1 of 4 values are NaN"):
            stats.average_ranks([[1.0, math.nan], [1.0, 2.0]])
        with pytest.raises(ValueError, match="2 or more methods"):
            stats.average_ranks([1, 2])
        with pytest.raises(ValueError, match="Friedman needs 2 datasets and 3 methods"):
            stats.friedman([[1, 2], [2, 3]])
        with pytest.raises(ValueError, match="2 different names"):
            stats.critical_difference([[1, 2], [2, 3]], ["a", "a"])


class TestSimulation:
    setting = Simulation(trials=150, images=300, repeats=(20,), bootstrap_resamples=100)

    def test_wilcoxon_is_anti_conservative_and_the_corrected_t_is_not(self) -> None:
        rates = simulate(self.setting).false_positive[20]
        # Three standard errors of 0.05 over 150 trials are 0.053.
        assert rates["Nadeau-Bengio"] <= 0.105
        assert rates["Wilcoxon"] >= 0.2
        assert rates["paired t"] >= 0.2

    def test_splits_do_not_depend_on_other_trials(self) -> None:
        one = simulate(Simulation(trials=1, images=50, repeats=(3,), bootstrap_resamples=10))
        assert one == simulate(
            Simulation(trials=1, images=50, repeats=(3,), bootstrap_resamples=10)
        )

    def test_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["--trials", "2", "--images", "60", "--repeats", "4"])
        printed = capsys.readouterr().out
        assert printed.startswith("| repeats | Nadeau-Bengio | Wilcoxon | paired t |")
        assert "2 trials, seed 0, 60 images, 48 training and 12 test" in printed

    def test_the_documented_command_is_the_one_that_runs(self) -> None:
        text = (Path(__file__).parents[2] / "docs/statistics.md").read_text(encoding="utf-8")
        assert re.search(r"python -m tools\.simulate_intervals --trials \d+ --seed \d+", text)


class TestSimulationWithTraining:
    def test_the_correction_holds_under_any_label_budget(self) -> None:
        setting = simulate_training.TrainingSimulation(trials=150, images=200, labels=(20, 160))
        rates = simulate_training.simulate(setting)
        for labels in setting.labels:
            # Three standard errors of 0.05 over 150 trials are 0.053.
            assert rates[labels]["Nadeau-Bengio"] <= rates[labels]["corrected t"] <= 0.105
        assert rates[160]["Nadeau-Bengio"] == rates[160]["corrected t"]
        assert rates[160]["paired t"] >= 0.13

    def test_predictions_that_do_not_learn(self) -> None:
        setting = simulate_training.TrainingSimulation(
            trials=150, images=200, labels=(20,), fixed=True
        )
        assert simulate_training.simulate(setting)[20]["corrected t"] <= 0.105

    def test_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        simulate_training.main(["--trials", "2", "--images", "60", "--labels", "10", "20"])
        printed = capsys.readouterr().out
        assert printed.startswith("| labels | corrected t | Nadeau-Bengio | Wilcoxon |")
        assert "2 trials, seed 0, 60 images, 12 tested" in printed
