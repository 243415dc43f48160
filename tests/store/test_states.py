"""Reading many records: quicker ways that must give the same answers as reading each in full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.model.records import CurvePoint, Record
from bench.store import Store
from tests.fake_results import FakeSweep
from tests.store.test_store import broken


def with_curve(root: Path, epochs: int) -> tuple[Store, Record]:
    factory = FakeSweep(root)
    record, _ = factory.record("good", "livec", 0)
    text = 'line\nbreak "curve": [\n ],\n "sizes": '
    curve = [
        CurvePoint(epoch=e, loss=0.5, diagnostics={text: 1.0}, seconds=e, test={"srcc": 0.1})
        for e in range(1, epochs + 1)
    ]
    record = record.model_copy(update={"curve": curve, "notes": [text]})
    factory.store.write(record)
    return factory.store, record


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_a_record_without_its_curve_is_otherwise_the_same(tmp_path: Path, epochs: int) -> None:
    store, record = with_curve(tmp_path, epochs)
    path = store.path(record.spec)
    assert store.read(path) == record
    assert store.read(path, curve=False) == record.model_copy(update={"curve": []})
    assert list(store.records(curve=False)) == [record.model_copy(update={"curve": []})]


def test_a_record_in_another_layout_is_read_with_its_curve(tmp_path: Path) -> None:
    store, record = with_curve(tmp_path, 2)
    path = store.path(record.spec)
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert store.read(path, curve=False) == record
    assert store.states({record.run_id: record.spec}) == {record.run_id: "done"}


def test_states_are_those_of_the_records(tmp_path: Path) -> None:
    factory = FakeSweep(tmp_path, failed=frozenset({("good", 1)}), absent=frozenset({("fair", 2)}))
    store = factory.write()
    specs = [
        factory.spec(method, name, k)
        for method in factory.noise
        for name in factory.datasets
        for k in range(10)
    ]
    states = store.states({spec.run_id: spec for spec in specs})
    expected = {spec.run_id: record.status for spec in specs if (record := store.get(spec))}
    assert states == expected
    assert sorted(states.values()).count("failed") == 2
    assert len(states) == 38


@pytest.mark.parametrize(
    "kind", ["truncated", "newer", "renamed", "edited", "empty", "list", "null"]
)
def test_a_broken_record_has_no_state_and_is_named(tmp_path: Path, kind: str) -> None:
    store, record = with_curve(tmp_path, 2)
    path = store.path(record.spec)
    path.write_text(broken(kind, path.read_text()))
    assert store.states({record.run_id: record.spec}) == {}
    assert len(store.problems) == 1
    assert str(path) in store.problems[0]


def test_a_record_that_was_edited_in_place_has_no_state(tmp_path: Path) -> None:
    store, record = with_curve(tmp_path, 1)
    path = store.path(record.spec)
    path.write_text(path.read_text().replace('"repeat": 0', '"repeat": 1'))
    assert store.states({record.run_id: record.spec}) == {}
    assert "its name does not match its content" in store.problems[0]
