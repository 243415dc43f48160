"""A results folder that is what it says, and many that are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bench.store.validate import validate
from tests.conftest import Bench, run_cli
from tests.fake_results import FakeSweep


def edit(root: Path, **values: object) -> None:
    path = min(root.glob("records/livec/good/*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=1))


def predictions(root: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = min(root.glob("records/livec/good/*.parquet"))
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_what_the_harness_writes_is_valid(tmp_path: Path) -> None:
    FakeSweep(tmp_path).write()
    found = validate(tmp_path)
    assert (found.exit_code, found.findings) == (0, [])
    assert (found.done, found.failed, found.expected) == (40, 0, 40)


def drop_predictions(root: Path) -> None:
    min(root.glob("records/livec/good/*.parquet")).unlink()


def misplace(root: Path) -> None:
    path = min(root.glob("records/livec/good/*.json"))
    path.rename(path.parents[1] / "fair" / path.name)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda root: edit(root, metrics={"last": {"srcc": 0.99}}), "srcc (last) is 0.99, its"),
        (lambda root: edit(root, metrics={"last": {"srcc": None}}), "srcc (last) is None, its"),
        (lambda root: edit(root, metrics={}), "has no metrics of its selection 'last'"),
        (lambda root: edit(root, metrics={"last": {}, "val": {"srcc": 1}}), "without predictions"),
        (lambda root: edit(root, schema_version=99), "schema 99 is newer"),
        (lambda root: edit(root, run_id="0" * 16), "its name does not match its content"),
        (lambda root: edit(root, surprise=1), "unknown key 'surprise'"),
        (lambda root: edit(root, sizes={"test": 41}), "40 predictions for 41 test images"),
        (
            lambda root: edit(root, digests={"livec": "x"}),
            "was computed on another version of 'livec' than",
        ),
        (lambda root: edit(root, digests={}), "has no digest of its database livec"),
        (drop_predictions, "cannot be read"),
        (misplace, "does not lie where its content says"),
        (
            lambda root: predictions(root, lambda table: table.assign(prediction=float("nan"))),
            "predictions hold values that are not numbers",
        ),
        (
            lambda root: predictions(root, lambda table: table.assign(image="a")),
            "predictions name an image twice",
        ),
        (
            lambda root: predictions(root, lambda table: table.drop(columns="quality")),
            "predictions have no column quality",
        ),
        (
            lambda root: predictions(root, lambda table: table.assign(quality=table["prediction"])),
            "has other test images or labels than",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: Callable[[Path], None], what: str) -> None:
    FakeSweep(tmp_path).write()
    change(tmp_path)
    found = validate(tmp_path)
    assert found.exit_code == 1
    wrong = [finding.what for finding in found.findings if finding.kind == "wrong"]
    assert any(what in text for text in wrong), wrong


def test_another_split_of_one_repeat_is_named(tmp_path: Path) -> None:
    factory = FakeSweep(tmp_path)
    store = factory.write()
    record, table = factory.record("good", "livec", 0)
    spec = record.spec.learning(split_digests=("f" * 64,), method="third")
    store.write(record.model_copy(update={"spec": spec, "run_id": spec.run_id}), table)
    found = validate(tmp_path)
    assert any("has another split of repeat 0" in finding.what for finding in found.findings)
    assert any(finding.kind == "note" for finding in found.findings)


@pytest.mark.parametrize("change", ["failed", "absent"])
def test_an_incomplete_folder_is_no_valid_one(tmp_path: Path, change: str) -> None:
    FakeSweep(tmp_path, **{change: frozenset({("good", 1)})}).write()
    found = validate(tmp_path)
    assert found.exit_code == 3
    assert [finding.what for finding in found.findings] == ["9 of 10 runs are done (10)"] * 2


def test_manifests_are_part_of_it(tmp_path: Path) -> None:
    FakeSweep(tmp_path).write()
    (tmp_path / "protocols" / "few_shot.json").write_text("{")
    assert validate(tmp_path).exit_code == 1
    (tmp_path / "protocols" / "few_shot.json").unlink()
    assert validate(tmp_path).exit_code == 3


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FakeSweep(tmp_path / "r").write()
    ended = run_cli("validate", "r")
    assert (ended.returncode, "valid (40 done, 0 failed, 40 expected)" in ended.text) == (0, True)
    assert run_cli("validate", tmp_path / "none").returncode == 2
    (tmp_path / "empty").mkdir()
    assert run_cli("validate", tmp_path / "empty").returncode == 3


def test_real_runs_agree_with_their_data(bench: Bench) -> None:
    text = "datasets: [toy]\nlabels: [10]\nrepeats: 2\nmethods: [toy_linear, toy_luminance]\n"
    assert bench.run(bench.protocol(text)).returncode == 0
    found = validate(bench.results, [bench.data])
    assert (found.exit_code, found.findings) == (0, [])
    path = min(bench.results.glob("records/*/*/*.parquet"))
    table = pd.read_parquet(path)
    flattered = table.assign(quality=table["prediction"])
    for other in bench.results.glob("records/*/*/*.parquet"):
        if pd.read_parquet(other)["image"].equals(table["image"]):
            own = pd.read_parquet(other).assign(quality=flattered["quality"])
            own.to_parquet(other, index=False)
    texts = [finding.what for finding in validate(bench.results, [bench.data]).findings]
    assert "its test images or labels are not those of the dataset" in texts
    elsewhere = validate(bench.results, [bench.folder])
    assert any("not checked" in finding.what for finding in elsewhere.findings)
