"""Building a decode cache: many files into one, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.api import ImagePolicy, Pixels
from bench.data.images.decode import Unreadable, decode
from bench.model.images import pixel_digest
from bench.util.errors import DataError

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""

THREADS = min(4, os.cpu_count() or 1)
AT_ONCE = 4 * THREADS
"""Images that are decoded before the first of them is used; a large one takes some 40 MB."""
SHOWN = 5
"""Unreadable files that an error names."""
PIXELS, INDEX = "pixels.bin", "index.json"


def complaint(total: int, failures: Sequence[tuple[str, str]]) -> str:
    """One line that counts unreadable files and names the first few with their reason."""
    first = ", ".join(f"{name} ({reason})" for name, reason in failures[:SHOWN])
    more = f" and {len(failures) - SHOWN} more" if len(failures) > SHOWN else ""
    return f"{len(failures)} of {total} images cannot be used: {first}{more}"


def build(
    folder: Path,
    names: Sequence[str],
    files: Sequence[Path],
    policy: ImagePolicy,
    progress: Progress | None,
) -> None:
    """Decode `files` into `folder`, which appears only when it is whole. Call it under a lock.

    Raises `DataError` that names the files which cannot be decoded, `OSError` for a full disk.
    """
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # the lock is ours: whoever left it is dead
    partial.mkdir()
    try:
        with (partial / PIXELS).open("wb") as out:
            entries, size = _pack(out, names, files, policy, progress)
            _flush(out)
        with (partial / INDEX).open("wb") as out:
            out.write(json.dumps({"bytes": size, "images": entries}).encode())
            _flush(out)
        # An index written last and a rename: a folder that exists is whole.
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _pack(
    out: BinaryIO,
    names: Sequence[str],
    files: Sequence[Path],
    policy: ImagePolicy,
    progress: Progress | None,
) -> tuple[list[tuple[int, int, int, str]], int]:
    """Append every image to `out`. Continues after a bad one, so that the error names all of
    them."""
    entries: list[tuple[int, int, int, str]] = []
    failures: list[tuple[str, str]] = []
    size = 0
    for name, image in zip(names, decoded(files, policy), strict=True):
        if isinstance(image, Unreadable):
            failures.append((name, image.reason))
        elif not failures:
            entries.append((size, image.shape[0], image.shape[1], pixel_digest(image)))
            size += out.write(np.ascontiguousarray(image).data)
        if progress:
            progress(len(entries) + len(failures), len(names))
    if failures:
        raise DataError(complaint(len(names), failures))
    return entries, size


def decoded(files: Sequence[Path], policy: ImagePolicy) -> Iterator[Pixels | Unreadable]:
    """Decode in order on a few threads (Pillow lets go of the interpreter).

    A file that cannot be decoded yields its error instead of pixels.
    """
    from joblib import Parallel, delayed

    def attempt(file: Path) -> Pixels | Unreadable:
        try:
            return decode(file, policy)
        except Unreadable as error:
            return error

    options = {"backend": "threading", "return_as": "generator", "batch_size": 1}
    with Parallel(THREADS, **options) as parallel:
        # joblib does not wait for whoever takes the images: memory limits how many it is given.
        for start in range(0, len(files), AT_ONCE):
            images = parallel(map(delayed(attempt), files[start : start + AT_ONCE]))
            try:
                for image in images:  # noqa: UP028  # it would close joblib's generator first
                    yield image
            finally:
                deque(images, maxlen=0)  # an abandoned generator warns of unused results


def _flush(out: BinaryIO) -> None:
    out.flush()
    os.fsync(out.fileno())
