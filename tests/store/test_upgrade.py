"""A folder of schema 1 is refused in one line, and upgraded with nothing lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.model.identity import digest
from bench.store import Store
from bench.store import table as runs_table
from bench.store.upgrade import upgrade
from bench.util.errors import StoreError
from tests.conftest import run_cli
from tests.fake_results import FakeSweep


def older(root: Path) -> dict[str, Any]:
    """Turn a results folder into one of schema 1; the names and numbers of its records."""
    store, names, numbers = Store(root), {}, {}
    for path in sorted(root.glob("records/*/*/*.json")):
        values = json.loads(path.read_text())
        fit, test = values["spec"]["fit"], values["spec"]["test"]
        task = {"train": fit["train"], "test": test, "labels": fit["labels"], "ratio": None}
        keys = ("repeat", "method", "method_version", "settings", "weights", "pretrained")
        spec = {
            "schema_version": 1,
            "task": {**task, "zero_shot": False},
            "split": {key: value for key, value in fit["split"].items() if key != "version"},
            "split_digest": fit["split_digests"][0],
            **{key: fit[key] for key in (*keys, "selection", "evaluate_every", "normalise")},
        }
        roles = {"train": values["digests"][test], "test": values["digests"][test]}
        changes = {"schema_version": 1, "spec": spec, "run_id": digest(spec), "digests": roles}
        values = {**values, **changes, "image_policy": "as it is"}
        del values["real_names"]
        new = path.with_name(f"{digest(spec)}.json")
        path.with_suffix(".parquet").rename(new.with_suffix(".parquet"))
        path.unlink()
        new.write_text(json.dumps(values))
        names[path.relative_to(root).as_posix()] = new.relative_to(root).as_posix()
        numbers[fit["method"], test, fit["repeat"]] = values["metrics"]
    for path in (store.root / "protocols").glob("*.json"):
        text = path.read_text()
        for name, new_name in names.items():
            text = text.replace(name, new_name)
        path.write_text(json.dumps({**json.loads(text), "schema_version": 1}))
    return numbers


def test_it_is_refused_by_name_until_it_is_upgraded(tmp_path: Path) -> None:
    FakeSweep(tmp_path, repeats=2).write()
    older(tmp_path)
    ended = run_cli("report", tmp_path)
    assert ended.returncode == 4
    assert f"schema 1 is older; `bench upgrade {tmp_path}`" in ended.text


def test_nothing_is_lost(tmp_path: Path) -> None:
    FakeSweep(tmp_path, repeats=3).write()
    numbers = older(tmp_path)
    ended = run_cli("upgrade", tmp_path)
    assert (ended.returncode, "12 records rewritten" in ended.text) == (0, True)
    store = Store(tmp_path)
    found = {(r.spec.method, r.spec.test, r.spec.repeat): r for r in store.records()}
    assert {key: record.metrics for key, record in found.items()} == numbers
    assert {record.spec.fit.code for record in found.values()} == {"unknown"}
    assert all(len(store.predictions(record.spec)) == 40 for record in found.values())
    runs = runs_table.load(store)
    assert set(runs["status"]) == {"done"}
    assert len(runs) == 12
    assert len(list(tmp_path.glob("records/*/*/*.json"))) == 12
    assert upgrade(tmp_path).records == 0


def test_a_record_that_was_edited_is_named(tmp_path: Path) -> None:
    FakeSweep(tmp_path, repeats=2).write()
    older(tmp_path)
    path = min(tmp_path.glob("records/*/*/*.json"))
    values = json.loads(path.read_text())
    values["spec"]["repeat"] = 9
    path.write_text(json.dumps(values))
    with pytest.raises(StoreError, match="does not match its content"):
        upgrade(tmp_path)
    assert len(list(tmp_path.glob("records/*/*/*.json"))) >= 8


def test_a_damaged_record_is_named_and_a_newer_one_is_left(tmp_path: Path) -> None:
    FakeSweep(tmp_path, repeats=2).write()
    first, second, *_ = sorted(tmp_path.glob("records/*/*/*.json"))
    values = json.loads(first.read_text())
    first.write_text(json.dumps({**values, "schema_version": 99}))
    ended = run_cli("upgrade", tmp_path)
    assert ended.returncode == 0
    assert "0 records rewritten, 7 were up to date" in ended.stdout
    assert "1 of a newer iqa-bench were left as they are" in ended.stderr
    second.write_text('{"schema_version": 1}')
    ended = run_cli("upgrade", tmp_path)
    assert ended.returncode == 4
    assert f"'{second}': no record of schema 1 (KeyError: 'spec')" in ended.stderr


@pytest.mark.parametrize("command", [["compare"], ["latex"], ["baseline", "save", "b"]])
def test_records_that_cannot_be_read_are_named(tmp_path: Path, command: list[str]) -> None:
    results = tmp_path / "r"
    FakeSweep(results, repeats=2).write()
    newer = min(results.glob("records/*/*/*.json"))
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "schema_version": 99}))
    ended = run_cli(*command, *(["--results"] * (len(command) == 3)), results, folder=tmp_path)
    assert ended.returncode == 0, ended.text
    assert ended.stderr.count(f"set aside: {newer}: schema 99 is newer") == 1
