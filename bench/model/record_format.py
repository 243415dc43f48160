"""How a record becomes text and back: indented JSON, its fields in the order of `Record`.

Pure functions; `bench.store` reads and writes the files. Any JSON with the fields of a record is a
record, whatever its layout. Two short cuts depend on the layout that `to_text` writes: they save
time in sweeps of 100,000 runs, and fall back on full parsing for any other layout.
"""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from bench.model.records import SCHEMA, Record, RunSpec, Status, refuse_newer
from bench.util.validation import first_reason

# Strings in JSON contain no line breaks, and inner lines are indented more. So these line breaks,
# with their indentation, occur only at the places that they are named after.
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
    """The record in a text. Without `curve`, the curve is left out if `to_text` wrote the text.

    Raises `ValueError` with the reason in one line if the text is not a record, has a newer schema,
    or has another `run_id` than its spec gives.
    """
    text = text if curve else _without_curve(text)
    try:
        record = Record.model_validate_json(text)
    except ValidationError as error:
        # Another schema probably has other fields; then the schema is the reason to report.
        _refuse_other(_schema_of(text))
        raise ValueError(first_reason(error, Record)) from None
    _refuse_other(record.schema_version)
    if record.run_id != record.spec.run_id:
        raise ValueError("its name does not match its content")
    return record


def status_at_a_glance(text: bytes, spec: RunSpec) -> Status | None:
    """The status of a run if `to_text` wrote its record; None if only `from_text` can tell.

    Such a text begins with the whole spec. Comparing it with the spec of the wanted run is as safe
    as parsing it and takes a third of the time.
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
    """The text with an empty curve, which makes up most of it; other layouts are unchanged."""
    before, found, rest = text.partition(_CURVE)
    _, ended, after = rest.rpartition(_AFTER_CURVE)
    return before + _NO_CURVE + after if found and ended else text


def _schema_of(text: bytes) -> object:
    """The value of `schema_version` in a text; None if it has none."""
    try:
        value = from_json(text)
    except ValueError:
        return None
    return value.get("schema_version") if isinstance(value, dict) else None


def _refuse_other(schema: object) -> None:
    refuse_newer(schema)
    if isinstance(schema, int) and schema < SCHEMA:
        raise ValueError(f"schema {schema} is older; `bench upgrade RESULTS` rewrites the folder")
