"""Ranks, and pairs that two orders disagree about.

scipy has both, but importing `scipy.stats` takes longer than many runs; every worker needs them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray

IntArray = npt.NDArray[np.int64]


def mean_ranks(values: FloatArray) -> FloatArray:
    """(n,) ranks from 1 of (n,) values without NaN; equal values share the mean of their ranks.

    As `scipy.stats.rankdata`.

    >>> mean_ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist()
    [3.5, 1.0, 3.5, 2.0]
    """
    dense, counts = _dense(values)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[dense])


def tau_b(first: FloatArray, second: FloatArray) -> float:
    """Kendall's tau-b of two (n,) arrays, of which neither is constant; O(n log n).

    The same bits as `scipy.stats.kendalltau`.

    >>> round(tau_b(np.array([1.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0])), 6)
    0.816497
    """
    (x, x_counts), (y, y_counts) = _dense(first), _dense(second)
    both = np.unique(x * len(y_counts) + y, return_counts=True)[1]
    pairs = len(x) * (len(x) - 1) // 2
    x_ties, y_ties, joint = (_pairs(counts) for counts in (x_counts, y_counts, both))
    # Among equal x by y, so that no pair that is tied in x counts as out of order.
    against = _inversions(y[np.lexsort((y, x))])
    agreement = pairs - x_ties - y_ties + joint - 2 * against
    return float(agreement / np.sqrt(pairs - x_ties) / np.sqrt(pairs - y_ties))


def _dense(values: FloatArray) -> tuple[IntArray, IntArray]:
    """Places from 0 among the different values, (n,), and how often each of those occurs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return place.reshape(-1).astype(np.int64), counts.astype(np.int64)


def _pairs(counts: IntArray) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _inversions(values: IntArray) -> int:
    """Pairs in which the larger of two whole numbers comes first.

    The highest bit in which the two differ decides, so that bit by bit the pairs are counted among
    numbers that agree in all higher bits.

    >>> _inversions(np.array([2, 0, 1, 1]))
    3
    """
    found = 0
    for bit in range(int(values.max()).bit_length()):
        # Numbers with the same higher bits side by side, in the order in which they came.
        order = np.argsort(values >> (bit + 1), kind="stable")
        ones = (values[order] >> bit) & 1
        higher = values[order] >> (bit + 1)
        before = np.cumsum(ones)
        begins = np.flatnonzero(np.r_[True, higher[1:] != higher[:-1]])
        earlier = np.repeat(before[begins] - ones[begins], np.diff(np.r_[begins, len(values)]))
        found += int(((before - earlier) * (1 - ones)).sum())
    return found
