"""The files of a submission, checked from outside before any of them is read."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.model import audits, cards, costs
from bench.store.validate import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

BASELINE = "baseline.json"
DIGESTS = "digests.json"
"""Record -> SHA-256 of its predictions, if these are not submitted."""
_UNPACKED = 20
"""How many times a submission's size its tables may take in memory."""
_VALUE = 8
"""Bytes that a value takes in memory at least."""
_READABLE = 256 * 2**20
"""Bytes of the largest table whose texts are measured; a larger one is refused."""
_LARGEST_CARD = 50_000
"""Largest card in bytes, several times its texts together; YAML is slow to read."""
_MOST_FILES = 100_000
"""Files and folders of a submission: a thousand times as many as a table of a paper needs."""
_NAME = r"[^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]*"
"""A file that listings show, on one line."""
_ALLOWED = re.compile(
    rf"{re.escape(cards.FILE)}|{re.escape(BASELINE)}|{re.escape(DIGESTS)}"
    rf"|(protocols|{audits.FOLDER}|{costs.FOLDER})/{_NAME}\.json"
    rf"|records/{_NAME}/{_NAME}/{_NAME}\.(json|parquet)"
)
"""Files that a submission may contain, relative to its folder."""


def findings(root: Path, megabytes: float) -> Iterator[Finding]:
    """Problems of a folder's files: names, links, kinds, sizes on disk and in memory.

    The size in memory is only checked if nothing else is wrong.
    """
    paths = list(itertools.islice(root.rglob("*"), _MOST_FILES + 1))
    if len(paths) > _MOST_FILES:
        yield Finding("wrong", "", f"has more than {_MOST_FILES:,} files")
        return
    good, size = True, 0
    for path in sorted(paths):
        name = path.relative_to(root).as_posix()
        if what := _fault(path, name):
            good = False
            yield Finding("wrong", name, what)
        elif path.is_file():
            size += path.stat().st_size
    if size > megabytes * 1e6:
        good = False
        yield Finding("wrong", "", f"has {size / 1e6:,.1f} MB; the board takes {megabytes:g}")
    if good:
        yield from _in_memory(root, paths, _UNPACKED * megabytes)


def _fault(path: Path, name: str) -> str:
    """Why a path is not allowed in a submission; '' if it is."""
    if path.is_symlink():
        return "is a link; a submission holds files alone"
    if path.is_dir():
        # An empty one is in no commit: git shows another repository's place so.
        return "" if any(path.iterdir()) else "is an empty folder"
    if not path.is_file():
        return "is not a file"
    if name == cards.FILE and path.stat().st_size > _LARGEST_CARD:
        return f"is larger than {_LARGEST_CARD:,} bytes"
    return "" if _ALLOWED.fullmatch(name) else "is not a file of a submission"


def _in_memory(root: Path, paths: list[Path], megabytes: float) -> Iterator[Finding]:
    """Problems of tables: not of predictions, or too large in memory."""
    unpacked = 0
    for path in sorted(paths):
        if path.suffix != ".parquet":
            continue
        try:
            unpacked += _unpacked(path)
        except Exception as error:  # pyarrow has its own errors, and many others' beside them
            why = (str(error).splitlines() or [type(error).__name__])[0]
            what = f"is not a table of predictions: {why}"
            yield Finding("wrong", path.relative_to(root).as_posix(), what)
    if unpacked > megabytes * 1e6:
        what = f"unpacks to {unpacked / 1e6:,.0f} MB; the board takes {megabytes:,.0f}"
        yield Finding("wrong", "", what)


def digest_of(predictions: Path) -> str:
    """SHA-256 of a file of predictions."""
    with predictions.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpacked(path: Path) -> int:
    """Size of a table in memory, in bytes, from the metadata at its end.

    Repeated values take almost no space in a file. Raises `ValueError` for
    columns that are neither texts nor numbers, whose values may have any size, and whatever pyarrow
    raises for a file that it cannot read.
    """
    import pyarrow.parquet as parquet

    about = parquet.read_metadata(path)
    schema = parquet.read_schema(path)
    texts = _texts_of(schema)
    groups = (about.row_group(number) for number in range(about.num_row_groups))
    stored = sum(group.total_byte_size for group in groups)
    values = int(about.num_rows) * int(about.num_columns) * _VALUE
    if max(stored, values) > _READABLE:
        raise ValueError(f"takes {max(stored, values) / 1e6:,.0f} MB in memory")
    # Texts are longer than a number: they are measured.
    return max(int(stored), values + (_bytes_of(path, texts) if texts else 0))


def _texts_of(schema: Any) -> list[str]:
    """The columns of texts. Raises `ValueError` for scores that are not numbers, and for columns
    that are neither texts nor numbers."""
    import pyarrow as pa

    def is_one(kind: Any, tests: tuple[Callable[[Any], bool], ...]) -> bool:
        return any(test(kind) for test in tests)

    text = (pa.types.is_string, pa.types.is_large_string)
    number = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_null)
    if len(set(schema.names)) < len(schema.names):
        raise ValueError("two columns have one name")
    for one in schema:
        a_score = one.name == "quality" or one.name.startswith("prediction")
        if not is_one(one.type, number if a_score else text + number):
            raise ValueError(f"column '{one.name}' holds {one.type}")
    return [one.name for one in schema if is_one(one.type, text)]


def _bytes_of(path: Path, texts: list[str]) -> int:
    """Bytes of a table's texts, each counted as often as it occurs."""
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    table = parquet.read_table(path, columns=texts, read_dictionary=texts)
    total = 0
    for chunk in (chunk for column in table.columns for chunk in column.chunks):
        lengths = compute.binary_length(chunk.dictionary)
        total += compute.sum(lengths.take(chunk.indices)).as_py() or 0
    return int(total)
