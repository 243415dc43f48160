"""Records and per-image predictions on disk: a file for each run, written whole."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.model import record_format
from bench.model.records import Record, RunSpec, Status
from bench.util import filenames
from bench.util.atomic import replacing, write_text, writing
from bench.util.errors import StoreError
from bench.util.listing import hidden

if TYPE_CHECKING:
    import pandas as pd

_PARQUET_END = b"PAR1"
_CHUNK = 2**16
"""Bytes that are read at once; few records are longer."""
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0)


@dataclass
class Store:
    """A results folder.

    - `records/DATASET/METHOD/RUN.json`: the record of a run; beside it `RUN.parquet` with its
      predictions, and what else its protocol keeps (`bench.store.artifacts`)
    - `protocols/NAME.json`: the runs of each cell (`bench.store.manifest`)
    - `pretrained/METHOD-KEY.safetensors`: pre-trained states
    - `scores/`: scores of whole datasets by methods that do not train
    - `costs/`: what methods cost (`bench.model.costs`)
    - `replies/`: answers of vision-language models, so that no question is asked twice
    - `claims/`, `logs/`: the runs that processes are computing, and the output of workers

    Any part of a folder may be copied into another one (`cp -r`): records are named by content.
    """

    root: Path
    problems: list[str] = field(default_factory=list)
    """Files that could not be read, each with the reason."""
    _siblings: dict[str, list[Record]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        # Manifests name records relative to the root, whatever the working folder is by then.
        self.root = self.root.absolute()

    def path(self, spec: RunSpec) -> Path:
        """The file of a run's record."""
        return self.root / _place(spec)

    def refresh(self, spec: RunSpec) -> None:
        """Make a record visible that another machine has just written.

        An NFS client may cache for a minute that a file does not exist. Changing the folder, as
        this function does, makes the client ask the server again.
        """
        folder = self.path(spec).parent
        if folder.is_dir():
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".look-", suffix=".tmp"):
                pass

    def get(self, spec: RunSpec) -> Record | None:
        """The run's record; None if it is missing or cannot be read."""
        return self.read(self.path(spec))

    def write(self, record: Record, predictions: pd.DataFrame | None = None) -> Path:
        """Write a run's predictions and then its record, which promises that they are there.

        An existing file that cannot be read, perhaps of a newer iqa-bench, is renamed and kept.
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
        """All readable records; the others are listed in `problems`. `curve` as in `read`."""
        for name in self.names():
            record = self.read(name, curve)
            if record is not None:
                yield record

    def names(self) -> list[str]:
        """Paths of all records under the root, as text, sorted.

        Not `Path`: making 100,000 such objects takes longer than listing the files.
        """
        found = []
        for task in _folders(f"{self.root}/records"):
            for method in _folders(f"{self.root}/records/{task}"):
                folder = f"records/{task}/{method}"
                files = os.listdir(f"{self.root}/{folder}")  # noqa: PTH208
                names = (name for name in files if name.endswith(".json"))
                found += [f"{folder}/{name}" for name in names if not name.startswith(".")]
        return sorted(found)

    def states(self, runs: Mapping[str, RunSpec]) -> dict[str, Status]:
        """The status of each of `runs` (run id -> spec) that has a readable record.

        A done run whose predictions are cut off has no status: it is listed in `problems` and will
        be computed again. Apart from this, the answers are those of `get`, several times faster.
        """
        found: dict[str, Status] = {}
        root = str(self.root)
        for run_id, spec in runs.items():
            place = _place(spec)
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
        """The run's record; None if the run is to be computed, by the rules of `states`."""
        path = self.path(spec)
        record = self.read(path)
        if record is not None and record.status == "done" and self._cut_off(str(path)):
            return None
        return record

    def _cut_off(self, path: str) -> bool:
        """Whether a done run's predictions are cut off; if so, they are listed in `problems`."""
        table = f"{path.removesuffix('.json')}.parquet"
        if not cut_off(table):
            return False
        problem = f"{table}: predictions are cut off; the run will be computed again"
        if problem not in self.problems:
            self.problems.append(problem)
        return True

    def siblings(self, spec: RunSpec) -> list[Record]:
        """Other records of the same method on the same task."""
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
        """Predictions of a done run: columns image, quality, prediction (one for each selection).

        Raises `StoreError` if they cannot be read.
        """
        return read_parquet(self.path(spec).with_suffix(".parquet"))

    def pretrained_file(self, method: str, key: str) -> Path:
        """The file of a pre-trained state, by method name (without argument) and key."""
        return self.root / "pretrained" / f"{filenames.folder(method)}-{key}.safetensors"

    def scores_path(self, key: str, method: str, dataset: str) -> Path:
        """The file of the scores of a whole dataset by a method that does not train."""
        name = f"{filenames.folder(method)}-{key}.parquet"
        return self.root / "scores" / filenames.folder(dataset) / name

    def read(self, path: str | Path, curve: bool = True) -> Record | None:
        """The record in a file (a path under the root, or a whole path).

        None if the file does not exist or cannot be read; the latter is listed in `problems`.
        Without `curve` the training curve is left out, which tables do not need and which takes
        most of the time.
        """
        place = os.path.join(self.root, path)  # noqa: PTH118
        text = self._text(place)
        return None if text is None else self._parsed(place, text, curve)

    def _text(self, path: str) -> bytes | None:
        """The text of a record, None as in `read`."""
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
    """Names of the folders inside a folder; [] if it does not exist."""
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir() and not hidden(entry.name)]
    except FileNotFoundError:
        return []


def _content(path: str) -> bytes:
    """The content of a file, by the fewest system calls: half the time of `Path.read_bytes`."""
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
    parts = [train] if test == train else [train, test]
    task = filenames.folder("__".join(map(filenames.readable, parts)))
    return f"records/{task}/{filenames.folder(method)}"


def _place(spec: RunSpec) -> str:
    # `spec.task` and `spec.method` would say the same, and build a task for each of 100,000 runs.
    return f"{_folder(spec.fit.train, spec.test, spec.fit.method)}/{spec.run_id}.json"


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table atomically."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_parquet(path: Path) -> pd.DataFrame:
    """A stored table. Raises `StoreError` if it cannot be read."""
    from pyarrow.parquet import ParquetFile

    try:
        # `pandas.read_parquet` looks for folders and partitions first, which takes two thirds.
        with ParquetFile(path) as file:
            table: pd.DataFrame = file.read(use_threads=False).to_pandas()
    except Exception as error:  # pyarrow raises its own family for truncated files
        raise StoreError(f"table '{path}' cannot be read: {error}") from error
    return table


def cut_off(path: str) -> bool:
    """Whether a parquet file exists and lacks its end, which is four known bytes."""
    try:
        descriptor = os.open(path, _READING)
    except FileNotFoundError:
        return False
    try:
        os.lseek(descriptor, -len(_PARQUET_END), os.SEEK_END)
        return os.read(descriptor, len(_PARQUET_END)) != _PARQUET_END
    except OSError:  # The file is shorter than that.
        return True
    finally:
        os.close(descriptor)


def set_aside(path: Path) -> None:
    """Rename a file that cannot be read, so that another can be written and nothing is lost."""
    with writing(path):
        path.replace(path.with_name(f"{path.name}.unreadable"))
