"""Group maximum differentiation (gMAD): which images would show that a method is wrong.

K. Ma, Q. Wu, Z. Wang, Z. Duanmu, H. Yong, H. Li, L. Zhang, "Group MAD Competition - A New
Methodology to Compare Objective Image Quality Models", CVPR 2016, pp. 1664-1673; extended in
K. Ma et al., "Group Maximum Differentiation Competition: Model Comparison with Few Samples", IEEE
TPAMI 42(4), 2020, pp. 851-864.

One method, the defender, divides a pool of images into levels of equal quality by its scores. The
other, the attacker, picks within a level the images that it takes for the best and the worst of
it. If they look alike, the defender held; if they do not, the attacker found its mistake. The pool
needs no labels; where there are some, `judge` says who was right.

Everything here is a pure function of arrays. Scores run upwards (higher is better); no two scales
are ever compared, so that methods may score in whatever units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import finite_vector

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Spacing = Literal["quantile", "uniform"]
Verdict = Literal["attacker", "defender", "neither"]


@dataclass(frozen=True)
class ImagePair:
    """Two images of one level of the defender, as far apart as the attacker could find them."""

    level: int
    """Level of the defender, from 0, the worst."""
    rank: int
    """0 for the level's widest pair, 1 for the widest of what that leaves, and so on."""
    best: int
    """Index into the pool of the image that the attacker takes for better."""
    worst: int
    """Index of the other."""
    gap: float
    """Attacker's score of `best` minus that of `worst`, above 0."""
    held: float
    """Defender's score of `best` minus that of `worst`, within one level."""


@dataclass(frozen=True)
class Match:
    """One attacker against one defender."""

    attacker: str
    defender: str
    edges: tuple[float, ...]
    """(K + 1) bounds of the levels in the defender's units, ascending."""
    sizes: tuple[int, ...]
    """(K) images in each level."""
    pairs: tuple[ImagePair, ...]
    """By level, then by rank. A level of one image, or one whose images the attacker scores all
    alike, has none."""

    def ends(self) -> tuple[int, ...]:
        """The worst and the best level that have pairs; one level, or none, where no more have."""
        found = sorted({pair.level for pair in self.pairs})
        return tuple(dict.fromkeys((found[0], found[-1]))) if found else ()


def level_edges(scores: npt.ArrayLike, count: int, spacing: Spacing = "quantile") -> FloatArray:
    """(count + 1) ascending bounds of `count` levels of (n,) `scores`.

    'quantile' puts the same number of images into each level, give or take one, as far as ties
    allow (equal scores never lie in two levels, so that levels may then be empty); 'uniform'
    divides the range of the scores evenly. Raises `ValueError` for scores that are not finite and
    for fewer than two levels.

    >>> level_edges([0, 1, 2, 10], 2).tolist(), level_edges([0, 1, 2, 10], 2, "uniform").tolist()
    ([0.0, 2.0, 10.0], [0.0, 5.0, 10.0])
    """
    values = finite_vector(scores, "scores")
    if count < 2:
        raise ValueError(f"gMAD needs at least 2 levels, got {count}")
    if spacing == "uniform":
        return np.linspace(values.min(), values.max(), count + 1)
    ordered = np.sort(values)
    # A level begins at its lowest score: nothing is interpolated, and so nothing rounded.
    starts = ordered[np.arange(count) * values.size // count]
    return np.append(starts, ordered[-1])


def assign_levels(scores: npt.ArrayLike, edges: npt.ArrayLike) -> IntArray:
    """(n,) level of each score: level k holds `edges[k] <= score < edges[k + 1]`, the last its end.

    >>> assign_levels([0, 1, 2, 10], [0.0, 2.0, 10.0]).tolist()
    [0, 0, 1, 1]
    """
    inner = np.asarray(edges, dtype=np.float64)[1:-1]
    return np.searchsorted(inner, np.asarray(scores, dtype=np.float64), side="right")


def widest_pairs(scores: FloatArray, top: int) -> list[tuple[int, int]]:
    """Up to `top` (worst, best) positions in (n,) `scores`, the widest first, none used twice.

    Pair i is the i-th lowest and the i-th highest: no two of the positions that pairs before it
    leave are further apart. Of equal scores the one that comes first counts as lower. A pair
    without any difference is none.

    >>> widest_pairs(np.array([3.0, 1.0, 2.0, 9.0]), top=5)
    [(1, 3), (2, 0)]
    """
    count = min(top, len(scores) // 2)
    order = np.argsort(scores, kind="stable")
    found = [(int(order[i]), int(order[-1 - i])) for i in range(count)]
    return [(worst, best) for worst, best in found if scores[best] > scores[worst]]


def attack(
    attacker: npt.ArrayLike,
    defender: npt.ArrayLike,
    *,
    levels: int = 10,
    top: int = 1,
    spacing: Spacing = "quantile",
    names: tuple[str, str] = ("attacker", "defender"),
) -> Match:
    """All pairs that an attacker finds against a defender, from their (n,) scores of one pool.

    In every level of the defender up to `top` pairs; a match uses no image twice. Raises
    `ValueError` for scores of different lengths or that are not finite, fewer than two levels,
    and fewer than one pair.
    """
    attacking, defending = finite_vector(attacker, names[0]), finite_vector(defender, names[1])
    if attacking.size != defending.size:
        raise ValueError(
            f"{names[0]} scores {attacking.size} images, {names[1]} {defending.size}: "
            "gMAD needs one pool"
        )
    if top < 1:
        raise ValueError(f"gMAD needs at least 1 pair a level, got {top}")
    edges = level_edges(defending, levels, spacing)
    assigned = assign_levels(defending, edges)
    pairs = [
        ImagePair(
            level=level,
            rank=rank,
            best=int(rows[best]),
            worst=int(rows[worst]),
            gap=float(attacking[rows[best]] - attacking[rows[worst]]),
            held=float(defending[rows[best]] - defending[rows[worst]]),
        )
        for level, rows in _members(assigned, levels)
        for rank, (worst, best) in enumerate(widest_pairs(attacking[rows], top))
    ]
    sizes = np.bincount(assigned, minlength=levels)
    return Match(*names, tuple(edges.tolist()), tuple(sizes.tolist()), tuple(pairs))


def compete(
    scores: Mapping[str, npt.ArrayLike],
    roles: Iterable[tuple[str, str]] | None = None,
    *,
    levels: int = 10,
    top: int = 1,
    spacing: Spacing = "quantile",
) -> list[Match]:
    """Matches of methods by their (n,) scores of one pool; `roles` are (attacker, defender) names.

    By default every method attacks every other one, in the order of `scores`. Raises `ValueError`
    as `attack` does.
    """
    names = list(scores)
    if roles is None:
        roles = [(one, other) for one in names for other in names if one != other]
    return [
        attack(scores[a], scores[d], levels=levels, top=top, spacing=spacing, names=(a, d))
        for a, d in roles
    ]


def default_tolerance(quality: npt.ArrayLike, levels: int) -> float:
    """The difference in quality that still counts as equal: the range of (n,) labels over K.

    A perfect defender with evenly spaced levels would hold no two images further apart.

    >>> default_tolerance([1.0, 2.5, 5.0], 10)
    0.4
    """
    values = finite_vector(quality, "quality")
    return float(values.max() - values.min()) / levels


def judge(pair: ImagePair, quality: npt.ArrayLike, tolerance: float) -> Verdict:
    """Who was right about a pair, by (n,) labels where higher is better.

    The attacker, where its better image is better by more than `tolerance`; the defender, where
    the two differ by no more than that; neither, where the attacker's better image is the worse.

    >>> pair = ImagePair(level=0, rank=0, best=0, worst=1, gap=1.0, held=0.0)
    >>> [judge(pair, quality, 0.5) for quality in ([3, 2], [3, 2.5], [2, 3])]
    ['attacker', 'defender', 'neither']
    """
    labels = np.asarray(quality, dtype=np.float64)
    difference = labels[pair.best] - labels[pair.worst]
    if abs(difference) <= tolerance:
        return "defender"
    return "attacker" if difference > 0 else "neither"


def _members(assigned: IntArray, levels: int) -> Iterator[tuple[int, IntArray]]:
    """Each level with the indices of its images, in the order of the pool."""
    order = np.argsort(assigned, kind="stable")
    bounds = np.searchsorted(assigned[order], np.arange(levels + 1))
    for level in range(levels):
        yield level, order[bounds[level] : bounds[level + 1]]
