"""Simulations behind docs/statistics.md: small ones run here, and their tables are in the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools import simulate_images
from tools.simulate_images import WORLDS, coverage, false_positives

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"


def test_intervals_by_content_hold_more_often_than_by_single_image() -> None:
    grouped, single = coverage(WORLDS[3], trials=40, resamples=100, seed=1)
    assert grouped >= 0.85
    assert single < grouped


def test_the_f_test_rejects_less_than_pitman_morgan() -> None:
    rates = false_positives(60, 130, seed=2)
    assert rates["RMSE: Pitman-Morgan"] <= 0.15
    assert rates["RMSE: F test (P.1401)"] <= rates["RMSE: Pitman-Morgan"]


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.title)
def test_the_page_prints_every_world_within_the_promise(world: simulate_images.World) -> None:
    text = PAGE.read_text(encoding="utf-8")
    row = re.search(rf"\| {re.escape(world.title)} \| ([\d.]+) \|", text)
    assert row is not None
    assert 0.93 <= float(row.group(1)) <= 0.97
