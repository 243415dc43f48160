"""Methods' released checkpoints: downloaded once, with a note on their training data."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.data import datasets
from bench.data.fetch.download import Arrived, Progress, download, quiet
from bench.data.fetch.http import Patience
from bench.data.fetch.hub import remote_of
from bench.data.fetch.sources import WeightsSource, known
from bench.model.fitted_weights import SeenNote
from bench.util import atomic
from bench.util.errors import unknown


@dataclass(frozen=True)
class AuthorsCheckpoint:
    """A released checkpoint on this machine."""

    method: str
    source: WeightsSource
    path: Path
    arrived: Arrived | None = None
    """None where it was there before."""

    @property
    def assignment(self) -> str:
        """What `--set` takes."""
        return f"{self.method}.{self.source.setting}={self.path}"


def source_of(method: str) -> WeightsSource:
    """The released checkpoint of a method. Raises `UsageError` for one that has none listed."""
    found = known().weights.get(method)
    if found is None:
        raise unknown("checkpoint", method, known().weights)
    return found


def place_of(method: str, folder: Path | None = None) -> Path:
    """Where a method's checkpoint lies once it is here: in the cache, or in `folder`."""
    parent = folder if folder is not None else datasets.cache_folder() / "weights" / method
    return parent / source_of(method).file


def get(
    method: str,
    folder: Path | None = None,
    progress: Progress = quiet,
    patience: Patience | None = None,
) -> AuthorsCheckpoint:
    """A method's released checkpoint, downloaded unless it is there, with the note of what it saw.

    Raises as `download` does.
    """
    from filelock import FileLock

    source, path = source_of(method), place_of(method, folder)
    note = SeenNote.place(path)
    with atomic.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.exists() and note.exists():
            return AuthorsCheckpoint(method, source, path)
        arrived = download(remote_of(source.source_file), path.parent, patience, progress, 0.0)
        if arrived.path != path:  # it lay in the hub's cache, which the note is not to enter
            with atomic.replacing(path) as temporary:
                shutil.copyfile(arrived.path, temporary)
        said = SeenNote(
            url=arrived.url,
            bytes=arrived.size,
            sha256=arrived.sha256,
            checked=arrived.checked,
            seen=source.seen,
        )
        atomic.write_json(note, said.model_dump(mode="json"))
    return AuthorsCheckpoint(method, source, path, arrived)
