"""The summary: medians by hand, and nothing that is silently dropped."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis import load, summarise
from bench.analysis.grid import grid, number, ranked
from bench.analysis.summary import write_csv
from bench.store import Store
from bench.store import table as runs_table
from bench.util.errors import StoreError, UsageError
from tests.fake_results import FakeResults, maker, showcase, task

TEN = [0.81, 0.84, 0.79, 0.83, 0.85, 0.80, 0.82, 0.86, 0.88, 0.87]


def only(made: FakeResults, **where: object) -> pd.Series:
    """The one row of the summary for which all of `where` holds."""
    summary = load(made.save()).summary
    for key, value in where.items():
        summary = summary[summary[key] == value]
    assert len(summary) == 1
    return summary.iloc[0]


def test_median_and_interval_by_hand(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("GRMP", task(), TEN, method="grmp")
    row = only(made)
    found = (row["median"], row["low"], row["high"])
    assert found == pytest.approx((0.835, 0.80, 0.87))
    assert row["mean"] == pytest.approx(0.835)
    assert row["coverage"] == pytest.approx(0.9785, abs=1e-4)
    assert (row["n"], row["expected"], row["complete"]) == (10, 10, True)
    assert (row["label"], row["method"], row["dataset"], row["labels"]) == (
        "GRMP",
        "grmp",
        "livec",
        "50",
    )
    assert row["seconds"] == 10.0


def test_failed_missing_and_undefined_runs_are_counted_apart(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task(), [0.5, 0.7, None, "ValueError: no", 0.6], expected=7)
    row = only(made)
    assert (row["n"], row["expected"]) == (3, 7)
    assert (row["failed"], row["undefined"], row["missing"]) == (1, 1, 2)
    assert row["median"] == pytest.approx(0.6)
    assert not row["complete"]


def test_a_cell_without_any_run_stays_in_the_summary(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task(), [], expected=4)
    row = only(made)
    assert (row["n"], row["expected"], row["missing"]) == (0, 4, 4)
    assert all(math.isnan(row[name]) for name in ("median", "low", "high", "mean", "seconds"))


def test_an_unreadable_record_is_missing_and_named(tmp_path: Path) -> None:
    made = maker(tmp_path)
    first, _ = made.cell("a", task(), [0.5, 0.6])
    store = made.save()
    store.path(first.spec).write_text("{")
    row = only(made)
    assert (row["n"], row["missing"]) == (1, 1)


def test_selection_gap_by_hand(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task(), [0.5, 0.6, 0.7], best=[0.58, 0.65, 0.71])
    row = only(made)
    assert row["best_test_median"] == pytest.approx(0.65)
    assert row["gap"] == pytest.approx(0.05)


@pytest.mark.parametrize("epochs", [0, 3, 5])
def test_without_a_choice_of_epochs_there_is_no_gap(tmp_path: Path, epochs: int) -> None:
    """Evaluation is after every fifth epoch and the last: these were evaluated once."""
    made = maker(tmp_path)
    made.cell("piqe", task(), [0.5, 0.6, 0.7], chosen_epoch={"last": epochs, "best_test": epochs})
    assert math.isnan(only(made)["gap"])


def test_best_test_cells_report_the_best_test_epoch(tmp_path: Path) -> None:
    made = maker(tmp_path, selection="best_test")
    made.cell("a", task(), [0.5, 0.6, 0.7], best=[0.6, 0.7, 0.8], selection="best_test")
    row = only(made)
    assert row["median"] == pytest.approx(0.7)
    assert row["gap"] == 0


def test_the_summary_is_made_of_the_table_alone(tmp_path: Path) -> None:
    store = showcase(tmp_path / "store", repeats=4)
    results = load(store)
    path = runs_table.write(store, tmp_path, "csv")
    read = summarise(pd.read_csv(path, keep_default_na=True, dtype={"budget": str}))
    numbers = results.summary.select_dtypes("number").columns
    pd.testing.assert_frame_equal(read[numbers], results.summary[numbers], check_dtype=False)
    keys = ["protocol", "label", "dataset", "labels", "metric", "complete", "contaminated", "demo"]
    assert read[keys].equals(results.summary[keys])


def test_the_order_of_runs_does_not_matter(tmp_path: Path) -> None:
    runs = runs_table.load(showcase(tmp_path, repeats=4))
    keys = ["label", "dataset", "labels", "metric"]
    one, other = (
        summarise(each).set_index(keys).sort_index()
        for each in (runs, runs.sample(frac=1, random_state=1))
    )
    pd.testing.assert_frame_equal(one, other)


def test_protocols_say_which_metrics_are_shown(tmp_path: Path) -> None:
    made = maker(tmp_path, metrics=("plcc",))
    made.cell("a", task(), [0.5])
    results = load(made.save())
    assert results.summary["metric"].tolist() == ["plcc"]
    assert summarise(results.runs)["metric"].tolist() == ["srcc", "plcc"]


def test_images_without_labels_have_no_row(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task(), [0.5], metrics={"last": {}})
    made.cell("b", task(), ["ValueError: no"])
    assert load(made.save()).summary["label"].tolist() == ["b"]


def test_demo_and_contamination_are_flagged(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task("demo_authentic"), [0.5], trained_on=["livec"])
    made.cell("a", task("livec@2"), [0.5], trained_on=["livec"])
    made.cell("a", task("koniq10k", train="livec", test="koniq10k"), [0.5], trained_on=["livec"])
    summary = load(made.save()).summary
    assert list(summary["demo"]) == [True, False, False]
    assert list(summary["contaminated"]) == [False, True, False]
    assert summary["dataset"].iloc[2] == "livec → koniq10k"


def test_weights_that_saw_one_side_of_a_published_split_are_clean_on_the_other(
    tmp_path: Path,
) -> None:
    made = maker(tmp_path, split="liqe")
    seen = ["livec#liqe/1"]
    made.cell("first", task("livec"), [0.5], trained_on=seen)
    made.cell("ten", task("livec"), [0.5, 0.5], trained_on=seen)
    whole = {"train": "koniq10k", "learn": "all", "side": "whole"}
    made.cell("across", task("livec", **whole), [0.5], trained_on=seen)
    made.cell("whole", task("livec"), [0.5], trained_on=["livec"])
    assert list(load(made.save()).summary["contaminated"]) == [False, True, True, True]
    other = maker(tmp_path / "random")
    other.cell("random", task("livec"), [0.5], trained_on=seen)
    assert list(load(other.save()).summary["contaminated"]) == [True]


def test_ranks_leave_incomplete_cells_out_and_ties_share(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("best but incomplete", task(), [0.99], expected=2)
    made.cell("first", task(), [0.80012, 0.80012])
    made.cell("also first", task(), [0.8003, 0.8003])
    made.cell("second", task(), [0.7, 0.7])
    made.cell("third", task(), [0.6, 0.6])
    found = ranked(load(made.save()).summary).set_index("label")["rank"]
    assert math.isnan(found["best but incomplete"])
    assert [found[name] for name in ("first", "also first", "second", "third")] == [1, 1, 2, 3]


def test_ranks_follow_the_direction_of_the_metric(tmp_path: Path) -> None:
    made = maker(tmp_path, metrics=("rmse",))
    for label, value in (("far", 2.0), ("near", 1.0)):
        made.cell(label, task(), [0.5], metrics={"last": {"rmse": value}})
    found = ranked(load(made.save()).summary).set_index("label")["rank"]
    assert (found["near"], found["far"]) == (1, 2)


def test_a_method_alone_is_not_ranked(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("alone", task(), [0.5])
    assert ranked(load(made.save()).summary)["rank"].isna().all()


def test_tables_take_any_keys(tmp_path: Path) -> None:
    made = maker(tmp_path, metrics=("srcc", "plcc"))
    made.cell("a", task(), [0.5])
    made.cell("a", task(labels=100), [0.6])
    summary = load(made.save()).summary
    turned = grid(summary, rows=("dataset", "metric"), columns=("labels", "label"))
    assert turned.rows == (("livec", "srcc"), ("livec", "plcc"))
    assert turned.columns == (("50", "a"), ("100", "a"))
    assert turned.cells[("livec", "plcc"), ("100", "a")].median == pytest.approx(0.61)
    with pytest.raises(UsageError, match="add 'labels' to the rows or columns"):
        grid(summary, columns=("dataset", "metric"))
    with pytest.raises(UsageError, match=r"unknown table key 'labls'.*'labels'"):
        grid(summary, columns=("labls",))


def test_undefined_numbers_are_empty_fields(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("a,b", task(), [], expected=2)
    write_csv(load(made.save()).summary, tmp_path / "summary.csv")
    table = pd.read_csv(tmp_path / "summary.csv")
    assert table["label"][0] == "a,b"
    assert math.isnan(table["median"][0])


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="bench run"):
        load(Store(tmp_path))


@pytest.mark.parametrize(
    ("value", "text"), [(0.8125, "0.812"), (-0.00001, "0.000"), (math.nan, "–"), (12.5, "12.500")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
