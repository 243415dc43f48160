"""Manifests: which runs belong to which cell of a protocol. Written by `bench run` for reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

from pydantic import Field, ValidationError, field_validator

from bench.model.records import SCHEMA, Selection, Task
from bench.protocol import Protocol
from bench.store import Store, slug
from bench.store.claims import Claims
from bench.util.atomic import write_text
from bench.util.errors import StoreError
from bench.util.listing import listed
from bench.util.strict import StrictModel
from bench.util.validation import first_reason


class CellEntry(StrictModel):
    """One cell of a protocol's table: a method on a task, and the runs that it summarises."""

    label: str
    """What tables call the method."""
    method: str
    """Method name, argument included."""
    task: Task
    """Training and test dataset, and the label budget."""
    selection: Selection
    """Which epoch counts."""
    runs: tuple[str, ...]
    """The runs of the cell, one for each repeat: paths of records under the results folder."""

    @property
    def key(self) -> tuple[str, Task, str]:
        """What tells the cells of a protocol apart."""
        return self.label, self.task, self.selection

    @field_validator("runs")
    @classmethod
    def _inside(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for run in value:
            path = PurePosixPath(run)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"'{run}' leaves the results folder")
        return value


class Manifest(StrictModel):
    """All cells of a protocol that any command has asked for in this results folder."""

    schema_version: int = SCHEMA
    """Version of this format."""
    protocol: Protocol
    """The protocol of the last command."""
    cells: list[CellEntry] = Field(default_factory=list)
    """In the order in which they were first asked for."""


def editing(store: Store, path: Path) -> AbstractContextManager[bool]:
    """A lock for reading, changing and writing a manifest."""
    return Claims(store.root).holding(f"protocol-{path.stem}", poll=0.05)


def read_all(store: Store) -> list[Manifest]:
    """The manifests of all protocols, by name. Raises `StoreError` if there are none."""
    paths = listed(store.root / "protocols", "*.json")
    if not paths:
        raise StoreError(
            f"'{store.root}' holds no results; `bench run PROTOCOL --results {store.root}` "
            "makes some"
        )
    return [_read(path) for path in paths]


def add(store: Store, protocol: Protocol, entries: Sequence[CellEntry]) -> Path:
    """Add cells to a protocol's manifest, in place of earlier entries for the same cells."""
    path = store.root / "protocols" / f"{slug(protocol.name)}.json"
    with editing(store, path):
        known = {cell.key: cell for cell in _read(path).cells} if path.exists() else {}
        known.update({entry.key: entry for entry in entries})
        manifest = Manifest(protocol=protocol, cells=list(known.values()))
        write_text(path, manifest.model_dump_json(indent=1) + "\n")
    return path


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
