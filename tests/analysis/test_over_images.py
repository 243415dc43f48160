"""Methods compared over images: on a task, over a suite, in words and on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.analysis.over_images import at_least, compare
from bench.analysis.stored_predictions import StoredPredictions
from bench.data.at_hand import AtHand
from bench.reports.render import render
from bench.store import Store
from bench.store import table as runs_table
from tests.conftest import run_cli
from tests.fake_results import FakeSweep

SETS = ("livec", "koniq10k", "spaq", "bid", "livefb", "uwiqa")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IQA_DATA", raising=False)


def _sweep(root: Path, **noise: float) -> Store:
    return FakeSweep(root, noise=noise, datasets=SETS, repeats=2).write()


def test_a_suite_is_surer_than_each_of_its_sets(tmp_path: Path) -> None:
    store = _sweep(tmp_path / "r", good=0.6, fair=0.8)
    runs = runs_table.load(store)
    found = compare(runs, StoredPredictions(store, AtHand()))
    assert [len(item.tasks) for item in found] == [1] * 6 + [6]
    singles, suite = [item.pairs[0] for item in found[:-1]], found[-1].pairs[0]
    assert suite.over_images.estimate == pytest.approx(
        np.mean([pair.over_images.estimate for pair in singles])
    )
    # What the table shows: the mean over splits of the differences.
    wide = runs[runs["test"] == "livec"].pivot(index="repeat", columns="label", values="srcc")
    assert singles[0].over_images.estimate == pytest.approx((wide["good"] - wide["fair"]).mean())
    assert suite.over_images.low > 0
    widths = [pair.over_images.high - pair.over_images.low for pair in singles]
    assert suite.over_images.high - suite.over_images.low < 0.7 * min(widths)
    text = at_least(suite, higher_is_better=True)
    assert text.startswith(f"good is better than fair by at least {suite.over_images.low:.3f}")
    assert suite.over_sets is not None
    assert not suite.over_sets.reason


def test_the_command_says_which_interval_it_used(tmp_path: Path) -> None:
    store = _sweep(tmp_path / "r", good=0.5, fair=1.2)
    ended = run_cli("compare", store.root, "--csv", tmp_path / "c.csv")
    assert ended.returncode == 0
    assert "over this suite good is better than fair by at least" in ended.text
    assert "95 % interval" in ended.text
    assert "Over images: the uncertainty of a difference" in ended.text
    written = pd.read_csv(tmp_path / "c.csv")
    assert set(written["interval"]) == {"splits", "images"}
    assert written[written["interval"] == "images"]["low"].notna().all()
    alone = run_cli("compare", store.root, "--no-images").text
    assert "over this suite" not in alone
    other = run_cli("compare", store.root, "--metric", "auc_bw").text
    assert "auc_bw has no interval over images" in other


def test_the_command_gives_the_tests_of_errors(tmp_path: Path) -> None:
    store = _sweep(tmp_path / "r", good=0.3, fair=1.5)
    text = run_cli("compare", store.root, "--p1401", "--no-images").text
    assert "livec, 10 labels: good – fair, median p over 2 splits: RMSE (Pitman–Morgan) " in text
    assert "RMSE (P.1401, F) " in text
    assert "PLCC (P.1401, Fisher's z) " in text
    assert "without tests that need ratings: livec is not under the data roots" in text
    assert "fitted on the test images" in text


def test_lower_is_better_turns_the_sentence(tmp_path: Path) -> None:
    store = _sweep(tmp_path / "r", good=0.4, fair=1.2)
    runs = runs_table.load(store)
    pair = compare(runs, StoredPredictions(store, AtHand()), "rmse")[-1].pairs[0]
    assert pair.over_images.high < 0
    assert at_least(pair, higher_is_better=False).startswith("good is better than fair")


def test_what_cannot_be_compared_is_named(tmp_path: Path) -> None:
    sweep = FakeSweep(tmp_path / "r", datasets=("livec", "kadid10k"), repeats=2)
    store = sweep.write()
    runs = runs_table.load(store)
    found = compare(runs, StoredPredictions(store, AtHand()))
    assert [item.tasks for item in found] == [("livec",), ("kadid10k",)]
    assert found[-1].pairs == ()
    assert "which images share a content is not known" in found[-1].left_out["kadid10k"]


def test_reports_say_where_a_first_place_is_below_what_a_database_can_show(tmp_path: Path) -> None:
    store = _sweep(tmp_path / "r", one=0.8, two=0.8)
    render(store, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "here is below what this database can show (95 % over images [" in page
