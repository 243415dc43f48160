"""Maximal cliques of a small graph: the bars of a critical-difference diagram."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def maximal_cliques(adjacent: npt.NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """All largest sets of mutually adjacent vertices of a symmetric (m, m) matrix, sorted.

    Bron & Kerbosch, Comm. ACM 16, 1973, with a pivot. The diagonal is of no account.

    >>> maximal_cliques(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=bool))
    [(0, 1), (1, 2)]
    """
    neighbours = [
        {j for j in range(len(adjacent)) if j != i and adjacent[i, j]} for i in range(len(adjacent))
    ]
    return sorted(_extend(neighbours, set(), set(range(len(adjacent))), set()))


def _extend(
    neighbours: list[set[int]], clique: set[int], candidates: set[int], done: set[int]
) -> Iterator[tuple[int, ...]]:
    if not candidates and not done:
        yield tuple(sorted(clique))
        return
    pivot = max(candidates | done, key=lambda v: len(neighbours[v] & candidates))
    for v in sorted(candidates - neighbours[pivot]):
        near = neighbours[v]
        yield from _extend(neighbours, clique | {v}, candidates & near, done & near)
        candidates = candidates - {v}
        done = done | {v}
