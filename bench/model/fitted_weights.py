"""Files of fitted weights: what they were learnt from stands in the file itself.

A safetensors file begins with eight bytes, the length of a JSON header, and in that header
`__metadata__` holds texts. One of them is the note of `bench fit`.
"""

from __future__ import annotations

import json
import shutil
import struct
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import Field, ValidationError

from bench.model.records import FitSpec
from bench.util.environment import Environment
from bench.util.strict import StrictModel
from bench.util.validation import first_reason

KEY = "iqa-bench-fit"
METADATA = "__metadata__"
SCHEMA = 1
LONGEST = 100_000_000
"""Bytes of a header; safetensors allows no more."""
ALIGNMENT = 8


class WeightsNote(StrictModel):
    """What fitted weights are, and what they were learnt from."""

    schema_version: int = SCHEMA
    """Version of this format."""
    fit: FitSpec
    """The fit: data, method, settings, code and the identity of its backbone."""
    settings: dict[str, Any]
    """Settings to build the method again; files are left out, the weights hold their content."""
    trained_on: tuple[str, ...]
    """Databases whose labels the weights have seen, those of a pre-training included."""
    images: int
    """Labelled images that it was fitted on."""
    digests: dict[str, str] = Field(default_factory=dict)
    """Database -> SHA-256 of its table."""
    notes: tuple[str, ...] = ()
    """What the method says of its fit."""
    environment: Environment = Field(default_factory=Environment)
    """Hardware and software that fitted it, libraries included."""
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """Time of writing, UTC."""


def stamp(source: Path, target: Path, note: WeightsNote) -> None:
    """Write the tensors of `source` with the note to `target`.

    Raises `ValueError` where `source` is not a safetensors file.
    """
    with source.open("rb") as file, target.open("wb") as out:
        header = _header(file)
        if header is None:
            raise ValueError(f"'{source.name}' is not a safetensors file")
        texts = {**header.get(METADATA, {}), KEY: note.model_dump_json()}
        text = json.dumps({**header, METADATA: texts}, separators=(",", ":")).encode()
        text += b" " * (-len(text) % ALIGNMENT)
        out.write(struct.pack("<Q", len(text)) + text)
        shutil.copyfileobj(file, out)


def read_note(path: Path) -> WeightsNote | None:
    """The note in a file; None for files of others, and where there is no such file.

    Raises `ValueError` for a note that cannot be read, perhaps of a newer iqa-bench.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return _noted(path, status.st_size, status.st_mtime_ns)


class SeenNote(StrictModel):
    """What `bench get --weights` writes beside a released checkpoint, as FILE.seen.json."""

    url: str
    bytes: int
    """The file's size: with another one the note is of another file."""
    sha256: str
    checked: str
    """What its digest was compared with, in words."""
    seen: tuple[str, ...]
    """Databases whose labels it has seen."""

    @staticmethod
    def place(path: Path) -> Path:
        """Where the note of a checkpoint lies."""
        return path.with_name(f"{path.name}.seen.json")


def fitted_on(path: Path) -> tuple[str, ...] | None:
    """The databases whose labels a file of weights has seen; None where neither it nor a note says.

    It is a file of `bench fit`, or one that `bench get --weights` has brought.
    """
    try:
        note = read_note(path)
    except ValueError:
        return None
    return _seen(path) if note is None else note.trained_on


def _seen(path: Path) -> tuple[str, ...] | None:
    try:
        text = SeenNote.place(path).read_text(encoding="utf-8")
        note = SeenNote.model_validate_json(text)
        return note.seen if note.bytes == path.stat().st_size else None
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=64)
def _noted(path: Path, size: int, modified: int) -> WeightsNote | None:
    """`size` and `modified` are in the key alone: a file that was replaced is read again."""
    try:
        with path.open("rb") as file:
            header = _header(file)
    except OSError:
        return None
    texts = (header or {}).get(METADATA)
    text = texts.get(KEY) if isinstance(texts, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return WeightsNote.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(first_reason(error, WeightsNote)) from None


def _header(file: BinaryIO) -> dict[str, Any] | None:
    """The header of a safetensors file, which is then read up to its end; None for others."""
    start = file.read(8)
    if len(start) < 8:
        return None
    (length,) = struct.unpack("<Q", start)
    if not 2 <= length <= LONGEST:
        return None
    try:
        header = json.loads(file.read(length))
    except ValueError:
        return None
    return header if isinstance(header, dict) else None
