"""Which runs make up which cell of which protocol: written by `bench run`, read by reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.model.records import SCHEMA, Selection, Task
from bench.protocol import Protocol
from bench.store import Store, slug
from bench.store.claims import Claims
from bench.util.atomic import write_text
from bench.util.errors import StoreError
from bench.util.validation import first_reason


class CellEntry(BaseModel):
    """One cell: a method on a task, with the runs that it is the median of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    """What tables call the method."""
    method: str
    """Method name, argument included."""
    task: Task
    """What is learnt from and predicted."""
    selection: Selection
    """Which epoch counts."""
    runs: tuple[str, ...]
    """Expected runs, repeat by repeat: paths of records under the results folder."""

    @field_validator("runs")
    @classmethod
    def _inside(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for run in value:
            path = PurePosixPath(run)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"'{run}' leaves the results folder")
        return value


class Manifest(BaseModel):
    """All cells of a protocol that were ever asked for in this results folder."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA
    """Version of this format."""
    protocol: Protocol
    """The protocol as it was last run."""
    cells: list[CellEntry] = Field(default_factory=list)
    """In the order of first mention."""


def editing(store: Store, path: Path) -> AbstractContextManager[bool]:
    """Reading, changing and writing a manifest: one process at a time."""
    return Claims(store.root).holding(f"protocol-{path.stem}", poll=0.05)


def read_all(store: Store) -> list[Manifest]:
    """Every protocol's manifest, by name. Raises `StoreError` where there is none at all."""
    paths = sorted((store.root / "protocols").glob("*.json"))
    if not paths:
        raise StoreError(
            f"'{store.root}' holds no results; `bench run PROTOCOL --results {store.root}` "
            "makes some"
        )
    return [_read(path) for path in paths]


def add(store: Store, protocol: Protocol, entries: Sequence[CellEntry]) -> Path:
    """Add cells to a protocol's manifest; a cell that was there already is replaced."""
    path = store.root / "protocols" / f"{slug(protocol.name)}.json"
    with editing(store, path):
        known = {_key(cell): cell for cell in _read(path).cells} if path.exists() else {}
        known.update({_key(entry): entry for entry in entries})
        manifest = Manifest(protocol=protocol, cells=list(known.values()))
        write_text(path, manifest.model_dump_json(indent=1) + "\n")
    return path


def _key(cell: CellEntry) -> tuple[str, Task, str]:
    return cell.label, cell.task, cell.selection


def _read(path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except ValidationError as error:
        raise _unreadable(path, first_reason(error, Manifest)) from None
    if manifest.schema_version < SCHEMA:
        root = path.parents[1]
        raise StoreError(
            f"'{path}': schema {manifest.schema_version} is older; `bench upgrade {root}` rewrites "
            "the folder, and nothing is lost"
        )
    return manifest


def _unreadable(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"'{path}' cannot be read: {reason}; move it away and run its protocol again (runs that "
        "have a record are not computed again)"
    )
