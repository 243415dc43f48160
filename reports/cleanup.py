"""Replaces an earlier report by a new one and removes files that the new one lacks.

A report's folder may hold files of the user's own. Only files that an earlier report wrote
and that nobody changed since are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from errno import ENOTDIR
from pathlib import Path

from bench.util.atomic import write_json, writing
from bench.util.errors import StoreError

NAME = ".report-files.json"
"""The list of written files in a report's folder: path under the folder -> SHA-256."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out`. Raises `StoreError` if it cannot be made."""
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists() and not out.is_dir():
            raise NotADirectoryError(ENOTDIR, "it is a file")
        made = tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-", suffix=".tmp")
    with made as folder:
        yield Path(folder)


def reuse(earlier: Path, made: Path) -> None:
    """Give a new report the images of an earlier one, whose names are their contents'."""
    for path in earlier.glob("*.webp"):
        made.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # then they are made again
            (made / path.name).hardlink_to(path)


def as_written(out: Path, path: Path) -> bool:
    """Whether the last report wrote a file below `out` that nobody has changed since."""
    try:
        name = path.relative_to(out).as_posix()
        return _earlier(out).get(name) == hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return False


def swap_in(made: Path, out: Path, paths: Iterable[Path]) -> list[Path]:
    """Move finished files into `out`, pages last; returns their new paths.

    Raises `StoreError` where `out` cannot be written.
    """
    pairs = {out / path.relative_to(made): path for path in paths}
    for target in sorted(pairs, key=lambda path: (path.suffix == ".html", path.name)):
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            pairs[target].replace(target)
    return list(pairs)


def tidy(out: Path, paths: Iterable[Path]) -> list[str]:
    """Remove what an earlier report wrote to `out` and this one (`paths`) did not; note the rest.

    Returns a note for each such file that stays, since somebody changed it. Raises `StoreError`
    where the folder cannot be written.
    """
    files = {path.relative_to(out).as_posix(): _digest(path) for path in paths}
    notes = []
    for name, digest in _earlier(out).items():
        path = out / name
        if name in files or not _inside(out, path):
            continue
        if _digest(path) == digest:
            _remove(out, path)
        else:
            notes.append(f"removal of {path}: it was changed since an earlier report wrote it")
    write_json(out / NAME, {"files": dict(sorted(files.items()))})
    return notes


def _earlier(out: Path) -> dict[str, str]:
    """The list of the last report; {} where there is none that can be read."""
    try:
        found = json.loads((out / NAME).read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _inside(out: Path, path: Path) -> bool:
    """Whether a listed file lies in the folder: the list may have come from anywhere."""
    return path.is_file() and path.resolve().is_relative_to(out.resolve())


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise StoreError(f"'{path}' cannot be read: {error.strerror}") from error


def _remove(out: Path, path: Path) -> None:
    try:
        path.unlink()
        for folder in path.relative_to(out).parents:
            if folder == Path() or any((out / folder).iterdir()):
                break
            (out / folder).rmdir()
    except OSError as error:
        raise StoreError(f"'{path}' cannot be removed: {error.strerror}") from error
