"""Intervals over images beside a summary: what is pooled, what is said where there are none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.analysis import image_intervals
from bench.analysis.results import load
from bench.analysis.stored_predictions import StoredPredictions
from bench.data.at_hand import AtHand
from bench.model.records import Task
from bench.reports.render import render
from bench.stats import image_interval, mean_interval, numbered, side
from bench.store import Store
from tests.fake_results import FakeSweep, maker, task


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IQA_DATA", raising=False)


def _filled(store: Store, *roots: Path) -> pd.DataFrame:
    results = load(store)
    images = StoredPredictions(store, AtHand(roots))
    return image_intervals.beside(results.summary, results.runs, images, results.protocols)


def test_all_splits_of_a_cell_are_pooled_by_the_names_of_their_images(tmp_path: Path) -> None:
    sweep = FakeSweep(tmp_path / "r", repeats=4, datasets=("livec",))
    store = sweep.write()
    summary = _filled(store)
    own = [sweep.record("good", "livec", k)[1] for k in range(4)]
    codes = numbered([table["image"] for table in own])
    sides = [side(t["prediction"], t["quality"], c) for t, c in zip(own, codes, strict=True)]
    row = summary[(summary["label"] == "good") & (summary["metric"] == "srcc")].iloc[0]
    wanted = image_interval(sides)
    assert (row["image_low"], row["image_high"]) == (wanted.low, wanted.high)
    assert row["image_low"] < row["median"] < row["image_high"]
    assert row["image_clusters"] == 160
    assert row["image_note"] == ""


def test_they_are_kept_until_predictions_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = FakeSweep(tmp_path / "r", repeats=2, datasets=("livec",))
    store = sweep.write()
    first = _filled(store)
    with monkeypatch.context() as patched:
        patched.setattr(image_intervals, "_together", None)  # would fail if it were called
        pd.testing.assert_frame_equal(_filled(store), first)
    record, table = sweep.record("good", "livec", 0)
    store.write(record, table.assign(prediction=np.arange(40.0), prediction_last=np.arange(40.0)))
    again = _filled(store)
    assert not again["image_low"].equals(first["image_low"])


def test_a_database_with_references_must_be_at_hand(tmp_path: Path, toy_data: Path) -> None:
    made = maker(tmp_path / "r", metrics=("srcc", "auc_bw"))
    made.cell("a", task("kadid10k"), [0.8, 0.7])
    made.cell("a", task("toy"), [0.8, 0.7])
    store = made.save()
    summary = _filled(store).set_index(["dataset", "metric"])
    assert np.isnan(summary.loc[("kadid10k", "srcc"), "image_low"])
    assert "kadid10k is not under the data roots" in summary.loc[("kadid10k", "srcc"), "image_note"]
    assert "not a known database" in summary.loc[("toy", "srcc"), "image_note"]
    assert "for this metric" in summary.loc[("toy", "auc_bw"), "image_note"]
    found = _filled(store, toy_data).set_index(["dataset", "metric"])
    assert "more images are not in toy" in found.loc[("toy", "srcc"), "image_note"]


def test_images_of_one_group_are_drawn_together(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    names = [f"img{index:03}.png" for index in range(80)]
    table = pd.DataFrame({"image": names, "score": 3.0, "content": np.arange(80) // 10})
    table.to_csv(root / "scores.csv", index=False)
    (root / "iqa-data.yaml").write_text(
        "databases:\n  mine: {root: ., table: scores.csv, range: [1, 5], group: content}\n"
    )
    made = maker(tmp_path / "r")
    made.cell("a", task("mine"), [0.8])
    row = _filled(made.save(), root).iloc[0]
    assert row["image_clusters"] == 8
    assert row["image_low"] < row["image_high"]
    assert row["bounds"] == "one value"


def test_a_report_says_in_words_why_there_are_none(tmp_path: Path) -> None:
    made = maker(tmp_path / "r")
    made.cell("a", task("livec"), [0.8] * 7)
    made.cell("b", task("kadid10k"), [0.8] * 3)
    rendered = render(made.save(), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "no interval over images of srcc on kadid10k: which images share a content" in page
    assert "images [a, b] is the 95 % bootstrap interval" in page
    assert "a to b is the range of 3 splits; an interval takes at least 6" in page
    written = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert written["image_low"].notna().tolist() == [True, False]
    assert written["bounds"].tolist() == ["interval", "range"]
    without = render(made.store, tmp_path / "bare", with_images=False)
    assert without.summary["image_low"].isna().all()
    assert rendered.summary.shape == without.summary.shape


def test_unreadable_predictions_are_named(tmp_path: Path) -> None:
    store = FakeSweep(tmp_path / "r", repeats=2, datasets=("livec",)).write()
    broken = next((store.root / "records").rglob("*.parquet"))
    broken.write_bytes(b"PAR1 cut off")
    notes = "".join(_filled(store)["image_note"])
    assert "cannot be read" in notes


def test_constant_predictions_have_no_interval(tmp_path: Path) -> None:
    sweep = FakeSweep(tmp_path / "r", repeats=2, datasets=("livec",))
    sweep = dataclasses.replace(sweep, constant=frozenset({"good"}))
    rows = _filled(sweep.write()).set_index(["label", "metric"])
    assert np.isnan(rows.loc[("good", "srcc"), "image_low"])
    assert "undefined" in rows.loc[("good", "srcc"), "image_note"]
    assert rows.loc[("fair", "srcc"), "image_low"] > 0


def test_means_over_test_sets_have_intervals_too(tmp_path: Path) -> None:
    made = maker(
        tmp_path / "r", train=(), test=("livec", "bid"), means=("plain", "by_images"), repeats=2
    )
    for name in ("livec", "bid"):
        made.cell("a", Task(train="", test=name, side="whole", zero_shot=True), [0.8, 0.7])
    store = made.save()
    rows = _filled(store).set_index(["test", "metric"])
    images = StoredPredictions(store, AtHand([tmp_path]))
    runs = load(store).runs
    sets = [
        images.sides(name, runs[runs["test"] == name]["record"].tolist(), "last")
        for name in ("livec", "bid")
    ]
    for kind, by_images in (("mean", False), ("mean_by_images", True)):
        row = rows.loc[(kind, "srcc")]
        expected = mean_interval(sets, by_images=by_images)
        assert (row["image_low"], row["image_high"]) == (expected.low, expected.high)
        assert row["image_note"] == ""
    # Two sets together say more than each of them.
    width = rows["image_high"] - rows["image_low"]
    assert width["mean", "srcc"] < min(width["livec", "srcc"], width["bid", "srcc"])
