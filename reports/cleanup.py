"""Which files a report consists of, so that the next one takes away those it no longer has.

A report's folder may hold files of the user's own. Removed is only what an earlier report wrote
there and nobody has changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from bench.util.atomic import write_json
from bench.util.errors import StoreError

NAME = ".report-files.json"
"""The list of written files in a report's folder: path under the folder -> SHA-256."""


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
