"""The files of a submission: looked at from outside, before anything in them is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from bench.model import audits, cards, costs
from bench.store.validate import Finding

BASELINE = "baseline.json"
DIGESTS = "digests.json"
"""Record -> SHA-256 of its predictions, where those are not there themselves."""
_UNPACKED = 20
"""How many times a submission's size its tables may take in memory."""
_VALUE = 8
"""Bytes that a value takes in memory at least."""
_ALLOWED = re.compile(
    rf"{re.escape(cards.FILE)}|{re.escape(BASELINE)}|{re.escape(DIGESTS)}"
    rf"|(protocols|{audits.FOLDER}|{costs.FOLDER})/[^/]+\.json"
    r"|records/[^/]+/[^/]+/[^/]+\.(json|parquet)"
)
"""What a submission may hold, relative to its folder."""


def findings(root: Path, megabytes: float) -> Iterator[Finding]:
    """What is wrong with a folder's files: names, links, sizes on disk and in memory."""
    size = unpacked = 0
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            yield Finding("wrong", name, "is a link; a submission holds files alone")
        elif path.is_file():
            size += path.stat().st_size
            unpacked += _unpacked(path)
            if not _ALLOWED.fullmatch(name):
                yield Finding("wrong", name, "is no file of a submission")
    if size > megabytes * 1e6:
        yield Finding("wrong", "", f"has {size / 1e6:,.1f} MB; the board takes {megabytes:g}")
    most = _UNPACKED * megabytes
    if unpacked > most * 1e6:
        what = f"unpacks to {unpacked / 1e6:,.0f} MB; the board takes {most:,.0f}"
        yield Finding("wrong", "", what)


def digest_of(predictions: Path) -> str:
    """SHA-256 of a file of predictions."""
    with predictions.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpacked(path: Path) -> int:
    """Bytes that a table takes once it is read, as its own end says; 0 of other files.

    A value that is repeated takes next to nothing in a file, however often.
    """
    if path.suffix != ".parquet":
        return 0
    import pyarrow.parquet as parquet

    try:
        about = parquet.read_metadata(path)
    except Exception:  # pyarrow has its own errors; `validate` names what cannot be read
        return 0
    return int(about.num_rows) * int(about.num_columns) * _VALUE
