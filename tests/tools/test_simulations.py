"""Simulations behind docs/statistics.md, small ones."""

from __future__ import annotations

from tools.simulate_images import WORLDS, coverage, false_positives


def test_intervals_by_content_hold_more_often_than_by_single_image() -> None:
    grouped, single = coverage(WORLDS[3], trials=40, resamples=100, seed=1)
    assert grouped >= 0.85
    assert single < grouped


def test_the_f_test_rejects_less_than_pitman_morgan() -> None:
    rates = false_positives(60, 130, seed=2)
    assert rates["RMSE: Pitman-Morgan"] <= 0.15
    assert rates["RMSE: F test (P.1401)"] <= rates["RMSE: Pitman-Morgan"]
