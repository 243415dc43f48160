"""How a record becomes text and back: indented JSON, its fields in the order of `Record`.

Pure functions; `bench.store` reads and writes the files. Any JSON that holds a record's fields is a
record, however it is laid out. That a planned sweep or a table can take a short cut through the
layout of `to_text` saves time and changes no answer.
"""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from bench.model.records import SCHEMA, Record, RunSpec, Status, refuse_newer
from bench.util.validation import first_reason

# Lines inside an object or list are indented deeper than its brackets, and JSON strings hold no
# line breaks, so that these lines can only be what they look like.
_CLOSED = b"\n}"
_END = b"\n}\n"
_CURVE = b'\n "curve": [\n'
_AFTER_CURVE = b'\n ],\n "sizes": {'
_NO_CURVE = b'\n "curve": [],\n "sizes": {'
_STATUSES: tuple[Status, ...] = ("done", "failed")


def to_text(record: Record) -> str:
    """The text of a record: indented JSON and a line break."""
    return record.model_dump_json(indent=1) + "\n"


def from_text(text: bytes, curve: bool = True) -> Record:
    """The record that a text holds. Without `curve` it has none if the layout is `to_text`'s.

    Raises `ValueError`, with one line of reason, for a text that is no record, one of a newer
    schema, or one whose `run_id` is not what its spec gives.
    """
    text = text if curve else _without_curve(text)
    try:
        record = Record.model_validate_json(text)
    except ValidationError as error:
        # Another schema is likely to have other fields: that is the cause to name.
        _refuse_other(_schema_of(text))
        raise ValueError(first_reason(error, Record)) from None
    _refuse_other(record.schema_version)
    if record.run_id != record.spec.run_id:
        raise ValueError("its name does not match its content")
    return record


def status_at_a_glance(text: bytes, spec: RunSpec) -> Status | None:
    """The status of a run, from a text in the layout of `to_text`; None: ask `from_text`.

    As sure as `from_text`, in a third of its time: such a text begins with the whole spec, so it is
    compared with the one that is asked for instead of being parsed.
    """
    if text.endswith(_END):
        for status in _STATUSES:
            if text.startswith(_start(spec, status)):
                return status
    return None


def _start(spec: RunSpec, status: Status) -> bytes:
    """What the text of a record of this run begins with."""
    first = {"schema_version": SCHEMA, "run_id": spec.run_id, "status": status, "spec": spec}
    return to_json(first, indent=1).removesuffix(_CLOSED) + b",\n"


def _without_curve(text: bytes) -> bytes:
    """The text with an empty curve, which is most of it; as it is in another layout."""
    before, found, rest = text.partition(_CURVE)
    _, ended, after = rest.rpartition(_AFTER_CURVE)
    return before + _NO_CURVE + after if found and ended else text


def _schema_of(text: bytes) -> object:
    """The schema that a text names, None for a text that is no record at all."""
    try:
        value = from_json(text)
    except ValueError:
        return None
    return value.get("schema_version") if isinstance(value, dict) else None


def _refuse_other(schema: object) -> None:
    refuse_newer(schema)
    if isinstance(schema, int) and schema < SCHEMA:
        raise ValueError(f"schema {schema} is older; `bench upgrade RESULTS` rewrites the folder")
