"""Folders: where databases, caches and configuration are looked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bench.util.listing import fold, hidden

Roots = str | Path | Sequence[str | Path] | None
"""One or several data roots; None means those that the environment names."""


RULES = ("random", "all", "test", "official", "grmp", "promptiqa")
"""Split schemes that need no files, so that no folder of such a name is one's."""


def cache_folder() -> Path:
    """Where the project keeps what it can make again: `IQA_BENCH_CACHE`, or the user's cache."""
    if named := os.environ.get("IQA_BENCH_CACHE"):
        return Path(named).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("iqa-bench"))


def data_roots(roots: Roots = None) -> tuple[Path, ...]:
    """The data roots given, or those of `IQA_DATA` (separated as PATH is), or none."""
    if roots is None:
        named = os.environ.get("IQA_DATA", "").split(os.pathsep)
        return tuple(Path(part).expanduser() for part in named if part)
    if isinstance(roots, str | Path):
        return (Path(roots).expanduser(),)
    return tuple(Path(part).expanduser() for part in roots)


def plain(name: str) -> str:
    """A folder name without case, blanks and punctuation.

    >>> plain("KonIQ-10k")
    'koniq10k'
    """
    return "".join(letter for letter in name.lower() if letter.isalnum())


def folders(root: Path, depth: int) -> list[Path]:
    """`root` and the folders up to `depth` levels below it, shallow ones first, by name."""
    found, level = ([root], [root]) if root.is_dir() else ([], [])
    for _ in range(depth):
        level = [child for parent in level for child in _children(parent)]
        found = [*found, *level]
    return found


def _children(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [item.name for item in entries if item.is_dir() and not hidden(item.name)]
    except PermissionError:
        return []
    return [folder / name for name in sorted(names)]


def within(root: Path, path: str) -> Path | None:
    """The file or folder `path` under `root`, whatever the case of its parts; None if not there."""
    place = root
    for part in path.split("/"):
        exact = place / part
        found = exact if exact.exists() else _in_other_case(place, part)
        if found is None:
            return None
        place = found
    return place


def _in_other_case(folder: Path, name: str) -> Path | None:
    if not folder.is_dir():
        return None
    with os.scandir(folder) as entries:
        alike = sorted(item.name for item in entries if fold(item.name) == fold(name))
    return folder / alike[0] if alike else None
