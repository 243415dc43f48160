"""Results as a table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.store import Store
from bench.store import table as runs_table
from bench.util.errors import UsageError
from tests.conftest import run_cli
from tests.fake_results import SWEEP_IMAGES, FakeSweep, maker, task

FULL = 2 * 2 * 10


def test_every_run_is_a_row(tmp_path: Path) -> None:
    factory = FakeSweep(tmp_path, failed=frozenset({("good", 1)}), absent=frozenset({("fair", 2)}))
    runs = runs_table.load(factory.write())
    assert len(runs) == FULL
    assert runs["status"].value_counts().to_dict() == {"done": 36, "failed": 2, "missing": 2}
    assert list(runs.columns[:4]) == ["protocol", "label", "method", "train"]
    row = runs[(runs["label"] == "good") & (runs["test"] == "livec") & (runs["repeat"] == 3)].iloc[
        0
    ]
    record, _ = factory.record("good", "livec", 3)
    assert row["srcc"] == record.metrics["last"]["srcc"]
    assert (row["n_train"], row["n_test"], row["budget"]) == (10, SWEEP_IMAGES, "10")
    missing = runs[runs["status"] == "missing"]
    assert set(missing["repeat"]) == {2}
    assert missing["srcc"].isna().all()


def test_the_pool_is_what_a_split_leaves_whatever_the_budget(tmp_path: Path) -> None:
    record, _ = FakeSweep(tmp_path).record("good", "livec", 0)
    assert runs_table.pool_size(record) == 4 * SWEEP_IMAGES
    full = record.model_copy(update={"sizes": {"train": 900, "val": 30, "test": 232}})
    assert runs_table.pool_size(full) == 930
    assert runs_table.pool_size(record.model_copy(update={"sizes": {}})) is None
    # Of a training pooled with 8,058 images of another database, these are no part of the splits.
    fit = record.spec.fit.model_copy(update={"train": "livec+koniq10k"})
    pooled = record.spec.model_copy(update={"fit": fit})
    sizes = {"train": 930 + 8058, "val": 0, "test": 232}
    assert runs_table.pool_size(full.model_copy(update={"spec": pooled, "sizes": sizes})) == 928
    spec = record.spec.model_copy(update={"test": "koniq10k", "side": "whole"})
    across = record.model_copy(update={"spec": spec})
    assert runs_table.pool_size(across) == 10


def test_a_row_says_what_a_choice_of_epochs_could_gain(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task(), [0.5, None], best=[0.7, 0.6])
    made.cell("once", task(), [0.5], chosen_epoch={"last": 5, "best_test": 5})
    made.cell("none", task(), [0.5], chosen_epoch={"last": 0, "best_test": 0})
    runs = runs_table.load(made.save())
    assert runs["n_evaluated"].tolist() == [4, 4, 1, 0]
    assert runs["best_test_srcc"].tolist() == [0.7, 0.6, 0.5, 0.5]
    assert runs["srcc"].isna().tolist() == [False, True, False, False]
    assert runs_table.metrics_of(runs) == ["srcc", "plcc"]


def test_a_row_leads_to_its_record_and_predictions(tmp_path: Path) -> None:
    sweep = FakeSweep(tmp_path, datasets=("livec",), absent=frozenset({("fair", 2)}))
    store = sweep.write()
    for row in runs_table.load(store).to_dict("records"):
        there = (tmp_path / row["record"]).with_suffix(".parquet").exists()
        assert there == (row["status"] == "done")
        assert store.path(sweep.spec(row["label"], "livec", row["repeat"])) == (
            tmp_path / row["record"]
        )


def test_images_without_labels_are_marked(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task(), [0.5, "ValueError: no"], expected=3)
    made.cell("a", task("koniq10k"), [0.5], metrics={"last": {}})
    labelled = runs_table.load(made.save())["labelled"]
    assert labelled.isna().tolist() == [False, True, True, False]
    assert labelled.dropna().tolist() == [True, False]


def test_a_run_that_two_protocols_share_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for protocol in ("one", "two"):
        store = FakeSweep(tmp_path, datasets=("livec",), protocol=protocol).write()
    read: list[str] = []
    known = Store.read
    monkeypatch.setattr(
        Store, "read", lambda self, path, curve=True: read.append(path) or known(self, path, curve)
    )
    runs = runs_table.load(store)
    assert runs["run_id"].value_counts().tolist() == [2] * 20
    assert len(read) == len(set(read)) == 20


def test_a_metric_that_records_lack_comes_from_predictions(tmp_path: Path) -> None:
    store = FakeSweep(tmp_path).write()
    assert "krcc" not in runs_table.load(store)
    runs = runs_table.load(store, metrics=["krcc", "srcc"])
    assert runs["krcc"].between(-1, 1).all()
    path = next(tmp_path.glob("records/*/*/*.parquet"))
    path.write_bytes(b"broken")
    runs = runs_table.load(store, metrics=["krcc"])
    assert runs["krcc"].isna().sum() == 1
    assert str(path) in store.problems[0]
    with pytest.raises(UsageError, match="Did you mean 'krcc'"):
        runs_table.load(store, metrics=["krc"])


def test_records_without_a_protocol_are_rows_too(tmp_path: Path) -> None:
    FakeSweep(tmp_path).write()
    shutil.rmtree(tmp_path / "protocols")
    runs = runs_table.load(tmp_path)
    assert len(runs) == FULL
    assert set(runs["protocol"]) == {""}
    assert set(runs["label"]) == {"good", "fair"}


def test_an_empty_folder_has_the_columns(tmp_path: Path) -> None:
    runs = runs_table.load(tmp_path)
    assert runs.empty
    assert list(runs.columns) == list(runs_table.COLUMNS)
    with pytest.raises(UsageError, match="no results folder"):
        runs_table.load(tmp_path / "none")


@pytest.mark.parametrize("form", runs_table.FORMATS)
def test_files_hold_the_table(tmp_path: Path, form: str) -> None:
    store = FakeSweep(tmp_path / "results", absent=frozenset({("fair", 2)})).write()
    path = runs_table.write(store, tmp_path, form)
    assert path == tmp_path / f"runs.{form}"
    if form == "json":
        rows = json.loads(path.read_text())
        read = pd.DataFrame(rows)
        assert any(row["srcc"] is None for row in rows)
    else:
        read = pd.read_csv(path) if form == "csv" else pd.read_parquet(path)
    np.testing.assert_allclose(
        read["srcc"].astype(float), runs_table.load(store)["srcc"], rtol=1e-14
    )
    assert read["run_id"].tolist() == runs_table.load(store)["run_id"].tolist()


def test_the_command(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "results").write()
    out = tmp_path / "out" / "all.csv"
    assert run_cli("export", "--format", "csv", tmp_path / "results", out).returncode == 0
    assert len(pd.read_csv(out)) == FULL
    ended = run_cli("export", "--format", "xml", tmp_path / "results", out)
    assert (ended.returncode, "unknown format 'xml'" in ended.text) == (2, True)
