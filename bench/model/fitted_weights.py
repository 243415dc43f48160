"""Files of fitted weights, which hold a note on their training data.

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
    """Describes fitted weights and their training data."""

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
    """The method's notes on its fit."""
    environment: Environment = Field(default_factory=Environment)
    """Hardware and software that fitted it, libraries included."""
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """Time of writing, UTC."""


def stamp(source: Path, target: Path, note: WeightsNote) -> None:
    """Write the tensors of `source` with the note to `target`.

    Raises `ValueError` if `source` is not a safetensors file.
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
    """The note in a file; None for a file without one, and if the file does not exist.

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
    """The file's size; the note does not apply to a file of another size."""
    sha256: str
    checked: str
    """Source of the digest that it was compared with, in words."""
    seen: tuple[str, ...]
    """Databases whose labels it has seen."""

    @staticmethod
    def place(path: Path) -> Path:
        """The file of a checkpoint's note."""
        return path.with_name(f"{path.name}.seen.json")


def fitted_on(path: Path) -> tuple[str, ...] | None:
    """The databases whose labels a weights file has seen; None if neither it nor a note says so.

    Files of `bench fit` hold a note; `bench get --weights` writes one beside a checkpoint.
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
    """Cached; `size` and `modified` only serve as its key, so that a replaced file is read
    again."""
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
    """The header of a safetensors file, after which the file stands; None for other files."""
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
