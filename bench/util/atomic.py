"""Writing files atomically: a reader sees a whole file or none."""

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

from bench.util.errors import StoreError, UsageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Errors of a full or read-only disk, which are not faults of the program or a run."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success, sync it to disk and rename it to `path`.

    Several processes may do this at the same time: a reader sees the whole file of one of them.
    Raises `StoreError` if the disk is full or the folder cannot be written.
    """
    temporary: Path | None = None
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # With this suffix no listing takes a half-written file for a record.
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            os.close(handle)
            temporary = Path(name)
            yield temporary
            # Before the rename, so that no crash leaves a name without its bytes.
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            # mkstemp gives mode 0600; in a shared folder, colleagues are to read the file, too.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the file system into a `StoreError` with `path` and the reason."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write '{path}': {error.strerror or error}") from error
    except Exception as error:
        if reason := refusal(error):
            raise StoreError(f"cannot write '{path}': {reason}") from error
        raise


def refusal(error: BaseException | None) -> str:
    """The system's message if a full or read-only disk caused an error; '' for other errors.

    Libraries wrap the system's error: safetensors writes its number into the message, torch raises
    another error while handling it.

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


def require_writable(path: Path) -> None:
    """Raise if a file cannot be written, before anything is computed for it.

    `UsageError` for a folder of that name, `StoreError` if its folder cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"cannot write '{path}': it is a folder")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".look-", suffix=".tmp"):
            pass


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
