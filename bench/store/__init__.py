"""Records and per-image predictions on disk: one file a run, whole or not there."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.model import record_format
from bench.model.records import Record, RunSpec, Status
from bench.util.atomic import replacing, write_text, writing
from bench.util.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

_PARQUET_END = b"PAR1"
_CHUNK = 2**16
"""Bytes that are read at once; hardly a record is longer."""
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
    _siblings: dict[str, list[Record]] = field(default_factory=dict, repr=False)

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
        write_text(path, record_format.to_text(record))
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
        again. Else the same answers as `get`, several times quicker.
        """
        found: dict[str, Status] = {}
        root = str(self.root)
        for run_id, spec in runs.items():
            place = _place(spec.task.train, spec.task.test, spec.method, run_id)
            path = f"{root}/{place}"
            status = self._status(path, spec)
            if status is not None and not (status == "done" and self._cut_off(path)):
                found[run_id] = status
        return found

    def _status(self, path: str, spec: RunSpec) -> Status | None:
        text = self._text(path)
        if text is None:
            return None
        status = record_format.status_at_a_glance(text, spec)
        if status is None and (record := self._parsed(path, text, curve=False)):
            status = record.status
        return status

    def settled(self, spec: RunSpec) -> Record | None:
        """The run's record, None where it is to be computed: as `states` has it."""
        path = self.path(spec)
        record = self.read(path)
        if record is not None and record.status == "done" and self._cut_off(str(path)):
            return None
        return record

    def _cut_off(self, path: str) -> bool:
        """Whether a done record's predictions are not whole; named in `problems` if so."""
        table = f"{path.removesuffix('.json')}.parquet"
        if not cut_off(table):
            return False
        problem = f"{table}: predictions are cut off; the run will be computed again"
        if problem not in self.problems:
            self.problems.append(problem)
        return True

    def siblings(self, spec: RunSpec) -> list[Record]:
        """Records of the same method on the same task, the run's own left out."""
        own = self.path(spec)
        folder = own.parent
        if not folder.is_dir():
            return []
        key = str(folder)
        if key not in self._siblings:
            found = (self.read(path, curve=False) for path in sorted(folder.glob("[!.]*.json")))
            self._siblings[key] = [record for record in found if record is not None]
        return [record for record in self._siblings[key] if record.run_id != spec.run_id]

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
        text = self._text(place)
        return None if text is None else self._parsed(place, text, curve)

    def _text(self, path: str) -> bytes | None:
        """The text of a record; None, and a problem unless it is not there, if unreadable."""
        try:
            return _content(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problems.append(f"{path}: {error.strerror}")
            return None

    def _parsed(self, path: str, text: bytes, curve: bool) -> Record | None:
        try:
            record = record_format.from_text(text, curve)
            if os.path.basename(path) != f"{record.run_id}.json":  # noqa: PTH119
                raise ValueError("its name does not match its content")
        except ValueError as error:
            self.problems.append(f"{path}: {error}")
            return None
        return record


def _folders(path: str) -> list[str]:
    """Names of the folders inside a folder, [] where there is none."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except FileNotFoundError:
        return []


def _content(path: str) -> bytes:
    """A whole file, by the fewest calls: half the time of `Path.read_bytes`."""
    descriptor = os.open(path, _READING)
    try:
        parts = [os.read(descriptor, _CHUNK)]
        while len(parts[-1]) == _CHUNK:
            parts.append(os.read(descriptor, _CHUNK))
        return b"".join(parts)
    finally:
        os.close(descriptor)


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
        descriptor = os.open(path, _READING)
    except FileNotFoundError:
        return False
    try:
        os.lseek(descriptor, -len(_PARQUET_END), os.SEEK_END)
        return os.read(descriptor, len(_PARQUET_END)) != _PARQUET_END
    except OSError:  # shorter than that
        return True
    finally:
        os.close(descriptor)


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
