"""Where on disk the file of a sample lies, and which files of a folder are images.

A sample's name is the one its annotation file gives, so that splits and digests are the same for
everybody; what lies on disk may differ in case (TID2013 ships i01_... and I01_...), in the Unicode
form of its letters or in folder (PIPAL's four archives may be unpacked into one). A file is looked
for by its exact path, then by its path without regard to case and form, then, for a name that
carries no folder, anywhere below the root if that is unique. A name with a folder is never looked
for elsewhere: Waterloo's pristine and distorted images, say, share their file names.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

from bench.util.listing import fold, walk

_ONLY_NAMED = frozenset({"BUFR", "GRIB", "HDF5", "MPEG", "EPS", "FPX", "MIC"})
"""Formats that Pillow recognises and cannot decode without other programs."""


@cache
def suffixes() -> frozenset[str]:
    """Suffixes of images that Pillow decodes, in lower case: '.png', '.jfif', '.avif', ..."""
    from PIL import Image

    Image.init()
    decoded = set(Image.OPEN) - _ONLY_NAMED - (set() if sys.platform == "win32" else {"WMF"})
    known = Image.registered_extensions().items()
    return frozenset(suffix.lower() for suffix, kind in known if kind in decoded)


@dataclass(frozen=True)
class ImageFiles:
    """The images below a folder, and what else is there."""

    root: Path
    names: tuple[str, ...]
    """Paths under `root` with forward slashes, sorted."""
    hidden: int = 0
    """Images that are hidden or lie in a hidden folder (`._x.jpg`, `.ipynb_checkpoints/`)."""
    others: tuple[tuple[str, int], ...] = ()
    """Suffix and number of the files that are not images."""

    @property
    def paths(self) -> list[Path]:
        """The images' files."""
        return [self.root / name for name in self.names]

    @property
    def left_out(self) -> str:
        """What was left out, for people: '2 hidden images, 3 files that are not images (.txt)'."""
        parts = []
        if self.hidden:
            parts.append(f"{self.hidden} hidden image{'s' * (self.hidden != 1)}")
        if count := sum(number for _, number in self.others):
            kinds = ", ".join(suffix or "no suffix" for suffix, _ in self.others[:4])
            kinds += ", …" * (len(self.others) > 4)
            are = "files that are not images" if count != 1 else "file that is not an image"
            parts.append(f"{count} {are} ({kinds})")
        return ", ".join(parts)


def image_files(root: Path) -> ImageFiles:
    """All images below a folder by their suffix: the only listing of them in the project.

    Links are followed, each folder once; a folder called `d.jpg` does not count as an image.
    """
    names, unseen, others = list[str](), 0, Counter[str]()
    for found in walk(root):
        suffix = PurePosixPath(found.path).suffix.lower()
        if suffix in suffixes():
            unseen += found.hidden
            names += [] if found.hidden else [found.path]
        elif not found.hidden:
            others[suffix] += 1
    return ImageFiles(root, tuple(sorted(names)), unseen, tuple(others.most_common()))


class Tree:
    """The files below one folder, listed once and only when an exact path was not enough."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _paths(self) -> dict[str, str]:
        """Folded path -> path; of files whose paths differ in case alone the first counts."""
        found: dict[str, str] = {}
        for path in sorted(found.path for found in walk(self.root) if not found.hidden):
            found.setdefault(fold(path), path)
        return found

    @cached_property
    def _by_name(self) -> dict[str, str]:
        """Folded file name -> path; ambiguous names map to ''."""
        found: dict[str, str] = {}
        for folded, path in self._paths.items():
            name = folded.rpartition("/")[2]
            found[name] = "" if name in found else path
        return found

    def find(self, name: str) -> Path | None:
        """The file that `name` means; None if there is none or several match."""
        found = self._exact(name)
        if found is None and "/" not in name:
            path = self._by_name.get(fold(name))
            found = self.root / path if path else None
        return found

    def why_not(self, name: str) -> str:
        """Why `find` found nothing, in a few words."""
        if _leaves(name):
            return "outside the folder"
        return "in several folders" if self._by_name.get(fold(name)) == "" else "missing"

    def _exact(self, name: str) -> Path | None:
        if _leaves(name):
            return None
        exact = self.root / name
        if exact.is_file():
            return exact
        path = self._paths.get(fold(name))
        return self.root / path if path else None


def _leaves(name: str) -> bool:
    """Whether a name would lead out of the folder, since names also come from untrusted tables."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


def find_files(root: Path, names: Sequence[str]) -> list[Path | None]:
    """The file of each name under `root`, None for each that is not there."""
    tree = Tree(root)
    return [tree.find(name) for name in names]
