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
_READABLE = 256 * 2**20
"""A table that takes more than this is not looked into."""
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
                yield Finding("wrong", name, "is not a file of a submission")
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
        groups = (about.row_group(number) for number in range(about.num_row_groups))
        stored = sum(group.total_byte_size for group in groups)
        values = int(about.num_rows) * int(about.num_columns) * _VALUE
        # Texts are longer than a number: they are measured, unless there is too much of them.
        return max(int(stored), values + (_texts(path) if max(stored, values) < _READABLE else 0))
    except Exception:  # pyarrow has its own errors; `validate` names what cannot be read
        return 0


def _texts(path: Path) -> int:
    """Bytes of a table's texts, each counted as often as it stands there."""
    import pyarrow as pa
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    schema = parquet.read_schema(path)
    kinds = (pa.types.is_string, pa.types.is_large_string)
    names = [one.name for one in schema if any(kind(one.type) for kind in kinds)]
    if not names:
        return 0
    table = parquet.read_table(path, columns=names, read_dictionary=names)
    total = 0
    for chunk in (chunk for column in table.columns for chunk in column.chunks):
        lengths = compute.binary_length(chunk.dictionary)
        total += compute.sum(lengths.take(chunk.indices)).as_py() or 0
    return int(total)
