"""Simulations behind docs/statistics.md, small ones: each tool runs and shows its point."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.metrics import srcc
from bench.stats import image_influence, side
from tools import simulate_datasets, simulate_images, simulate_intervals, simulate_training
from tools.simulate_images import World, coverage, false_positives, suite


def test_intervals_by_content_hold_more_often_than_by_single_image() -> None:
    found = coverage(World(25, 24), trials=40, resamples=100, seed=1)
    assert found.held >= 0.85
    assert found.single < found.held
    assert found.without == 0
    assert found.different <= 0.2


def test_expected_srcc_is_the_mean_over_test_sets_of_that_size() -> None:
    world = World(100, splits=1, srcc=0.9)
    rng = np.random.default_rng(0)
    scores = [srcc(*world.draw(rng)[:, :20]) for _ in range(1500)]
    assert np.mean(scores) == pytest.approx(world.expected, abs=0.004)
    assert world.expected < 0.88
    assert math.isnan(World(10, 4).expected)


def test_so_few_contents_that_splits_are_missed_have_no_interval() -> None:
    found = coverage(World(10, 4), trials=5, resamples=60, seed=1)
    assert found.without == 1
    assert math.isnan(found.held)


def test_the_f_test_rejects_less_than_pitman_morgan() -> None:
    rates = false_positives(60, 130, seed=2)
    assert rates["RMSE: Pitman-Morgan"] <= 0.15
    assert rates["RMSE: F test (P.1401)"] <= rates["RMSE: Pitman-Morgan"]


def test_methods_that_suit_other_sets_differ_on_these_six_and_not_over_sets() -> None:
    over_images, over_sets = suite(25, seed=0, resamples=60, spread=0.4)
    assert over_images > 0.3 > over_sets


def test_wilcoxon_over_overlapping_splits_rejects_more_than_the_corrected_test() -> None:
    setting = simulate_intervals.Simulation(
        trials=60, images=200, repeats=(20,), bootstrap_resamples=50
    )
    rates = simulate_intervals.simulate(setting)
    found = rates.false_positive[20]
    assert found["Nadeau-Bengio"] < 0.15 < found["Wilcoxon"]
    assert found["check: worse"] <= found["Nadeau-Bengio"]
    assert "| 20 |" in simulate_intervals.table(setting, rates)


def test_the_simulated_influence_is_the_one_that_is_shipped() -> None:
    rng = np.random.default_rng(0)
    test = np.array([rng.permutation(100)[:40] for _ in range(3)])
    quality, noise = rng.standard_normal((2, 100))
    prediction = (quality + noise)[test]
    quick = simulate_training._influence(prediction, quality[test], test, 100)
    sides = [side(p, quality[t], t) for p, t in zip(prediction, test, strict=True)]
    shipped = image_influence(sides).values
    assert quick[:, np.unique(test)] == pytest.approx(shipped, rel=0.01, abs=1e-4)


def test_few_datasets_show_nothing_and_more_show_no_more_than_chance() -> None:
    few = simulate_datasets.rates(datasets=6, methods=3, trials=40, seed=0)
    assert few["any pair (Wilcoxon-Holm)"] == 0
    more = simulate_datasets.rates(datasets=12, methods=4, trials=150, seed=0)
    assert 0 < more["Friedman"] < 0.12
    assert more["any pair (Wilcoxon-Holm)"] < 0.12


@pytest.mark.parametrize(
    ("main", "arguments", "printed"),
    [
        (simulate_intervals.main, ["--images", "60", "--repeats", "5"], "Paired bootstrap over"),
        (simulate_training.main, ["--images", "60", "--labels", "20"], "| 20 |"),
        (simulate_datasets.main, [], "| 20 | 8 |"),
        (simulate_images.main, ["--tests"], "RMSE*: F test (P.1401)"),
    ],
)
def test_each_prints_its_table(
    main: object, arguments: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(main)
    main(["--trials", "2", *arguments])
    assert printed in capsys.readouterr().out
