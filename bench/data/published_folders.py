"""Folders of files that others published about databases: split lists, labels of scenes."""

from __future__ import annotations

from pathlib import Path

from bench.data.datasets._places import plain, within
from bench.util.errors import DataError
from bench.util.listing import listed

_FOLDERS = {
    "livec": ("challengedbrelease", "clive", "livec"),
    "live": ("databaserelease2", "live"),
    "livefb": ("flive", "livefb"),
}
"""Names of published folders that differ from the database's name."""


def published_folder(name: str, folder: Path, inside: str) -> Path | None:
    """`inside` in a database's folder among published ones: `folder` or one somewhere below it.

    None if it does not exist; raises `DataError` if `folder` itself does not exist.
    """
    wanted = folder_names(name)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    places = [folder, *(path for path in listed(folder, "**/*") if path.is_dir())]
    found = (within(place, inside) for place in places if plain(place.name) in wanted)
    return next(filter(None, found), None)


def folder_names(name: str) -> tuple[str, ...]:
    """What a published folder about a database may be called, in plain letters."""
    return _FOLDERS.get(name, (name,))
