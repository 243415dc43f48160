"""Ranks and tau-b against scipy, to the bit, so that stored metrics stay what they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.metrics import krcc, srcc
from bench.metrics.ranks import mean_ranks

PAIRS = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=40)
"""Few values, so that ties of all kinds come up."""


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_ties_are_treated_as_scipy_does(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=np.float64).T
    assert mean_ranks(x).tolist() == stats.rankdata(x).tolist()
    if np.ptp(x) and np.ptp(y):
        assert krcc(x, y) == stats.kendalltau(x, y, method="asymptotic")[0]


@pytest.mark.parametrize("decimals", [0, 1, 15])
def test_stored_correlations_have_the_bits_of_scipys(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    for n in (5, 64, 333, 1000):
        x = np.round(rng.normal(size=n), decimals)
        y = np.round(x + rng.normal(size=n), decimals)
        assert srcc(x, y) == min(1.0, stats.spearmanr(x, y)[0])
        assert krcc(x, y) == stats.kendalltau(x, y, method="asymptotic")[0]
