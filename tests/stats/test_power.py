"""What a design can see, against simulation and against the formulas' own promises."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from bench.analysis.power import plan
from bench.protocol import Protocol
from bench.stats import SplitSizes, corrected_t
from bench.stats.power import Design, deviation_of_differences
from tests.conftest import run_cli
from tests.fake_results import FakeSweep


def test_a_seen_difference_is_found_as_often_as_promised() -> None:
    # Differences with the covariance that Nadeau and Bengio assume: n_test / (n_test + n_train).
    shared = 0.2  # correlation of two splits' differences
    # From split to split they vary by what they do not share.
    design = Design(images=1000, test=200, splits=10, deviation=0.02 * math.sqrt(1 - shared))
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(2000):
        common = math.sqrt(shared) * rng.standard_normal()
        values = common + math.sqrt(1 - shared) * rng.standard_normal(10)
        found += corrected_t(design.seen() + 0.02 * values, SplitSizes(800, 200)).p_value < 0.05
    assert found / 2000 == pytest.approx(0.8, abs=0.03)


def test_a_pilot_s_covariance_takes_the_place_of_the_widest() -> None:
    widest = Design(images=1000, test=200, splits=10, deviation=0.02)
    assert Design(1000, 200, 10, 0.02, ratio=0.25).error == widest.error
    assert Design(1000, 200, 10, 0.02, ratio=0.1).error == pytest.approx(0.02 * math.sqrt(0.2))


def test_it_is_the_noncentral_t() -> None:
    design = Design(images=1000, test=200, splits=10, deviation=0.02)
    critical = scipy_stats.t.ppf(0.975, 9)
    shift = design.seen() / design.error
    assert scipy_stats.nct.sf(critical, 9, shift) == pytest.approx(0.8, abs=1e-6)


def test_more_splits_or_images_see_less_and_some_differences_no_split_shows() -> None:
    design = Design(images=1162, test=232, splits=10, deviation=0.02)
    needed = design.splits_for(0.95 * design.seen())
    assert needed is not None
    assert needed > 10
    assert design.splits_for(0.001) is None
    images = design.images_for(design.seen() / 2)
    assert images == pytest.approx(4 * 1162, abs=2)
    fixed = Design(1162, 1162, 1, 0.01, same_test=True)
    assert fixed.seen() == pytest.approx(0.01 * (1.959964 + 0.841621), rel=1e-5)
    assert fixed.splits_for(0.001) is None


def test_deviation_falls_with_images_and_agreement() -> None:
    few, many = deviation_of_differences(100), deviation_of_differences(400)
    assert few / many == pytest.approx(2, rel=0.25)
    assert deviation_of_differences(100, agreement=0.9) < 0.6 * few
    with pytest.raises(ValueError, match="srcc"):
        deviation_of_differences(100, srcc=1.5)


def test_a_database_that_is_learnt_from_under_other_labels_is_split_too() -> None:
    protocol = Protocol(name="p", train=("spaq", "koniq10k@100"), test=("koniq10k", "livec"))
    own, other = plan(protocol)
    assert own.design is not None
    assert (own.design.test, own.design.same_test) == (2015, False)
    assert other.design is not None
    assert other.design.same_test


def test_the_command(tmp_path: Path) -> None:
    planned = run_cli("power", "few_shot", "--difference", "0.01")
    assert planned.returncode == 0, planned.text
    assert "simulated: SRCC 0.85" in planned.text
    assert "sees at" in planned.text
    store = FakeSweep(tmp_path / "r", repeats=5).write()
    pilot = run_cli("power", "few_shot", "--results", store.root)
    assert "1 pairs of methods in the pilot" in pilot.text
    assert run_cli("power", "few_shot", "--difference", "0").returncode == 2
    assert run_cli("power", "few_shot", "--metric", "plcc").returncode == 2
