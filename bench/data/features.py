"""Features of images, computed once and shared by all fits: the harness's cache on disk.

A shelf is a folder for one way to compute features (network, weights, code, libraries). Its file
is a sequence of records of one size: the SHA-256 of an image's pixels, a checksum, and the row in
float32. Records are appended under a lock, in one piece; readers map the file. What a killed
process left behind is cut off by the next that writes, and a damaged record counts as absent.

Rows follow from pixels and frozen weights. No label is among them, nor any image's name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.api import ComputeRows, Rows
from bench.util.atomic import write_json
from bench.util.errors import BenchError, StoreError

AT_ONCE = 32
"""Images computed before their rows are written and those of other processes are read."""
BOUND = 4.0
FOLDER_NAME = "IQA_BENCH_FEATURE_FOLDER"
BOUND_NAME = "IQA_BENCH_FEATURES"
"""Environment variable: gibibytes that all shelves may take; 0 keeps nothing on disk."""
ROWS, ABOUT = "rows.bin", "about.json"


@dataclass(frozen=True)
class ShelfInfo:
    """The content of a shelf."""

    folder: Path
    about: dict[str, Any]
    """How its rows are computed."""
    rows: int
    bytes: int
    used: float
    """When it was last read or written, in seconds since the epoch."""


def folder() -> Path:
    """The folder of the shelves: in the project's cache, unless `FOLDER_NAME` names another."""
    if given := os.environ.get(FOLDER_NAME):
        return Path(given)
    # A method's process is given the folder, and need not import the readers of databases.
    from bench.data.datasets import cache_folder

    return cache_folder() / "features"


def bound() -> int:
    """Bytes that all shelves may take together. `BenchError` for a setting that is not a number."""
    given = os.environ.get(BOUND_NAME, "")
    try:
        return int((float(given) if given else BOUND) * 2**30)
    except ValueError:
        raise BenchError(f"{BOUND_NAME}={given}: expected a number of gibibytes") from None


def shelves(root: Path) -> list[ShelfInfo]:
    """All shelves, the most recently used first."""
    found = []
    for about in root.glob(f"*/{ABOUT}"):
        try:
            content = json.loads(about.read_text(encoding="utf-8"))
            state = (about.parent / ROWS).stat()
            rows = state.st_size // _record(content["width"]).itemsize
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another process is making or removing it
        found.append(ShelfInfo(about.parent, content["what"], rows, state.st_size, state.st_mtime))
    return sorted(found, key=lambda shelf: -shelf.used)


def prune(root: Path, most: int, spared: Path | None = None) -> int:
    """Remove the shelves used longest ago until the rest takes `most` bytes; the bytes removed."""
    found = shelves(root)
    total, gone = sum(shelf.bytes for shelf in found), 0
    for shelf in reversed(found):
        if total - gone <= most:
            break
        if shelf.folder != spared:
            # Whoever has it mapped keeps what is mapped.
            shutil.rmtree(shelf.folder, ignore_errors=True)
            gone += shelf.bytes
    return gone


class FeatureCache:
    """`Context.features` of a method's process."""

    def __init__(self, root: Path, code: Callable[[str], str], most: int) -> None:
        """`code` gives the digest of a module's source, `most` bounds the bytes of all shelves."""
        self.root, self.code, self.most = root, code, most

    def __call__(
        self, owner: str, what: Mapping[str, Any], digests: Sequence[str], compute: ComputeRows
    ) -> Rows:
        """See `bench.api.Context.features`."""
        if not digests:
            return compute([])
        shelf = _Shelf(self.root, {**what, "code": self.code(owner)})
        places = {digest: place for place, digest in enumerate(digests)}
        found: dict[str, Rows] = {}
        while True:
            found |= shelf.read([digest for digest in places if digest not in found])
            missing = [digest for digest in places if digest not in found]
            if not missing:
                break
            # Several processes that begin with one database at once begin in different places.
            first = os.getpid() % len(missing)
            chosen = [*missing[first:], *missing[:first]][:AT_ONCE]
            made = np.asarray(compute([places[digest] for digest in chosen]), np.float32)
            found |= dict(zip(chosen, made, strict=True))
            self._keep(shelf, chosen, made)
        return np.stack([found[digest] for digest in digests])

    def _keep(self, shelf: _Shelf, digests: Sequence[str], rows: Rows) -> None:
        size = shelf.size(rows)
        if size > self.most:
            return
        prune(self.root, self.most - (size - shelf.size()), spared=shelf.folder)
        try:
            shelf.append(digests, rows)
        except OSError:  # a full or read-only disk costs time, and no result
            return


class _Shelf:
    """One folder of rows."""

    def __init__(self, root: Path, what: Mapping[str, Any]) -> None:
        text = json.dumps(what, sort_keys=True)
        self.what = json.loads(text)
        self.folder = root / hashlib.sha256(text.encode()).hexdigest()[:24]
        self._known: dict[bytes, int] = {}
        self._seen = 0

    def size(self, more: Rows | None = None) -> int:
        """Bytes of the rows, with those of `more`."""
        try:
            present = (self.folder / ROWS).stat().st_size
        except OSError:
            present = 0
        return present + (0 if more is None else len(more) * _record(more.shape[1]).itemsize)

    def read(self, digests: Sequence[str]) -> dict[str, Rows]:
        """The rows that are there and whole, by digest."""
        records = self._mapped()
        if records is None:
            return {}
        for place in range(self._seen, len(records)):
            self._known[bytes(records["key"][place])] = place
        self._seen = len(records)
        found = {}
        for digest in digests:
            known = self._known.get(bytes.fromhex(digest))
            if known is not None and _whole(records[known], digest):
                found[digest] = np.array(records["row"][known])
        if found:
            # Reading does not change the time of modification, by which `prune` finds old shelves.
            os.utime(self.folder / ROWS)
        return found

    def append(self, digests: Sequence[str], rows: Rows) -> None:
        """Append rows. Raises OSError if the disk is full or read-only."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        record = _record(rows.shape[1])
        with FileLock(self.folder / "lock"):
            if _width(self.folder) != rows.shape[1]:  # new, or damaged
                (self.folder / ROWS).unlink(missing_ok=True)
                try:
                    write_json(self.folder / ABOUT, {"width": rows.shape[1], "what": self.what})
                except StoreError as error:
                    raise OSError(str(error)) from error
            present = self.read(digests)  # another process may have been quicker
            pairs = zip(digests, rows, strict=True)
            new = [(digest, row) for digest, row in pairs if digest not in present]
            records = np.empty(len(new), record)
            for place, (digest, row) in enumerate(new):
                key = np.frombuffer(bytes.fromhex(digest), np.uint8)
                records[place] = (key, zlib.crc32(row.tobytes()), row)
            with (self.folder / ROWS).open("ab") as file:
                # A process that was killed while writing may have left a part of a record.
                whole = file.tell() // record.itemsize * record.itemsize
                file.truncate(whole)
                file.write(records.tobytes())

    def _mapped(self) -> npt.NDArray[Any] | None:
        width, file = _width(self.folder), self.folder / ROWS
        try:
            record = _record(width or 0)
            count = file.stat().st_size // record.itemsize if width else 0
            if count < self._seen:  # it was removed and begun again
                self._known, self._seen = {}, 0
            return np.memmap(file, record, mode="r", shape=(count,)) if count else None
        except (OSError, ValueError):  # removed at this moment
            return None


def _width(folder: Path) -> int | None:
    """The length of a shelf's rows; None if it is not recorded."""
    try:
        return int(json.loads((folder / ABOUT).read_text(encoding="utf-8"))["width"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _whole(record: Any, digest: str) -> bool:
    """Whether a record is undamaged and belongs to that image (the file may have been replaced)."""
    mine = bytes(record["key"]) == bytes.fromhex(digest)
    return mine and zlib.crc32(record["row"].tobytes()) == int(record["sum"])


def _record(width: int) -> np.dtype[Any]:
    return np.dtype([("key", np.uint8, (32,)), ("sum", np.uint32), ("row", np.float32, (width,))])
