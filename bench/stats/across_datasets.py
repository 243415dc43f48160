"""Methods compared across datasets: ranks, Friedman, Wilcoxon with Holm, and the groups to draw.

J. Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006; with
pairwise Wilcoxon instead of Nemenyi's test, whose answer for two methods depends on which others
are in the table (A. Benavoli, G. Corani, F. Mangili, JMLR 17, 2016). A value is one per dataset and
method: the median over repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray, require_finite
from bench.stats.cliques import maximal_cliques
from bench.stats.paired import holm, signed_ranks


@dataclass(frozen=True)
class Friedman:
    """Friedman's test that all methods rank alike."""

    statistic: float
    """Chi-squared with `df` degrees of freedom."""
    p_value: float
    """Of chi-squared, an approximation."""
    df: int
    """Methods minus one."""


@dataclass(frozen=True)
class PairwiseWilcoxon:
    """Every pair of m methods over the same datasets; (m, m) symmetric, 1 on the diagonal."""

    p_values: FloatArray
    """Two-sided, pair by pair."""
    p_holm: FloatArray
    """The same after Holm over all pairs."""
    smallest_holm: float
    """The least that any `p_holm` can be with this many datasets and methods."""


@dataclass(frozen=True)
class Clique:
    """Methods no two of which differ significantly: one bar of the diagram."""

    members: tuple[int, ...]
    """Positions in `CriticalDifference.names`, best first."""
    contiguous: bool
    """False when a method ranks between members and is none: mark the members on the bar."""


@dataclass(frozen=True)
class CriticalDifference:
    """The content of a critical-difference diagram, in order of average rank, best first."""

    names: tuple[str, ...]
    """Methods."""
    ranks: tuple[float, ...]
    """Their average ranks; 1 is best."""
    friedman: Friedman | None
    """None for two methods, where Wilcoxon alone decides."""
    pairwise: PairwiseWilcoxon
    """Which pairs differ."""
    groups: tuple[Clique, ...]
    """Largest groups of two or more, by their best member."""
    alpha: float
    """Level of both tests."""


def average_ranks(scores: npt.ArrayLike, higher_is_better: bool = True) -> FloatArray:
    """(m,) mean ranks, 1 the best, of (d, m) scores of m methods on d datasets; ties share.

    Raises `ValueError` for another shape, d < 1, m < 2, NaN or infinity: a method without a result
    on some dataset is left out by the caller, never filled in.

    >>> average_ranks([[.9, .8, .7], [.9, .7, .7]])
    array([1.  , 2.25, 2.75])
    """
    from scipy import stats

    table = _table(scores)
    upward = -table if higher_is_better else table
    return np.asarray(stats.rankdata(upward, axis=1).mean(axis=0))


def friedman(scores: npt.ArrayLike) -> Friedman:
    """Friedman's test (1937) of (d, m) scores of m >= 3 methods on d >= 2 datasets.

    As `scipy.stats.friedmanchisquare`, corrected for ties; chi-squared is an approximation that
    is rough below about ten datasets. All methods equal everywhere: statistic 0, p 1. Raises
    `ValueError` as `average_ranks`, and for d < 2 or m < 3.

    >>> friedman([[1, 2, 3], [1, 2, 3], [1, 3, 2], [1, 2, 3]]).statistic
    6.5
    """
    from scipy import stats

    table = _table(scores)
    d, m = table.shape
    if d < 2 or m < 3:
        raise ValueError(f"scores: Friedman needs 2 datasets and 3 methods, got {d} and {m}")
    if (table == table[:, :1]).all():
        return Friedman(0.0, 1.0, m - 1)
    statistic, p_value = stats.friedmanchisquare(*table.T)
    return Friedman(float(statistic), float(p_value), m - 1)


def wilcoxon_holm(scores: npt.ArrayLike) -> PairwiseWilcoxon:
    """Wilcoxon's signed-rank test of every pair of m methods over d datasets, Holm over all pairs.

    `scores` is (d, m). With few datasets nothing can be significant, and `smallest_holm` says so:
    six datasets and three methods give 0.094 at best. Raises `ValueError` as `average_ranks`.

    >>> table = [[.9, .8], [.8, .7], [.7, .65], [.9, .7], [.6, .5], [.8, .6]]
    >>> wilcoxon_holm(table).p_holm
    array([[1.     , 0.03125],
           [0.03125, 1.     ]])
    """
    table = _table(scores)
    m = table.shape[1]
    pairs = list(combinations(range(m), 2))
    differences = np.array([_differences(table, i, j) for i, j in pairs])
    raw = [test.p_value for test in signed_ranks(differences)]
    smallest = min(1.0, len(pairs) * 2.0 ** (1 - table.shape[0]))
    return PairwiseWilcoxon(_matrix(raw, pairs, m), _matrix(holm(raw), pairs, m), smallest)


def critical_difference(
    scores: npt.ArrayLike,
    names: Sequence[str],
    alpha: float = 0.05,
    higher_is_better: bool = True,
) -> CriticalDifference:
    """Average ranks and groups of (d, m) scores of m methods called `names` on d datasets.

    Two methods differ when Wilcoxon-Holm says so at `alpha` and, for m >= 3, Friedman rejects that
    all are alike (Demsar 2006: no rejection, no pairwise claims, one group of all). Wilcoxon weighs
    how large differences are and ranks do not, so a group need not be a stretch of the ranks: see
    `Clique.contiguous`. Raises `ValueError` as `average_ranks`, for names that do not match the
    columns or repeat, and for `alpha` outside (0, 1).

    >>> table = [[.9, .8, .4], [.8, .82, .5], [.7, .6, .3], [.9, .91, .6], [.7, .6, .2],
    ...          [.8, .7, .5], [.9, .7, .4], [.8, .8, .1]]
    >>> result = critical_difference(table, ["a", "b", "c"])
    >>> [(result.names[i], round(result.ranks[i], 2)) for i in result.groups[0].members]
    [('a', 1.31), ('b', 1.69)]
    """
    table = _table(scores)
    m = table.shape[1]
    if len(names) != m or len(set(names)) != m:
        raise ValueError(f"names: expected {m} different names, got {list(names)}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: expected a number between 0 and 1, got {alpha}")
    ranks = average_ranks(table, higher_is_better)
    order = np.argsort(ranks, kind="stable")
    ordered = table[:, order]
    overall = friedman(ordered) if m >= 3 and table.shape[0] >= 2 else None
    pairwise = wilcoxon_holm(ordered)
    alike = pairwise.p_holm >= alpha
    if overall is not None and overall.p_value >= alpha:
        alike = np.ones((m, m), dtype=bool)
    return CriticalDifference(
        names=tuple(names[i] for i in order),
        ranks=tuple(float(ranks[i]) for i in order),
        friedman=overall,
        pairwise=pairwise,
        groups=tuple(_group(members) for members in maximal_cliques(alike) if len(members) > 1),
        alpha=alpha,
    )


def _group(members: tuple[int, ...]) -> Clique:
    return Clique(members, members[-1] - members[0] == len(members) - 1)


def _differences(table: FloatArray, i: int, j: int) -> FloatArray:
    difference = table[:, i] - table[:, j]
    # 0.8 - 0.7 and 0.9 - 0.8 are one difference but two floats: rounded, they tie as they should.
    return np.asarray(np.round(difference, 12))


def _matrix(values: npt.ArrayLike, pairs: list[tuple[int, int]], m: int) -> FloatArray:
    matrix = np.ones((m, m))
    first, second = np.array(pairs).T
    matrix[first, second] = matrix[second, first] = values
    return matrix


def _table(scores: npt.ArrayLike) -> FloatArray:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(f"scores: expected (datasets, 2 or more methods), got shape {table.shape}")
    require_finite(table, "scores")
    return table
