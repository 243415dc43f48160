"""A record as text: stored ones stay readable, short cuts give the answers of reading in full."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model.record_format import from_text, status_at_a_glance, to_text
from bench.model.records import CurvePoint, Record
from tests.model.test_identity import SPEC

STORED = Path(__file__).with_name("record_schema_2.json").read_bytes()
"""Written by the first version that had this schema."""
OLDER = Path(__file__).with_name("record_schema_1.json").read_bytes()


def test_a_record_of_the_first_version_is_read_and_written_as_it_was() -> None:
    record = from_text(STORED)
    assert record.spec == SPEC
    assert record.curve[1].test == {"srcc": 0.25, "plcc": None}
    assert record.notes[0] == 'line\nbreak, "quotes" and λ'
    assert to_text(record).encode() == STORED


texts = st.sampled_from(['"curve": [\n', '\n ],\n "sizes": {', "\n}\n", "λ", ""]) | st.text()
points = st.builds(
    CurvePoint,
    epoch=st.integers(1, 9),
    loss=st.none() | st.floats(0, 1),
    diagnostics=st.dictionaries(texts, st.none() | st.floats(-1, 1), max_size=2),
    seconds=st.floats(0, 9),
)
records = st.builds(
    Record,
    run_id=st.just(SPEC.run_id),
    status=st.sampled_from(["done", "failed"]),
    spec=st.just(SPEC),
    metrics=st.dictionaries(texts, st.dictionaries(texts, st.none() | st.floats(-1, 1))),
    curve=st.lists(points, max_size=3),
    sizes=st.dictionaries(texts, st.integers(0, 9), max_size=2),
    notes=st.lists(texts, max_size=2),
    error=st.none() | texts,
)


@given(records)
def test_short_cuts_give_what_reading_in_full_gives(record: Record) -> None:
    text = to_text(record).encode()
    assert from_text(text) == record
    assert from_text(text, curve=False) == record.model_copy(update={"curve": []})
    assert status_at_a_glance(text, SPEC) == record.status


def test_a_glance_is_sure_or_says_nothing() -> None:
    other = SPEC.learning(repeat=4)
    assert status_at_a_glance(STORED, SPEC) == "done"
    assert status_at_a_glance(STORED, other) is None
    assert status_at_a_glance(STORED[:-3], SPEC) is None
    assert status_at_a_glance(STORED.replace(b'"repeat": 3', b'"repeat": 4'), SPEC) is None
    assert status_at_a_glance(json.dumps(json.loads(STORED)).encode(), SPEC) is None


def changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(STORED), **values}).encode()


@pytest.mark.parametrize("curve", [True, False])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not valid JSON: EOF"),
        (STORED[: len(STORED) // 2], "not valid JSON: EOF"),
        (b"[]", "expected 'key: value' lines, not a list"),
        (changed(status="over"), "'status': expected 'done' or 'failed', not 'over'"),
        (changed(spec={"repeat": 1}), "'spec.fit': is missing"),
        (changed(colour="red"), "unknown key 'colour'"),
        (OLDER, "schema 1 is older; `bench upgrade RESULTS`"),
        (changed(colour="red", schema_version=99), "schema 99 is newer than this iqa-bench"),
        (changed(schema_version=99), "schema 99 is newer than this iqa-bench reads"),
        (changed(run_id="0" * 16), "its name does not match its content"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(text: bytes, reason: str, curve: bool) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        from_text(text, curve)
    assert "\n" not in str(caught.value)
