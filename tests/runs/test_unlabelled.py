"""A dataset without labels: predicted, stored and reported, and never learnt from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.cli import session
from bench.data import datasets
from bench.runs.execute.fitting import EvaluatedEpoch, Trajectory
from bench.store import Store
from bench.store import table as runs_table
from bench.store.validate import validate
from bench.util.errors import DataError, UsageError
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
    table = runs_table.load(pooled.results, metrics=["krcc"])
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
    result = pooled.run_and_report(pooled.protocol(text), "--methods", "toy_linear,toy_luminance")
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
    path = str(pooled.protocol(PROTOCOL))
    own: dict[str, Any] = {"data_root": [pooled.data], "results": pooled.results}
    for options, expected in [
        ({"datasets": ("pool",)}, "pool has no labels to train on"),
        ({"datasets": ("pool:toy",)}, "pool has no labels to train on"),
        ({"assignments": ("selection=best_test",)}, "best_test needs labels to choose by"),
        ({"datasets": ("toy:",)}, "expected DATASET, or TRAIN:TEST"),
    ]:
        with pytest.raises(UsageError, match=expected):
            session.prepare(session.Options(path, **own, **options))
    replaced = session.Options(path, datasets=("toy2:toy", "toy"), **own)
    titles = {cell.task.title for cell in session.prepare(replaced)[0].cells}
    assert titles == {"toy2 → toy", "toy"}


def test_validation_images_choose_an_epoch_where_the_pool_cannot(pooled: Bench) -> None:
    result = pooled.run(pooled.protocol(PROTOCOL), "--set", "selection=val")
    assert result.returncode == 0, result.stderr
    (record,) = Store(pooled.results).records()
    assert set(record.metrics) == {"last", "val"}
    best = max(record.curve, key=lambda point: sum((point.val or {}).values()))
    assert record.chosen_epoch["val"] == best.epoch


def test_the_best_test_epoch_needs_labels() -> None:
    zeros = np.zeros(3)
    points = [EvaluatedEpoch(epoch, zeros, {}, {"srcc": epoch, "plcc": 0.0}) for epoch in (1, 2)]
    assert set(Trajectory(checkpoints=points).chosen()) == {"last", "val"}
    labelled = [EvaluatedEpoch(epoch, zeros, {"srcc": 0.1}, None) for epoch in (1, 2)]
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


def test_the_protocol_gmad_on_waterloos_own_layout(pooled: Bench) -> None:
    """Figure 5 of GRMP-IQA from one command: trained on one database, pairs of Waterloo."""
    rng = np.random.default_rng(0)
    folders = ["pristine_images"]
    folders += [f"distorted_images/{k}/{level}" for k in range(1, 5) for level in range(1, 6)]
    for folder in folders:
        place = pooled.data / "exploration_database_and_code" / folder
        place.mkdir(parents=True)
        for name in ("00001.bmp", "00002.bmp"):
            pixels = rng.integers(0, rng.integers(50, 256), (8, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / name)
    ran = pooled.run_and_report(
        "gmad", "--datasets", "toy:waterloo", "--methods", "toy_linear,random"
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = pooled.results / "report"
    (page,) = report.glob("gmad/*.html")
    assert page.read_text().count("<article") == 4  # two roles, the lowest and the highest level
    assert "42</b> images" in page.read_text()
    sheets = sorted(path.suffix for path in report.glob("figures/*toy_linear-random.*"))
    assert sheets == [".pdf", ".png"]
    assert f'href="gmad/{page.name}"' in (report / "index.html").read_text()
    assert validate(pooled.results, [pooled.data]).findings == []
