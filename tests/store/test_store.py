"""Records on disk: whole or not there, and what cannot be read is named."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.model.records import Record
from bench.store import Store
from bench.util import atomic
from bench.util.errors import StoreError
from bench.util.filenames import folder, readable, slug
from tests.model.test_identity import SPEC


def record(**values: object) -> Record:
    metrics = {"last": {"srcc": 0.5}, "best_test": {"srcc": 0.6}}
    return Record(run_id=SPEC.run_id, status="done", spec=SPEC, metrics=metrics, **values)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    table = pd.DataFrame({"image": ["a"], "quality": [1.0], "prediction": [0.5]})
    written = record()
    store.write(written, table)
    assert store.get(SPEC) == written
    assert list(store.records()) == [written]
    pd.testing.assert_frame_equal(store.predictions(SPEC), table)
    assert (written.value("srcc"), written.value("srcc", "best_test")) == (0.5, 0.6)


def test_a_relative_folder_is_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("results"))
    store.write(record())
    assert store.get(SPEC) == record(created=store.get(SPEC).created)
    assert len(list(store.records())) == 1


def test_a_failed_write_leaves_the_old_file_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    atomic.write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot write .*file.json.*No space left on device"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.json"]


def _write_often(path: str, letter: str) -> None:
    for _ in range(60):
        atomic.write_text(Path(path), letter * 100_000)


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "contested"
    atomic.write_text(path, "a" * 100_000)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(str(path), x)) for x in "bc"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        text = path.read_text()
        assert len(text) == 100_000
        assert len(set(text)) == 1
    assert [writer.exitcode for writer in writers] == [0, 0]


def broken(kind: str, text: str) -> str:
    value = json.loads(text)
    if kind == "truncated":
        return text[: len(text) // 2]
    if kind == "newer":
        return json.dumps({**value, "schema_version": 99})
    if kind == "renamed":
        return json.dumps({**value, "run_id": "0" * 16})
    if kind == "edited":
        return json.dumps({**value, "spec": {**value["spec"], "side": "whole"}})
    return {"empty": "", "list": "[]", "null": "null"}[kind]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("truncated", ""),
        ("newer", "schema 99 is newer than this iqa-bench reads"),
        ("renamed", "its name does not match its content"),
        ("edited", "its name does not match its content"),
        ("empty", ""),
        ("list", ""),
        ("null", ""),
    ],
)
def test_an_unreadable_record_is_named_and_counts_as_not_run(
    tmp_path: Path, kind: str, reason: str
) -> None:
    store = Store(tmp_path)
    path = store.write(record())
    path.write_text(broken(kind, path.read_text()))
    assert store.get(SPEC) is None
    assert list(store.records()) == []
    assert str(path) in store.problems[0]
    assert reason in store.problems[0]
    before = path.read_text()
    store.write(record())
    assert store.get(SPEC) is not None
    assert path.with_name(f"{path.name}.unreadable").read_text() == before


def test_a_record_that_is_written_again_leaves_no_copy(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.write(record())
    assert store.write(record()) == path
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_truncated_predictions_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.write(record(), pd.DataFrame({"image": ["a"]})).with_suffix(".parquet")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(StoreError, match=str(path)):
        store.predictions(SPEC)


def test_a_record_in_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        Store(tmp_path).write(record())


@settings(deadline=None)
@given(st.text())
def test_no_name_leaves_its_folder(text: str) -> None:
    for name in (slug(text), folder(text)):
        _stays_inside(name)


@settings(deadline=None)
@given(st.text(max_size=6), st.text(max_size=6))
def test_two_labels_never_share_a_file(one: str, other: str) -> None:
    assert (slug(one) == slug(other)) == (one == other)


LABELS = st.lists(st.text("ab-", max_size=4), min_size=2, max_size=3).map(tuple)


@settings(deadline=None)
@given(LABELS, LABELS)
def test_several_labels_are_told_apart_by_where_they_end(
    labels: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert (slug(*labels) == slug(*other)) == (labels == other)


def test_names_of_any_length_and_script_fit() -> None:
    for text in ("x" * 300, "实" * 300, "con", "a/b", "..", "a" * 100 + "/"):
        assert len(slug(text).encode()) < 120
        assert len(folder(text).encode()) <= 150
    # What older versions wrote is found again: run ids tell apart what lies in one folder.
    assert folder("pyiqa:piqe") == readable("pyiqa:piqe") == "pyiqa-piqe"


def _stays_inside(name: str) -> None:
    assert Path("x", name).parent == Path("x")
    assert name not in (".", "..", "")
    assert Path("x", name).resolve().parent == Path("x").resolve()
