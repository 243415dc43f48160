"""Manifests: which runs belong to which cell of a protocol. Written by `bench run` for reports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

from pydantic import Field, ValidationError, field_validator

from bench.model.measure import Measure
from bench.model.records import SCHEMA, Selection, Task
from bench.protocol import Protocol
from bench.protocol.measures import measure_of, measured
from bench.store import Store
from bench.store.claims import Claims
from bench.util.atomic import write_text
from bench.util.errors import StoreError
from bench.util.filenames import present, readable, slug
from bench.util.listing import listed
from bench.util.strict import StrictModel
from bench.util.validation import first_reason


class CellEntry(StrictModel):
    """One cell of a protocol's table: a method on a task, and the runs that it summarises."""

    label: str
    """The row's name in tables."""
    method: str
    """Method name, argument included."""
    task: Task
    """Training and test dataset, and the label budget."""
    selection: Selection
    """The epoch that is reported."""
    runs: tuple[str, ...]
    """The runs of the cell, one for each repeat: paths of records under the results folder."""
    measure: Measure | None = None
    """How they are measured; None in files of older versions (`read_all` takes it from records)."""

    @property
    def key(self) -> tuple[str, Task, str, Measure | None]:
        """Identifies a cell within its protocol."""
        return self.label, self.task, self.selection, self.measure

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

    def tables(self) -> list[tuple[Protocol, list[CellEntry]]]:
        """Groups of cells whose numbers may be compared, each with the protocol that measures them.

        The cells that were asked for first keep the protocol's name; the names of others say what
        differs.
        """
        groups: dict[Measure, list[CellEntry]] = {}
        held_out = [cell.measure.split.validation for cell in self.cells if cell.measure]
        usual = next(filter(None, held_out), 0.0)
        for cell in self.cells:
            measure = (cell.measure or measure_of(self.protocol)).filled(usual)
            groups.setdefault(measure, []).append(cell)
        first = next(iter(groups), None)
        return [
            (measured(self.protocol, measure, measure.difference(first or measure)), cells)
            for measure, cells in groups.items()
        ]

    def differences(self) -> list[str]:
        """How other cells are measured than the first ones; [] if all are measured alike."""
        names = [protocol.name for protocol, _ in self.tables()[1:]]
        return [name.removeprefix(f"{self.protocol.name} ") for name in names]


def editing(store: Store, path: Path) -> AbstractContextManager[bool]:
    """A lock for reading, changing and writing a manifest."""
    return Claims(store.root).holding(f"protocol-{path.stem}", poll=0.05)


def read_all(store: Store) -> list[Manifest]:
    """The manifests of all protocols, by name; those that cannot be read are among the store's
    `problems`. Raises `StoreError` if there are none, or none that can be read."""
    paths = listed(store.root / "protocols", "*.json")
    if not paths:
        raise StoreError(
            f"'{store.root}' holds no results; `bench run PROTOCOL --results {store.root}` "
            "makes some"
        )
    found: dict[str, Manifest] = {}
    unreadable: list[StoreError] = []
    for path in paths:
        try:
            manifest = _resolved(_read(path), store)
        except StoreError as error:
            unreadable.append(error)
            continue
        # Two files may hold the same protocol after a folder was copied into another one.
        first = found.setdefault(manifest.protocol.name, manifest)
        found[manifest.protocol.name] = first if first is manifest else joined(first, manifest)[0]
    if not found:
        raise unreadable[0]
    texts = [str(error) for error in unreadable]
    store.problems += [text for text in texts if text not in store.problems]
    return list(found.values())


def require_readable(store: Store) -> None:
    """Raise `StoreError` for the first manifest that cannot be read."""
    for path in listed(store.root / "protocols", "*.json"):
        _read(path)


def joined(first: Manifest, second: Manifest) -> tuple[Manifest, list[str]]:
    """The cells of both manifests, and the conflicts, in which the first manifest's cell stays.

    Of two entries for the same cell, the one with more repeats is kept.
    """
    cells, conflicts = {cell.key: cell for cell in first.cells}, []
    for cell in second.cells:
        known = cells.setdefault(cell.key, cell)
        if set(known.runs) < set(cell.runs):
            cells[cell.key] = cell
        elif not set(cell.runs) <= set(known.runs):
            what = f"'{cell.label}' on {cell.task.title} ({cell.task.budget})"
            name = second.protocol.name
            conflicts.append(f"protocol {name}: {what} has other settings or splits")
    return first.model_copy(update={"cells": list(cells.values())}), conflicts


def tables(store: Store) -> list[tuple[Protocol, list[CellEntry]]]:
    """The tables of all manifests. Raises as `read_all`."""
    return [table for manifest in read_all(store) for table in manifest.tables()]


def apart(store: Store) -> list[str]:
    """A sentence for each protocol that is measured in more than one way. Raises as `read_all`."""
    return [
        f"{found.protocol.name} is measured in {len(others) + 1} ways: as first asked for, and "
        f"with {', '.join(others)}"
        for found in read_all(store)
        for others in [found.differences()]
        if others
    ]


def otherwise(store: Store, protocol: Protocol) -> list[str]:
    """Other ways in which the folder's cells of this protocol are measured; [] for none."""
    path = path_of(store, protocol.name)
    if not path.exists():
        return []
    measure = measure_of(protocol)
    there = [cell.measure for cell in _resolved(_read(path), store).cells if cell.measure]
    held_out = next((one.split.validation for one in there if one.split.validation), 0.0)
    usual = measure.split.validation or held_out
    found = (one.filled(usual).difference(measure.filled(usual)) for one in there)
    return list(dict.fromkeys(filter(None, found)))


def add(store: Store, protocol: Protocol, entries: Sequence[CellEntry]) -> Path:
    """Add cells to a protocol's manifest, in place of earlier entries for the same cells."""
    path = path_of(store, protocol.name)
    with editing(store, path):
        there = _resolved(_read(path), store).cells if path.exists() else []
        known = {cell.key: cell for cell in there}
        known.update({entry.key: entry for entry in entries})
        manifest = Manifest(protocol=protocol, cells=list(known.values()))
        write_text(path, manifest.model_dump_json(indent=1) + "\n")
    return path


def path_of(store: Store, name: str) -> Path:
    """The file of a protocol's manifest, or the one that an older version wrote for it.

    Older versions gave protocols with similar names one file; it belongs to the one that it names.
    """
    folder = store.root / "protocols"
    path, older = folder / f"{slug(name)}.json", folder / f"{readable(name)}.json"
    if path == older or path.exists() or not present(older):
        return path
    return older if _read(older).protocol.name == name else path


def _resolved(manifest: Manifest, store: Store) -> Manifest:
    """The manifest with the measure of every cell, which older files lack: that of a record, or
    else the protocol's."""
    if all(cell.measure for cell in manifest.cells):
        return manifest
    own = measure_of(manifest.protocol)

    def recorded(cell: CellEntry) -> Measure:
        records = (store.read(run, curve=False) for run in cell.runs)
        record = next(filter(None, records), None)
        if record is None:
            return own
        # A method may scale labels in its own way, which records do not tell from the protocol's.
        return Measure.of(record.spec.fit).model_copy(update={"normalise": own.normalise})

    cells = [
        cell if cell.measure else cell.model_copy(update={"measure": recorded(cell)})
        for cell in manifest.cells
    ]
    return manifest.model_copy(update={"cells": cells})


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
