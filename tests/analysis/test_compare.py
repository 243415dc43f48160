"""Methods against each other from stored results."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis import Results, load
from bench.analysis.check import check
from bench.analysis.compare import WithinDataset, across, matrix, of_protocol, table, within
from bench.analysis.stored_predictions import StoredPredictions
from bench.data.at_hand import AtHand
from bench.stats import SplitSizes, compare_over_splits, corrected_t, holm, wilcoxon_signed_rank
from bench.store import table as runs_table
from bench.util.errors import UsageError
from tests.conftest import run_cli
from tests.fake_results import FakeSweep, maker, task

THREE = {"best": 0.3, "middle": 0.8, "worst": 2.0}
SIX = tuple(f"set_{index}" for index in range(6))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    root = tmp_path_factory.mktemp("results")
    return runs_table.load(FakeSweep(root, noise=THREE, datasets=SIX).write())


def test_pairs_are_compared_over_their_common_splits(runs: pd.DataFrame) -> None:
    found = within(runs)
    assert [item.test for item in found] == list(SIX)
    first = found[0]
    assert first.n_splits == 10
    assert [(pair.first, pair.second) for pair in first.pairs] == [
        ("best", "middle"),
        ("best", "worst"),
        ("middle", "worst"),
    ]
    wide = runs[runs["test"] == SIX[0]].pivot(index="repeat", columns="label", values="srcc")
    sizes = SplitSizes(160, 40)
    tests = [corrected_t(wide[pair.first] - wide[pair.second], sizes) for pair in first.pairs]
    assert [pair.corrected for pair in first.pairs] == tests
    assert [pair.corrected_holm for pair in first.pairs] == pytest.approx(
        holm([test.p_value for test in tests])
    )
    ranked = wilcoxon_signed_rank(wide["best"] - wide["middle"])
    assert first.pairs[0].signed_rank == ranked


def test_differences_are_counted_and_halved(runs: pd.DataFrame) -> None:
    pair = within(runs)[0].pairs[0]
    wide = runs[runs["test"] == SIX[0]].pivot(index="repeat", columns="label", values="srcc")
    differences = wide["best"] - wide["middle"]
    assert pair.median == pytest.approx(differences.median())
    assert (pair.higher, pair.lower) == ((differences > 0).sum(), (differences < 0).sum())


def test_the_same_test_images_at_every_repeat_are_said(runs: pd.DataFrame) -> None:
    assert not any(item.same_test for item in within(runs))
    assert all(item.same_test for item in within(runs.assign(train="pipal")))
    assert all(item.same_test for item in within(runs.assign(split_digest="official")))


def test_the_order_of_rows_does_not_matter(runs: pd.DataFrame) -> None:
    turned = runs.sample(frac=1, random_state=1)
    first = {
        pair.first + pair.second: pair for pair in within(turned[turned["test"] == SIX[0]])[0].pairs
    }
    for pair in within(runs)[0].pairs:
        other = first.get(pair.first + pair.second)
        if other is not None:
            assert other.corrected.mean == pytest.approx(pair.corrected.mean)


def test_all_against_one(runs: pd.DataFrame) -> None:
    found = within(runs, reference="middle")
    assert [(p.first, p.second) for p in found[0].pairs] == [
        ("middle", "best"),
        ("middle", "worst"),
    ]
    only = within(runs, methods=["best"], reference="middle")
    assert [(p.first, p.second) for p in only[0].pairs] == [("middle", "best")]
    with pytest.raises(UsageError, match="Did you mean 'middle'"):
        within(runs, methods=["midle"])
    with pytest.raises(UsageError, match="unknown metric"):
        within(runs, metric="midle")


def test_incomplete_methods_are_left_out_and_named(tmp_path: Path) -> None:
    factory = FakeSweep(tmp_path, noise=THREE, absent=frozenset({("worst", 1)}))
    runs = runs_table.load(factory.write())
    found = within(runs)
    assert [(p.first, p.second) for p in found[0].pairs] == [("best", "middle")]
    assert found[0].left_out == {"worst": "9 of 10 runs have a value"}
    ranks = across(runs)[0]
    assert ranks.result.names == ("best", "middle")
    assert ranks.left_out == {"worst": "9 of 10 runs have a value on livec"}


def test_ranks_across_datasets(runs: pd.DataFrame) -> None:
    (found,) = across(runs)
    assert found.datasets == SIX
    assert found.result.names == ("best", "middle", "worst")
    assert found.result.ranks == (1.0, 2.0, 3.0)
    assert found.result.friedman is not None
    assert found.result.friedman.p_value == pytest.approx(np.exp(-6), rel=1e-6)
    (errors,) = across(runs, "rmse")
    assert errors.result.names == ("best", "middle", "worst")


def test_one_dataset_gives_no_ranks_and_one_method_no_pairs(runs: pd.DataFrame) -> None:
    assert across(runs[runs["test"] == SIX[0]]) == []
    alone = runs[runs["label"] == "best"]
    assert within(alone) == []
    assert across(alone) == []
    assert within(runs[runs["repeat"] == 0]) == []


def test_comparisons_as_rows(runs: pd.DataFrame) -> None:
    rows = table(within(runs))
    assert len(rows) == 18
    assert {"mean_difference", "low", "high", "p_holm", "wilcoxon_p_holm"} <= set(rows.columns)


def test_datasets_without_labels_are_not_compared(runs: pd.DataFrame) -> None:
    bare = runs["test"] == SIX[0]
    without = runs.assign(labelled=runs["labelled"].mask(bare, False), srcc=runs["srcc"].mask(bare))
    assert [item.test for item in within(without)] == list(SIX[1:])
    (found,) = across(without)
    assert found.datasets == SIX[1:]
    assert found.left_out == {}


def test_the_command(tmp_path: Path) -> None:
    root = tmp_path / "results"
    FakeSweep(root, noise=THREE, datasets=SIX).write()
    ended = run_cli("compare", root, "--csv", tmp_path / "pairs.csv", "--metric", "krcc")
    assert ended.returncode == 0
    assert "Nadeau–Bengio" in ended.text
    assert "Friedman p" in ended.text
    assert len(pd.read_csv(tmp_path / "pairs.csv")) == 18
    alone = run_cli("compare", root, "--methods", "best")
    assert alone.returncode == 3
    assert "Over images: the uncertainty" not in alone.stdout
    assert run_cli("compare", root, "--methods", "bst").returncode == 2
    assert run_cli("compare", root, "--protocol", "none").returncode == 2


A = [0.80, 0.82, 0.81, 0.84, 0.79, 0.83]
B = [0.70, 0.73, 0.70, 0.75, 0.71, 0.72]
C = [0.79, 0.83, 0.80, 0.85, 0.79, 0.82]


def of(scores: dict[str, list[float]], same_test: bool = False) -> WithinDataset:
    pairs = compare_over_splits(scores, SplitSizes(320, 80))
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
    widest = corrected_t(np.subtract(A, B), SplitSizes(320, 80))
    assert within(found.runs)[0].pairs[0].corrected == widest
    assert pair.corrected.mean == widest.mean
    assert pair.corrected.correlation < widest.correlation
    assert item.ranks[0].result.names == ("a", "c", "b")


def test_a_label_budget_narrows_intervals_by_stored_predictions(tmp_path: Path) -> None:
    # Splits of 40 images without a common one, 10 labels of 200 images: only training is shared.
    store = FakeSweep(tmp_path / "r", noise={"good": 0.5, "fair": 0.6}, datasets=("livec",)).write()
    runs, images = runs_table.load(store), StoredPredictions(store, AtHand())
    (plain,), (informed,) = (within(runs, images=one)[0].pairs for one in (None, images))
    assert plain.corrected.correlation == pytest.approx(0.2)
    assert informed.corrected.correlation <= 0.05 / 1.05 + 1e-9
    assert informed.corrected.p_value < plain.corrected.p_value
    assert table(within(runs, images=images))["correlation"].tolist() == [
        informed.corrected.correlation
    ]
    # `bench check` says the same of the same differences.
    (cell,) = (
        c for c in check(store.root, store.root, reference="fair").cells if c.label == "good"
    )
    assert (cell.low, cell.high) == pytest.approx(
        (informed.corrected.low, informed.corrected.high), abs=2e-5
    )
    # Without the predictions of some run the widest covariance is taken.
    next(store.root.rglob("*.parquet")).unlink()
    assert within(runs, images=StoredPredictions(store, AtHand()))[0].pairs == (plain,)
