"""Methods against each other from results that were read: pairs as a matrix."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.compare import WithinDataset
from bench.analysis.comparisons import matrix, of_protocol
from bench.analysis.results import Results, load
from bench.stats import compare_over_splits, nadeau_bengio
from tests.fake_results import maker, task

A = [0.80, 0.82, 0.81, 0.84, 0.79, 0.83]
B = [0.70, 0.73, 0.70, 0.75, 0.71, 0.72]
C = [0.79, 0.83, 0.80, 0.85, 0.79, 0.82]


def of(scores: dict[str, list[float]], same_test: bool = False) -> WithinDataset:
    pairs = compare_over_splits(scores, 320, 80)
    return WithinDataset("p", "livec", "livec", "50", "last", 6, pairs, {}, same_test)


def results(root: Path, **more: list[float]) -> Results:
    made = maker(root)
    for label, values in {"a": A, "b": B, "c": C, **more}.items():
        for name in ("livec", "koniq10k"):
            made.cell(label, task(name), values)
    return load(made.save())


def test_a_cell_reads_from_its_row() -> None:
    found = matrix(of({"b": B, "a": A, "c": C}), higher_is_better=True)
    assert found.names == ("a", "c", "b")
    cell = found.cells["a", "b"]
    assert cell.difference == pytest.approx(np.median(np.subtract(A, B)))
    assert (cell.wins, cell.losses) == (6, 0)
    assert cell.significant
    ties = found.cells["a", "c"]
    assert (ties.wins, ties.losses) == (3, 2)
    assert not ties.significant


def test_lower_is_better_for_an_error() -> None:
    found = matrix(of({"a": A, "b": B}), higher_is_better=False)
    assert found.names == ("b", "a")
    cell = found.cells["b", "a"]
    assert cell.difference > 0
    assert (cell.wins, cell.losses) == (6, 0)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=3, max_size=8))
def test_what_one_wins_the_other_loses(rows: list[tuple[float, ...]]) -> None:
    columns = {name: [row[i] for row in rows] for i, name in enumerate("abc")}
    found = matrix(of(columns), higher_is_better=True)
    for (first, second), cell in found.cells.items():
        other = found.cells[second, first]
        assert cell.difference == -other.difference
        assert (cell.wins, cell.losses) == (other.losses, other.wins)
        assert cell.p == other.p or math.isnan(cell.p) == math.isnan(other.p)


def test_the_same_test_images_give_no_p() -> None:
    cell = matrix(of({"a": A, "b": B}, same_test=True), higher_is_better=True).cells["a", "b"]
    assert math.isnan(cell.p)
    assert not cell.significant
    assert cell.reason == "every repeat tests the same images"


def test_stored_runs_are_compared(tmp_path: Path) -> None:
    found = results(tmp_path)
    item = of_protocol(found, found.protocols[0])
    assert item is not None
    assert [one.test for one in item.tasks] == ["livec", "koniq10k"]
    pair = item.tasks[0].pairs[0]
    # 80 test images leave 320 of 400, whatever the budget of 50 labels.
    assert pair.corrected == nadeau_bengio(np.subtract(A, B), 320, 80)
    assert item.ranks[0].result.names == ("a", "c", "b")
