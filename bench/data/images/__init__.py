"""Decode once, read for ever: packed, memory-mapped images.

`open_images` decodes every file of a dataset under one size policy and keeps the pixels in one file
that is mapped, never loaded. Its folder is named by what it holds: sample names, the source files'
sizes and modification times, the policy and the version of Pillow (and of what else resizes). A
changed source file therefore means another folder. It is built under a lock in a folder of another
name and renamed when whole, so that a killed build leaves nothing that could be taken for a
finished one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.images.files import Tree
from bench.data.images.packing import INDEX, PIXELS, Progress, build, complaint
from bench.model.images import ImagePolicy, Images, ImageSequence, Indices, Pixels
from bench.util.errors import DataError, StoreError

PACKAGES = {"cv2": "opencv-python-headless", "skimage": "scikit-image"}
"""Whose version counts for a resize kernel."""
FORMAT = 1
"""Raise it when `bench.data.images.decode` gives other pixels; old caches are then ignored."""


@dataclass(frozen=True)
class _Entry:
    """One image of a packed file."""

    offset: int
    shape: tuple[int, int, int]
    digest: str


class PackedImages(ImageSequence):
    """Images in one mapped file. Arrays are read-only views; pickling sends the path, no pixels."""

    def __init__(self, folder: Path, names: Sequence[str], entries: Sequence[_Entry]) -> None:
        self.folder = folder
        self.names = tuple(names)
        self.entries = tuple(entries)

    @cached_property
    def _pixels(self) -> npt.NDArray[np.uint8]:
        try:
            return np.memmap(self.folder / PIXELS, dtype=np.uint8, mode="r")
        except (OSError, ValueError) as error:
            raise DataError(f"decoded cache {self.folder} cannot be read: {error}") from None

    def __getitem__(self, index: int, /) -> Pixels:
        entry = self.entries[index]
        flat = self._pixels[entry.offset : entry.offset + int(np.prod(entry.shape))]
        return np.asarray(flat).reshape(entry.shape)

    def subset(self, indices: Indices) -> PackedImages:
        """The images at `indices`, in that order, without copying pixels."""
        rows = [int(index) for index in indices]
        part = PackedImages(
            self.folder, [self.names[row] for row in rows], [self.entries[row] for row in rows]
        )
        if "_pixels" in self.__dict__:
            part.__dict__["_pixels"] = self._pixels
        return part

    def digest(self, index: int) -> str:
        """SHA-256 over shape and pixels of one image, worked out when it was decoded."""
        return self.entries[index].digest

    def renamed(self, names: Sequence[str]) -> PackedImages:
        """The same images under other names."""
        return PackedImages(self.folder, names, self.entries)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_pixels"}


class JoinedImages(ImageSequence):
    """Images of several databases in one sequence, each named 'DATABASE/NAME'."""

    def __init__(
        self,
        parts: Sequence[Images],
        titles: Sequence[str] = (),
        places: Sequence[tuple[int, int]] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.parts = tuple(parts)
        self.places = (
            tuple(places)
            if places is not None
            else tuple((n, row) for n, part in enumerate(self.parts) for row in range(len(part)))
        )
        named = (f"{titles[n]}/{self.parts[n].names[row]}" for n, row in self.places if not names)
        self.names = tuple(names) if names is not None else tuple(named)

    def __getitem__(self, index: int, /) -> Pixels:
        part, row = self.places[index]
        return self.parts[part][row]

    def subset(self, indices: Indices) -> JoinedImages:
        """The images at `indices`, in that order, without copying pixels."""
        rows = [int(index) for index in indices]
        places, names = [self.places[row] for row in rows], [self.names[row] for row in rows]
        return JoinedImages(self.parts, places=places, names=names)

    def digest(self, index: int) -> str:
        """SHA-256 over shape and pixels of one image."""
        part, row = self.places[index]
        return self.parts[part].digest(row)

    def renamed(self, names: Sequence[str]) -> JoinedImages:
        """The same images under other names, their files' own left behind."""
        parts = [part.renamed([""] * len(part)) for part in self.parts]
        return JoinedImages(parts, places=self.places, names=names)


def images_digest(images: Images) -> str:
    """SHA-256 over names and pixels, whatever holds them: what was really shown to a method."""
    parts = [images.digest(index) for index in range(len(images))]
    payload = json.dumps(list(zip(images.names, parts, strict=True)), separators=(",", ":"))
    return hashlib.sha256(payload.encode()).hexdigest()


def open_images(
    root: Path,
    names: Sequence[str],
    policy: ImagePolicy,
    cache: Path,
    progress: Progress | None = None,
) -> PackedImages:
    """The images called `names` under `root`, decoded now or read from `cache`.

    A name is a path under `root`; where case or folder differ on disk the file is still found
    (`bench.data.images.files`). Never holds more than a few images in memory. Safe to call from
    several processes at once: one builds, the others wait.

    Raises `DataError` that counts and names the files that are missing, truncated, not images or
    too large, and `StoreError` for a cache folder that cannot be written.
    """
    from filelock import FileLock

    files = _present(root, names)
    folder = cache / _key(names, files, policy)
    if found := _opened(folder, names):
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not (found := _opened(folder, names)):
                build(folder, names, files, policy, progress)
    except OSError as error:
        raise StoreError(f"decoded cache {folder} cannot be written: {error}") from None
    found = found or _opened(folder, names)
    if found is None:
        raise DataError(f"decoded cache {folder} vanished while it was built")
    return found


def _present(root: Path, names: Sequence[str]) -> list[Path]:
    """The file of every name; `DataError` with the count where some have none."""
    tree = Tree(root)
    files = [tree.find(name) for name in names]
    lost = [name for name, file in zip(names, files, strict=True) if file is None]
    if lost:
        reasons = [(name, tree.why_not(name)) for name in lost]
        raise DataError(f"{root}: {complaint(len(names), reasons)}")
    present = [file for file in files if file is not None]
    if len(set(present)) < len(present):
        twice = Counter(present).most_common(1)[0][0]
        raise DataError(f"{root}: several samples mean the same file {twice.name}")
    return present


def _key(names: Sequence[str], files: Sequence[Path], policy: ImagePolicy) -> str:
    from PIL import __version__ as pillow  # another version may decode and resize otherwise

    parts: list[Any] = [FORMAT, pillow, policy.resize, policy.size]
    if policy.kernel != "pillow":
        parts.append(policy.kernel)
    if policy.kernel in PACKAGES:
        parts.append(metadata.version(PACKAGES[policy.kernel]))
    if policy.first is not None:
        parts.append(f"first {policy.first}")
    digest = hashlib.sha256(json.dumps(parts).encode())
    for name, file in zip(names, files, strict=True):
        status = file.stat()
        digest.update(json.dumps([name, status.st_size, status.st_mtime_ns]).encode())
    return digest.hexdigest()[:32]


def _opened(folder: Path, names: Sequence[str]) -> PackedImages | None:
    """The finished cache at `folder`; None where there is none, or one that was damaged since."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        size = (folder / PIXELS).stat().st_size
        entries = [_Entry(offset, (h, w, 3), sha) for offset, h, w, sha in index["images"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if size != index["bytes"] or len(entries) != len(names):
        return None
    return PackedImages(folder, names, entries)
