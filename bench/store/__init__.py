"""Records and per-image predictions on disk: one file a run, whole or not there."""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bench.model.records import SCHEMA, Record, RunSpec, Status
from bench.util.atomic import replacing, write_text, writing
from bench.util.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

_CURVE = b'\n "curve": [\n'
_CURVE_END = b'\n ],\n "sizes": {'
_STATUS_TEXTS: tuple[tuple[Status, bytes], ...] = (
    ("done", b'"status": "done"'),
    ("failed", b'"status": "failed"'),
)
_LONGEST_STATUS = max(len(text) for _, text in _STATUS_TEXTS)
_END = b'"\n}\n'
_PARQUET_END = b"PAR1"
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)


@dataclass
class Store:
    """A results folder.

    `records/DATASET/METHOD/RUN.json` and `RUN.parquet` (predictions), with what else a protocol
    keeps of a run (`bench.store.artifacts`), `protocols/NAME.json` (which runs make up which cell),
    `pretrained/METHOD-KEY.safetensors`, `scores/` (predictions of whole datasets by methods that do
    not train), `logs/`.
    """

    root: Path
    problems: list[str] = field(default_factory=list)
    """Files that were set aside while reading, each with its reason."""

    def __post_init__(self) -> None:
        # Manifests name records relative to the root; a working folder must not come between.
        self.root = self.root.absolute()

    def path(self, spec: RunSpec) -> Path:
        """Where a run's record lies."""
        return self.root / _place(spec.task.train, spec.task.test, spec.method, spec.run_id)

    def refresh(self, spec: RunSpec) -> None:
        """Make sure that a record which another machine has just written is seen.

        An NFS client may remember for a minute that a file is not there; a change of its own in the
        folder makes it ask again.
        """
        folder = self.path(spec).parent
        if folder.is_dir():
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".look-", suffix=".tmp"):
                pass

    def get(self, spec: RunSpec) -> Record | None:
        """The run's record, None where there is none that can be read."""
        return self.read(self.path(spec))

    def write(self, record: Record, predictions: pd.DataFrame | None = None) -> Path:
        """Write a record, its predictions first: a record implies its predictions.

        A file in their place that cannot be read, by a newer iqa-bench perhaps, is renamed and
        kept.
        """
        path = self.path(record.spec)
        if path.exists() and Store(self.root).read(path, curve=False) is None:
            set_aside(path)
        if predictions is not None:
            table = path.with_suffix(".parquet")
            if cut_off(str(table)):
                set_aside(table)
            write_parquet(predictions, table)
        write_text(path, record.model_dump_json(indent=1) + "\n")
        return path

    def records(self, curve: bool = True) -> Iterator[Record]:
        """Every readable record; what cannot be read is named in `problems`.

        Without `curve` the curves are left out, as in `read`.
        """
        for name in self.names():
            record = self.read(name, curve)
            if record is not None:
                yield record

    def names(self) -> list[str]:
        """Paths under the root of all files that should be records, sorted.

        Texts: `Path` objects for a hundred thousand files take longer than the files.
        """
        found = []
        for task in _folders(f"{self.root}/records"):
            for method in _folders(f"{self.root}/records/{task}"):
                folder = f"records/{task}/{method}"
                files = os.listdir(f"{self.root}/{folder}")  # noqa: PTH208
                found += [f"{folder}/{name}" for name in files if name.endswith(".json")]
        return sorted(found)

    def states(self, runs: Mapping[str, RunSpec]) -> dict[str, Status]:
        """The status of those of `runs` (by run id) that have a readable record.

        A done run whose predictions were cut off has none: it is named in `problems`, and to do
        again. Else the same answers as `get`, several times quicker: a record as `write` leaves it
        is known by its first lines, which hold the whole spec; any other text is read in full.
        """
        found: dict[str, Status] = {}
        root = str(self.root)
        for run_id, spec in runs.items():
            place = _place(spec.task.train, spec.task.test, spec.method, run_id)
            try:
                status = _status_at_a_glance(f"{root}/{place}", spec, run_id)
            except FileNotFoundError:
                continue
            if status is None:
                record = self.read(place, curve=False)
                status = record.status if record else None
            if status == "done" and self._cut_off(place):
                continue
            if status is not None:
                found[run_id] = status
        return found

    def settled(self, spec: RunSpec) -> Record | None:
        """The run's record, None where it is to be computed: as `states` has it."""
        place = _place(spec.task.train, spec.task.test, spec.method, spec.run_id)
        record = self.read(place)
        if record is not None and record.status == "done" and self._cut_off(place):
            return None
        return record

    def _cut_off(self, place: str) -> bool:
        """Whether a done record's predictions are not whole; named in `problems` if so."""
        path = f"{self.root}/{place.removesuffix('.json')}.parquet"
        broken = cut_off(path)
        problem = f"{path}: predictions are cut off; the run is to do again"
        if broken and problem not in self.problems:
            self.problems.append(problem)
        return broken

    def predictions(self, spec: RunSpec) -> pd.DataFrame:
        """Per-image predictions of a done run: image, quality, prediction (one per selection).

        Raises `StoreError` where they cannot be read.
        """
        return read_parquet(self.path(spec).with_suffix(".parquet"))

    def pretrained_file(self, method: str, key: str) -> Path:
        """Where a pre-trained state lies, by method name (without argument) and key."""
        return self.root / "pretrained" / f"{slug(method)}-{key}.safetensors"

    def scores_path(self, key: str, method: str, dataset: str) -> Path:
        """Where the scores of a whole dataset by a method that does not train lie."""
        return self.root / "scores" / slug(dataset) / f"{slug(method)}-{key}.parquet"

    def read(self, path: str | Path, curve: bool = True) -> Record | None:
        """A record by its path (under the root, or whole); None, and a problem, if unreadable.

        Without `curve` the record has none: what tables need, in a fraction of the time.
        """
        place = os.path.join(self.root, path)  # noqa: PTH118
        try:
            data = _content(place)
            record = _parse(data if curve else _without_curve(data))
            name = os.path.basename(place)  # noqa: PTH119
            if record.run_id != record.spec.run_id or name != f"{record.run_id}.json":
                raise ValueError("its name does not match its content")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.problems.append(f"{place}: {_first_line(error)}")
            return None
        return record


def _folders(path: str) -> list[str]:
    """Names of the folders inside a folder, [] where there is none."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        return []


def _edges(path: str, first: int, last: int) -> tuple[bytes, bytes]:
    """The first and last bytes of a file: a planned sweep asks this a hundred thousand times.

    Raises `OSError` where the file is shorter than `last`.
    """
    descriptor = os.open(path, _READING)
    try:
        head = os.read(descriptor, first) if first else b""
        os.lseek(descriptor, -last, os.SEEK_END)
        return head, os.read(descriptor, last)
    finally:
        os.close(descriptor)


def _content(path: str) -> bytes:
    """A whole file, by the fewest calls: half the time of `Path.read_bytes`."""
    descriptor = os.open(path, _READING)
    try:
        return os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _parse(data: bytes) -> Record:
    try:
        record = Record.model_validate_json(data)
    except ValidationError:
        # A newer schema is likely to have other fields: that is the cause to name.
        _refuse_newer(json.loads(data))
        raise
    _refuse_newer({"schema_version": record.schema_version})
    return record


def _refuse_newer(value: object) -> None:
    version = value.get("schema_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise ValueError(f"schema {version} is newer than this iqa-bench reads ({SCHEMA})")


def _without_curve(data: bytes) -> bytes:
    """The text of a record with an empty curve; as it is where it was not written by `write`.

    JSON strings hold no line breaks, so these lines can only be the record's own.
    """
    start = data.find(_CURVE)
    end = data.rfind(_CURVE_END, start)
    if start < 0 or end < 0:
        return data
    return data[: start + len(_CURVE) - 1] + data[end + 2 :]


def _status_at_a_glance(path: str, spec: RunSpec, run_id: str) -> Status | None:
    """The status of a record that begins and ends as `write` would write it; None: look closer.

    Raises `FileNotFoundError` where there is none.
    """
    own = spec.__pydantic_serializer__.to_json(spec, indent=1).replace(b"\n", b"\n ")
    name = f'{{\n "schema_version": {SCHEMA},\n "run_id": "{run_id}",\n '.encode()
    rest = b',\n "spec": %b,\n "metrics": ' % own
    try:
        head, end = _edges(path, len(name) + _LONGEST_STATUS + len(rest), len(_END))
    except FileNotFoundError:
        raise
    except OSError:
        return None
    if end != _END or not head.startswith(name):
        return None
    for status, text in _STATUS_TEXTS:
        if head.startswith(text + rest, len(name)):
            return status
    return None


@functools.lru_cache(maxsize=4096)
def _folder(train: str, test: str, method: str) -> str:
    task = slug(train) if test == train else f"{slug(train)}__{slug(test)}"
    return f"records/{task}/{slug(method)}"


def _place(train: str, test: str, method: str, run_id: str) -> str:
    return f"{_folder(train, test, method)}/{run_id}.json"


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table atomically."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_parquet(path: Path) -> pd.DataFrame:
    """A stored table. Raises `StoreError` where it cannot be read."""
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow raises its own family for truncated files
        raise StoreError(f"table '{path}' cannot be read: {error}") from error


def cut_off(path: str) -> bool:
    """Whether a parquet file is there and does not end as one; a look at four bytes."""
    try:
        return _edges(path, 0, len(_PARQUET_END))[1] != _PARQUET_END
    except FileNotFoundError:
        return False
    except OSError:  # shorter than that
        return True


def set_aside(path: Path) -> None:
    """Rename a file that cannot be read, so that its place is free and nothing is lost."""
    with writing(path):
        path.replace(path.with_name(f"{path.name}.unreadable"))


def slug(text: str) -> str:
    """A file name for any label: safe everywhere, readable, never '.' or '..'.

    >>> slug("pyiqa:clipiqa+"), slug("../x")
    ('pyiqa-clipiqa+', '-x')
    """
    return re.sub(r"[^A-Za-z0-9_.+@-]+", "-", text).lstrip(".") or "-"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
