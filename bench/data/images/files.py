"""Where on disk the file of a sample lies.

A sample's name is the one its annotation file gives, so that splits and digests are the same for
everybody; what lies on disk may differ in case (TID2013 ships i01_... and I01_...) or in folder
(PIPAL's four archives may be unpacked into one). A file is looked for by its exact path, then by
its path without regard to case, then, for a name that carries no folder, anywhere below the root
if that is unique. A name with a folder is never looked for elsewhere: Waterloo's pristine and
distorted images, say, share their file names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""What names an image file, in lower case."""


class Tree:
    """The files below one folder, listed once and only when an exact path was not enough."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _paths(self) -> dict[str, str]:
        found: dict[str, str] = {}
        seen: set[str] = set()
        for folder, below, names in os.walk(self.root, followlinks=True):
            # Databases are often linked together from several disks; a link may also lead back.
            real = os.path.realpath(folder)
            if real in seen:
                below.clear()
                continue
            seen.add(real)
            base = os.path.relpath(folder, self.root).replace(os.sep, "/")
            for name in names:
                path = name if base == "." else f"{base}/{name}"
                found[path.lower()] = path
        return found

    @cached_property
    def _by_name(self) -> dict[str, str]:
        """Bare lower-case file name -> path; ambiguous names map to ''."""
        found: dict[str, str] = {}
        for path in self._paths.values():
            name = path.rpartition("/")[2].lower()
            found[name] = "" if name in found else path
        return found

    def find(self, name: str) -> Path | None:
        """The file that `name` means, None where there is none or several could be meant."""
        found = self._exact(name)
        if found is None and "/" not in name:
            path = self._by_name.get(name.lower())
            found = self.root / path if path else None
        return found

    def why_not(self, name: str) -> str:
        """Why `find` found nothing, in a few words."""
        return "in several folders" if self._by_name.get(name.lower()) == "" else "missing"

    def _exact(self, name: str) -> Path | None:
        exact = self.root / name
        if exact.is_file():
            return exact
        path = self._paths.get(name.lower())
        return self.root / path if path else None


def find_files(root: Path, names: Sequence[str]) -> list[Path | None]:
    """The file of each name under `root`, None for each that is not there."""
    tree = Tree(root)
    return [tree.find(name) for name in names]
