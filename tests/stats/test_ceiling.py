"""The noise ceiling against truth known by construction, and against KonIQ's published halves."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from scipy.stats import spearmanr

from bench.analysis.ceilings import Ceilings
from bench.data import datasets
from bench.data.at_hand import AtHand
from bench.data.datasets.ratings import of_rows
from bench.stats.ceiling import from_ratings, from_spread


def _raters(n: int, noise: float, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True quality (n,), and (n, count) ratings on five levels."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1.5, 4.5, n)
    felt = truth[:, None] + noise * rng.standard_normal((n, count))
    return truth, np.clip(np.rint(felt), 1, 5)


@pytest.mark.parametrize(("noise", "count"), [(0.5, 30), (0.9, 12), (1.2, 6)])
def test_it_is_what_the_truth_scores(noise: float, count: int) -> None:
    truth, ratings = _raters(1500, noise, count)
    scores = ratings.mean(axis=1)
    reached = spearmanr(truth, scores)[0]
    spread = from_spread(scores, ratings.std(axis=1, ddof=1), np.full(1500, count))
    single = of_rows([str(k) for k in range(1500)], list(ratings))
    raw = from_ratings(single.levels, single.counts)
    for found in (spread, raw):
        assert found.srcc == pytest.approx(reached, abs=0.01)
        assert found.srcc_low < reached < found.srcc_high or found.srcc == pytest.approx(
            reached, abs=0.005
        )
        assert found.plcc == pytest.approx(np.corrcoef(truth, scores)[0, 1], abs=0.01)
    assert raw.srcc == pytest.approx(spread.srcc, abs=0.006)
    # Two halves have twice the noise, and both sides have it.
    halves = [ratings[:, : count // 2].mean(axis=1), ratings[:, count // 2 :].mean(axis=1)]
    assert raw.split_half == pytest.approx(spearmanr(*halves)[0], abs=0.02)
    assert raw.split_half < raw.srcc
    assert math.isnan(spread.split_half)


def test_reliability_is_that_of_classical_test_theory() -> None:
    truth, ratings = _raters(4000, 0.8, 10)
    again = _raters(4000, 0.8, 10, seed=0)[1]
    fresh = np.clip(
        np.rint(truth[:, None] + 0.8 * np.random.default_rng(9).standard_normal((4000, 10))), 1, 5
    )
    found = from_spread(ratings.mean(axis=1), ratings.std(axis=1, ddof=1), np.full(4000, 10))
    repeat = np.corrcoef(again.mean(axis=1), fresh.mean(axis=1))[0, 1]
    assert found.reliability == pytest.approx(repeat, abs=0.01)


@pytest.mark.parametrize("name", ["demo_authentic", "demo_synthetic"])
def test_the_demo_sets_ceiling_is_the_one_of_their_observer_model(name: str) -> None:
    from bench.data.demo.observer import CEILING_SRCC

    if datasets.locate(name) is None:
        pytest.skip(f"{name} is not rendered on this machine")
    assert Ceilings(AtHand()).of(name).srcc == pytest.approx(CEILING_SRCC[name], abs=0.01)


@pytest.mark.skipif(not os.environ.get("IQA_DATA"), reason="IQA_DATA is not set")
def test_koniqs_halves_agree_as_its_authors_say() -> None:
    found = AtHand().ratings("koniq10k")
    if found is None:
        pytest.skip("KonIQ-10k is not under IQA_DATA")
    ceiling = from_ratings(found.levels, found.counts)
    assert ceiling.split_half == pytest.approx(0.973, abs=0.005)
    assert ceiling.srcc > ceiling.split_half


@pytest.mark.skipif(not os.environ.get("IQA_DATA"), reason="IQA_DATA is not set")
def test_real_ratings_agree_with_the_released_scores() -> None:
    for name in ("koniq10k", "bid"):
        hand = AtHand()
        single, dataset = hand.ratings(name), hand.dataset(name)
        if single is None or isinstance(dataset, str):
            pytest.skip(f"{name} is not under IQA_DATA")
        own = single.of(list(dataset.table["image"]))
        # The average that BID prints is not that of the grades for 7 of its 586 images.
        apart = np.abs(own.mean - dataset.quality)
        assert (apart > 1e-6).sum() == (7 if name == "bid" else 0)
        both = from_ratings(own.levels, own.counts), from_spread(own.mean, own.std, own.raters)
        assert both[0].srcc == pytest.approx(both[1].srcc, abs=0.005)


def test_what_has_no_ceiling_says_why() -> None:
    quality = np.linspace(1, 5, 50)
    std, raters = np.full(50, 0.7), np.full(50, 20.0)
    assert "fewer than two ratings" in from_spread(quality, std, np.ones(50)).reason
    assert "unknown number" in from_spread(quality, std, np.full(50, np.nan)).reason
    assert "not known" in from_spread(quality, np.full(50, np.nan), raters).reason
    assert "no spread" in from_spread(quality, np.zeros(50), raters).reason
    assert "no spread" in from_spread(np.full(50, 3.0), std, raters).reason
    assert "as large as" in from_spread(quality, np.full(50, 30.0), raters).reason
    one = of_rows(["a", "b", "c"], [[3], [4], [5]])
    assert "3 images have fewer than two ratings" in from_ratings(one.levels, one.counts).reason
    assert math.isnan(from_spread(quality, std, np.ones(50)).srcc)
