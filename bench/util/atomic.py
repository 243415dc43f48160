"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.util.errors import StoreError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""A full or read-only disk, wherever it is met: no fault of the program's, nor of a run's."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it over `path`.

    Any number of processes may do so at once: a reader sees one of their files, whole. Raises
    `StoreError` where the disk is full or the folder cannot be written.
    """
    temporary: Path | None = None
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The suffix keeps half-written files apart from records in every listing.
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            os.close(handle)
            temporary = Path(name)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            # mkstemp's 0600 would keep colleagues on a shared folder from reading the record.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses inside is a `StoreError` that names `path` and the reason."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write '{path}': {error.strerror or error}") from error
    except Exception as error:
        if reason := refusal(error):
            raise StoreError(f"cannot write '{path}': {reason}") from error
        raise


def refusal(error: BaseException | None) -> str:
    """What a full or read-only disk said, where that is behind an error; '' for any other.

    Some libraries have errors of their own for it: safetensors gives the system's number in words,
    torch what it met while the system's error was on its way.

    >>> refusal(ValueError("I/O error: no room (os error 28)")), refusal(ValueError("NaN"))
    ('No space left on device', '')
    """
    while error is not None:
        said = re.search(r"\(os error (\d+)\)", str(error))
        number = error.errno if isinstance(error, OSError) else int(said[1]) if said else None
        if number in FULL:
            return os.strerror(number)
        error = error.__cause__ or error.__context__
    return ""


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON atomically; NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
