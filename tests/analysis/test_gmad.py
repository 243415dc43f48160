"""gMAD: hand-calculated pairs, and properties of every pair over random pools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.analysis.gmad import (
    ImagePair,
    Match,
    assign_levels,
    attack,
    compete,
    default_tolerance,
    judge,
    level_edges,
    widest_pairs,
)

# Few different values, so that ties are common.
COARSE = st.integers(-4, 4).map(float)
FINE = st.floats(-1e6, 1e6, allow_subnormal=False)
SPACINGS = st.sampled_from(["quantile", "uniform"])


@st.composite
def pool(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores of an attacker and a defender, 1 to 60 images."""
    size = draw(st.integers(1, 60))
    values = st.lists(draw(st.sampled_from([COARSE, FINE])), min_size=size, max_size=size)
    return np.array(draw(values)), np.array(draw(values))


def test_a_case_by_hand() -> None:
    #            0    1    2    3    4    5    6    7
    defender = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]
    attacker = [5.0, 9.0, 1.0, 4.0, 2.0, 2.0, 8.0, 7.0]
    match = attack(attacker, defender, levels=2, top=2, names=("A", "D"))
    assert match.edges == pytest.approx((0.1, 0.6, 0.9))
    assert match.sizes == (4, 4)
    found = [(pair.level, pair.rank, pair.worst, pair.best, pair.gap) for pair in match.pairs]
    assert found == [
        (0, 0, 2, 1, 8.0),  # of images 0-3 the attacker likes 1 best and 2 least
        (0, 1, 3, 0, 1.0),  # of what is left, 0 and 3
        (1, 0, 4, 6, 6.0),  # 4 and 5 tie for the worst: the first counts as lower
        (1, 1, 5, 7, 5.0),
    ]
    assert match.pairs[0].held == pytest.approx(-0.1)
    assert match.ends() == (0, 1)


def test_roles_are_swapped_by_default() -> None:
    scores = {"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 1.0, 3.0, 2.0], "c": [0.0, 1.0, 0.0, 1.0]}
    matches = compete(scores, levels=2)
    roles = [(match.attacker, match.defender) for match in matches]
    assert roles == [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]
    by_hand = {(match.attacker, match.defender): match for match in matches}["b", "a"]
    # Level 0 of a holds images 0 and 1, level 1 images 2 and 3.
    assert [(pair.worst, pair.best) for pair in by_hand.pairs] == [(1, 0), (3, 2)]
    only = compete(scores, [("c", "a")], levels=2)
    assert [(match.attacker, match.defender) for match in only] == [("c", "a")]


def test_levels_by_range_and_by_number_of_images() -> None:
    scores = [0.0, 1.0, 2.0, 3.0, 100.0]
    assert assign_levels(scores, level_edges(scores, 2)).tolist() == [0, 0, 1, 1, 1]
    assert assign_levels(scores, level_edges(scores, 2, "uniform")).tolist() == [0, 0, 0, 0, 1]
    match = attack([1.0, 2.0, 3.0, 4.0, 5.0], scores, levels=4, spacing="uniform")
    assert match.sizes == (4, 0, 0, 1)
    assert match.ends() == (0,)  # the level of one image has no pair


def test_no_pair_where_there_is_nothing_to_tell_apart() -> None:
    assert attack([1.0] * 6, np.arange(6.0), levels=2).pairs == ()
    constant = attack(np.arange(6.0), [3.0] * 6, levels=3)
    assert constant.sizes == (0, 0, 6)  # equal scores are one level
    assert [(pair.worst, pair.best) for pair in constant.pairs] == [(0, 5)]
    assert attack([1.0], [1.0], levels=2).ends() == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"levels": 1}, "at least 2 levels"),
        ({"top": 0}, "at least 1 pair"),
        ({"defender": [1.0, 2.0]}, "attacker scores 3 images, defender 2"),
        ({"attacker": [1.0, float("nan"), 2.0]}, "attacker: 1 of 3 values are NaN"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object], expected: str) -> None:
    values: dict[str, object] = {"attacker": [1.0, 2.0, 3.0], "defender": [1.0, 2.0, 3.0]}
    values.update(change)
    with pytest.raises(ValueError, match=expected):
        attack(values.pop("attacker"), values.pop("defender"), **values)  # type: ignore[arg-type]


def test_labels_say_who_was_right() -> None:
    quality = [1.0, 2.0, 5.0]
    tolerance = default_tolerance(quality, 4)
    assert tolerance == 1.0

    def verdict(best: int, worst: int) -> str:
        return judge(ImagePair(0, 0, best, worst, 1.0, 0.0), quality, tolerance)

    assert verdict(2, 0) == "attacker"
    assert verdict(1, 0) == "defender"  # exactly the tolerance still counts as equal
    assert verdict(0, 1) == "defender"
    assert verdict(0, 2) == "neither"


@given(pool(), st.integers(2, 12), st.integers(1, 5), SPACINGS)
def test_properties_of_pairs(
    scores: tuple[np.ndarray, np.ndarray], levels: int, top: int, spacing: str
) -> None:
    attacker, defender = scores
    match = attack(attacker, defender, levels=levels, top=top, spacing=spacing)  # type: ignore[arg-type]
    assigned = assign_levels(defender, match.edges)
    assert sum(match.sizes) == len(defender)
    used: list[int] = []
    for pair in match.pairs:
        # Both images lie in the pair's level, by number and by score.
        assert assigned[pair.best] == assigned[pair.worst] == pair.level
        low, high = match.edges[pair.level], match.edges[pair.level + 1]
        for image in (pair.best, pair.worst):
            assert low <= defender[image] <= high
        # No two images of the level that are not used yet lie further apart.
        members = np.flatnonzero(assigned == pair.level)
        left = attacker[np.setdiff1d(members, used)]
        assert pair.gap == np.ptp(left) > 0
        assert pair.gap == attacker[pair.best] - attacker[pair.worst]
        used += [pair.best, pair.worst]
    assert len(set(used)) == len(used)
    for level in range(levels):
        members = attacker[assigned == level]
        number = sum(pair.level == level for pair in match.pairs)
        most = min(top, len(members) // 2)
        # Fewer pairs than asked for only where the level has no more, or no difference left.
        assert number == sum(gap > 0 for gap in _gaps(members)[:most])


@given(pool(), st.integers(2, 12), SPACINGS)
def test_equal_scores_share_a_level_and_levels_ascend(
    scores: tuple[np.ndarray, np.ndarray], levels: int, spacing: str
) -> None:
    values, _ = scores
    edges = level_edges(values, levels, spacing)  # type: ignore[arg-type]
    assigned = assign_levels(values, edges)
    assert np.all(np.diff(edges) >= 0)
    assert assigned.min() >= 0
    assert assigned.max() < levels
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(assigned[order]) >= 0)
    for value in np.unique(values):
        assert len(set(assigned[values == value])) == 1


@given(pool(), st.integers(2, 6), st.floats(0.25, 8), st.floats(-100, 100))
def test_units_of_a_method_do_not_matter(
    scores: tuple[np.ndarray, np.ndarray], levels: int, slope: float, offset: float
) -> None:
    attacker, defender = scores
    moved = slope * attacker + offset
    # Rounding may make two scores equal that were not; that is another pool.
    assume(len(np.unique(moved)) == len(np.unique(attacker)))
    assert _images(attack(attacker, defender, levels=levels, top=2)) == _images(
        attack(moved, defender, levels=levels, top=2)
    )


@given(st.integers(1, 200), st.integers(2, 12))
def test_levels_without_ties_hold_equally_many(size: int, levels: int) -> None:
    values = np.random.default_rng(size).permutation(size).astype(float)
    sizes = np.bincount(assign_levels(values, level_edges(values, levels)), minlength=levels)
    assert sizes.max() - sizes.min() <= 1


def test_widest_pairs_of_nothing() -> None:
    assert widest_pairs(np.array([]), 3) == []
    assert widest_pairs(np.array([1.0]), 3) == []


def _images(match: Match) -> list[tuple[int, int]]:
    return [(pair.best, pair.worst) for pair in match.pairs]


def _gaps(members: np.ndarray) -> np.ndarray:
    ordered = np.sort(members)
    return (ordered[::-1] - ordered)[: len(ordered) // 2]
