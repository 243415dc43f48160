"""A dataset without labels: predicted, stored and reported, and never learnt from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import datasets, export
from bench.errors import DataError, UsageError
from bench.fitting import Checkpoint, Trajectory
from bench.store import Store
from bench.validate import validate
from tests.conftest import Bench

PROTOCOL = "pairs: [[toy, pool]]\nrepeats: 1\nevaluate_every: 1\nmethods: [toy_linear]\n"


@pytest.fixture
def pooled(tmp_path: Path, toy_data: Path) -> Bench:
    """The toy databases, and the images of one of them as a pool without table and labels."""
    data = tmp_path / "data"
    shutil.copytree(toy_data, data)
    folder = data / "pool" / "inner"
    folder.mkdir(parents=True)
    for image in sorted((data / "toy2").glob("*.png"))[:25]:
        shutil.copy(image, folder)
    (folder / "notes.txt").write_text("no image")
    with (data / "iqa-data.yaml").open("a") as file:
        file.write("  pool: {root: pool, label: none}\n")
    return Bench(tmp_path, data)


def test_predictions_are_stored_and_no_metric_is_made_up(pooled: Bench) -> None:
    result = pooled.run(pooled.protocol(PROTOCOL), "--methods", "toy_linear,toy_luminance")
    assert result.returncode == 0, result.stdout + result.stderr
    store = Store(pooled.results)
    records = {record.spec.method: record for record in store.records()}
    assert set(records) == {"toy_linear", "toy_luminance"}
    for record in records.values():
        assert record.sizes["test"] == 25
        assert record.metrics["last"] == {}
        assert not record.judged
        table = store.predictions(record.spec)
        assert table["quality"].isna().all()
        assert np.isfinite(table["prediction"]).all()
    # Nothing can be read off a pool between epochs, so nothing is computed there.
    assert [point.test for point in records["toy_linear"].curve] == [None] * 4
    assert validate(pooled.results, [pooled.data]).findings == []
    table = export.load(pooled.results, metrics=["krcc"])
    assert table["status"].tolist() == ["done", "done"]
    assert store.problems == []
    pairs = pooled("gmad", pooled.results, "--pairs", 2, "--levels", 3, "--out", "pairs")
    assert pairs.returncode == 0, pairs.stderr
    found = json.loads((pooled.folder / "pairs" / "gmad.json").read_text())
    assert (found["labelled"], found["tolerance"], found["tally"]) == (False, None, [])
    assert found["images"] == 25
    assert "By labels" not in (pooled.folder / "pairs" / "index.html").read_text()
    refused = pooled("gmad", pooled.results, "--tolerance", 0.1)
    assert (refused.returncode, "pool has no labels" in refused.stderr) == (2, True)


def test_the_report_says_that_there_are_no_labels(pooled: Bench) -> None:
    text = PROTOCOL + "datasets: [toy]\n"
    result = pooled.run(pooled.protocol(text), "--methods", "toy_linear,toy_luminance")
    assert result.returncode == 0, result.stdout + result.stderr
    summary = pd.read_csv(pooled.results / "report" / "summary.csv")
    assert set(summary["test"]) == {"toy"}
    index = (pooled.results / "report" / "index.html").read_text()
    assert "pool: images without labels" in index
    alone = pooled("run", pooled.protocol(PROTOCOL, "alone"), "--results", "alone")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert (
        "pool: images without labels"
        in (pooled.folder / "alone" / "report" / "index.html").read_text()
    )


def test_what_needs_labels_is_refused_before_anything_runs(pooled: Bench) -> None:
    for arguments, expected in [
        (["--datasets", "pool"], "pool has no labels to learn from"),
        (["--datasets", "pool:toy"], "pool has no labels to learn from"),
        (["--set", "selection=best_test"], "best_test needs labels to choose by"),
        (["--datasets", "toy:"], "expected DATASET, or TRAIN:TEST"),
    ]:
        result = pooled.run(pooled.protocol(PROTOCOL), *arguments)
        assert result.returncode == 2
        assert expected in result.stderr
        assert not pooled.results.exists()


def test_datasets_are_replaced_by_pairs(pooled: Bench) -> None:
    result = pooled.run(pooled.protocol(PROTOCOL), "--datasets", "toy2:toy,toy", "--dry-run")
    assert "toy2 → toy" in result.stdout
    assert "toy_linear" in result.stdout
    assert "pool" not in result.stdout


def test_validation_images_choose_an_epoch_where_the_pool_cannot(pooled: Bench) -> None:
    result = pooled.run(pooled.protocol(PROTOCOL), "--set", "selection=val")
    assert result.returncode == 0, result.stderr
    (record,) = Store(pooled.results).records()
    assert set(record.metrics) == {"last", "val"}
    best = max(record.curve, key=lambda point: sum((point.val or {}).values()))
    assert record.chosen_epoch["val"] == best.epoch


def test_the_best_test_epoch_needs_labels() -> None:
    zeros = np.zeros(3)
    points = [Checkpoint(epoch, zeros, {}, {"srcc": epoch, "plcc": 0.0}) for epoch in (1, 2)]
    assert set(Trajectory(checkpoints=points).chosen()) == {"last", "val"}
    labelled = [Checkpoint(epoch, zeros, {"srcc": 0.1}, None) for epoch in (1, 2)]
    assert set(Trajectory(checkpoints=labelled).chosen()) == {"last", "best_test"}


def test_a_folder_of_images_is_a_pool(pooled: Bench) -> None:
    pool = datasets.load("pool", pooled.data)
    assert len(pool) == 25
    assert pool.table["image"][0] == "inner/000.png"
    assert not pool.info.labelled
    shutil.rmtree(pooled.data / "pool" / "inner")
    with pytest.raises(DataError, match="no samples"):
        datasets.load("pool", pooled.data)
    (pooled.data / "iqa-data.yaml").write_text("databases:\n  pool: {root: pool}\n")
    with pytest.raises(UsageError, match="needs 'table', or 'label: none'"):
        datasets.info("pool", pooled.data)
