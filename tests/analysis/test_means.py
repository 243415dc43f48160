"""Means over the test sets of a fit: per split, own and unseen sets apart, absent if incomplete."""

from __future__ import annotations

import io
import statistics
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.analysis import results
from bench.model.records import Task
from bench.reports import latex, terminal
from tests.fake_results import FakeResults, maker

TRAIN = ("koniq10k", "spaq")
SIZES = {"koniq10k": 200, "spaq": 300, "livec": 100, "bid": 50}
VALUES: dict[str, list[Any]] = {
    "koniq10k": [0.9, 0.7, 0.8],
    "spaq": [0.5, 0.9, 0.6],
    "livec": [0.1, 0.6, 0.4],
    "bid": [0.8, 0.1, 0.2],
}


def suite(root: Path, means: tuple[str, ...] = ("plain", "by_images", "all")) -> FakeResults:
    return maker(root, train=TRAIN, test=tuple(SIZES), means=means, repeats=3)


def add(made: FakeResults, label: str, values: dict[str, list[Any]], **record: Any) -> None:
    for name, found in values.items():
        task = Task(
            train="+".join(TRAIN), test=name, side="own" if name in TRAIN else "whole", labels=10
        )
        sizes = {"train": 10, "val": 0, "test": SIZES[name]}
        made.cell(label, task, found, sizes=sizes, **record)


def summary(made: FakeResults) -> pd.DataFrame:
    return results.load(made.save()).summary


def by_hand(names: list[str], weighted: bool) -> float:
    """The median over splits of the mean over sets."""
    weights = [SIZES[name] if weighted else 1 for name in names]
    return statistics.median(
        sum(w * VALUES[name][k] for w, name in zip(weights, names, strict=True)) / sum(weights)
        for k in range(3)
    )


def test_they_are_medians_of_the_splits_means_and_kinds_stay_apart(tmp_path: Path) -> None:
    made = suite(tmp_path)
    add(made, "good", VALUES)
    rows = summary(made).set_index("test")
    for suffix, names in {
        "": ["livec", "bid"],
        "_own": ["koniq10k", "spaq"],
        "_all": list(SIZES),
    }.items():
        for kind, weighted in (("mean", False), ("mean_by_images", True)):
            found = float(rows["median"][kind + suffix])
            assert found == pytest.approx(by_hand(names, weighted)), (kind, suffix)
    # A mean of medians would be another number.
    assert float(rows["median"]["mean"]) != pytest.approx((0.4 + 0.2) / 2)
    assert rows["dataset"]["mean"] == "mean of 2 unseen sets"
    assert rows["dataset"]["mean_by_images_own"] == "mean by images of 2 own sets"
    assert rows["dataset"]["mean_all"] == "mean of 4 sets, seen and unseen"
    assert rows["dataset"]["spaq"] == "spaq (test side)"


def test_without_all_nothing_mixes(tmp_path: Path) -> None:
    made = suite(tmp_path, ("plain",))
    add(made, "good", VALUES)
    assert set(summary(made)["test"]) == {*SIZES, "mean", "mean_own"}


@pytest.mark.parametrize("trouble", ["RuntimeError: broken", "absent"])
def test_a_mean_lacks_where_one_of_its_sets_is_incomplete(tmp_path: Path, trouble: str) -> None:
    made = suite(tmp_path)
    add(made, "good", VALUES)
    broken = {**VALUES, "bid": [0.8, trouble, 0.5]}
    if trouble == "absent":
        del broken["bid"]  # its cell was left out
    add(made, "worse", broken)
    found = summary(made)
    assert set(found[found["label"] == "good"]["test"]) > {"mean", "mean_own", "mean_all"}
    means = {test for test in found[found["label"] == "worse"]["test"] if test.startswith("mean")}
    assert means == {"mean_own", "mean_by_images_own"}


def test_a_mean_carries_the_dagger_of_any_of_its_sets(tmp_path: Path) -> None:
    made = suite(tmp_path)
    add(made, "good", VALUES)
    add(made, "seen", VALUES, trained_on=["livec"])
    found = summary(made).set_index(["label", "test"])["contaminated"]
    marked = {test for (label, test), flag in found.items() if label == "seen" and flag}
    assert marked == {"livec", "mean", "mean_by_images", "mean_all", "mean_by_images_all"}
    assert not found["good"].any()


def test_terminal_and_latex_have_the_columns(tmp_path: Path) -> None:
    made = suite(tmp_path, ("plain", "by_images"))
    add(made, "good", VALUES)
    add(made, "seen", VALUES, trained_on=["livec"])
    table = summary(made)
    text = io.StringIO()
    terminal.leaderboard(table, Console(file=text, width=300))
    written = latex.document(table, [made.protocol])
    for title in ("mean of 2 unseen sets", "mean by images of 2 own sets"):
        assert title in text.getvalue()
        assert title in written
    assert "SPAQ (test side)" in written
    assert "$^\\dagger$" in written


def test_means_over_rendered_sets_are_marked_as_such(tmp_path: Path) -> None:
    made = maker(
        tmp_path, train=(), test=("demo_authentic", "demo_synthetic"), means=("plain",), repeats=1
    )
    for name in ("demo_authentic", "demo_synthetic"):
        made.cell("good", Task(train="", test=name, side="whole", zero_shot=True), [0.5])
    found = summary(made)
    assert set(found["test"]) == {"demo_authentic", "demo_synthetic", "mean"}
    assert found["demo"].all()
