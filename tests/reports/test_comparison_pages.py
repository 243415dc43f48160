"""Comparisons in reports: their page, and diagrams of ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.compare import AcrossDatasets
from bench.reports import rank_diagram as diagrams
from bench.reports.render import render
from bench.stats import critical_difference
from tests.fake_results import maker, task

A = [0.80, 0.82, 0.81, 0.84, 0.79, 0.83]
B = [0.70, 0.73, 0.70, 0.75, 0.71, 0.72]


def test_incomplete_methods_are_left_out_by_name(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("a", task(), A)
    made.cell("b", task(), B)
    made.cell("unfinished", task(), [0.5], expected=6)
    out = render(made.save(), tmp_path / "out").out
    text = (out / "comparisons.html").read_text(encoding="utf-8")
    assert "Left out: unfinished (1 of 6 runs have a value)." in text


def test_one_method_has_no_comparison_page(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("a", task(), A)
    rendered = render(made.save(), tmp_path / "out")
    assert not (rendered.out / "comparisons.html").exists()
    assert "comparisons.html" not in (rendered.out / "index.html").read_text(encoding="utf-8")


def across(table: list[list[float]], names: list[str]) -> AcrossDatasets:
    result = critical_difference(table, names)
    datasets = tuple(f"set{i}" for i in range(len(table)))
    return AcrossDatasets("p", "50", "last", datasets, result, {})


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 8), st.integers(2, 12), st.integers(0, 100))
def test_bars_never_hide_each_other(methods: int, sets: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = (rng.normal(size=(sets, methods)) + np.arange(methods)).tolist()
    found = across(table, [f"m{i}" for i in range(methods)])
    shape = diagrams.diagram(found)
    assert sorted(name.text for name in shape.names) == sorted(found.result.names)
    places = [(name.left, name.row) for name in shape.names]
    assert len(set(places)) == len(places)
    for i, bar in enumerate(shape.bars):
        for other in shape.bars[:i]:
            apart = bar.high < other.low or other.high < bar.low
            assert apart or bar.row != other.row


def test_a_caption_says_when_nothing_can_be_found() -> None:
    few = across([[0.9, 0.8, 0.1], [0.9, 0.8, 0.2]], ["a", "b", "c"])
    assert "no pair can be: the smallest possible p is 1." in diagrams.caption(few)
    many = across([[0.9 + i / 100, 0.5 + i / 300, 0.1] for i in range(8)], ["a", "b", "c"])
    assert "no pair can be" not in diagrams.caption(many)
    assert diagrams.caption(many).startswith("Average ranks over 8 datasets; Friedman p = ")
