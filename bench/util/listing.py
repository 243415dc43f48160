"""Listing files, without those that the system and other programs leave in folders."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LEFT_BEHIND = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}
)
"""Files and folders of Windows, macOS and network storage; some hold small copies of images."""


def hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or a leftover of a system or an editor.

    >>> [hidden(name) for name in ("._x.jpg", ".ipynb_checkpoints", "Thumbs.db", "~$a.xlsx", "x")]
    [True, True, True, True, False]
    """
    return name.startswith((".", "~$")) or name.lower() in _LEFT_BEHIND


def listed(folder: Path, pattern: str) -> list[Path]:
    """Files in a folder that match `pattern` (of `Path.glob`), sorted, without hidden ones."""
    own = len(folder.parts)
    return sorted(path for path in folder.glob(pattern) if not any(map(hidden, path.parts[own:])))


def visible(text: str) -> str:
    """A text on one line, with a mark for characters that are invisible or change the display.

    File names and labels of others may contain line breaks, which begin a new line in a log, escape
    codes of terminals, and marks that change the direction of writing.

    >>> visible("a\\n::error::b \\x1b[2J \\u202e")
    'a ::error::b \ufffd[2J \ufffd'
    """
    joined = " ".join(text.split())
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in joined)


def fold(name: str) -> str:
    """A file name without case and in one Unicode form.

    A file system, an archive or a spreadsheet may write 'é' as one character or as two.

    >>> fold("Zu\\u0308rich.JPG") == fold("Z\\u00fcrich.jpg")
    True
    """
    return unicodedata.normalize("NFC", name).lower()


@dataclass(frozen=True)
class Found:
    """A file somewhere below a folder."""

    path: str
    """Relative to the folder, with forward slashes."""
    hidden: bool
    """Whether it or a folder that it lies in is hidden."""


def walk(root: Path) -> Iterator[Found]:
    """Every file below `root`, following links, each folder once even if several links lead to it.

    Folders come before the targets of links, so that a file below `root` is listed under its real
    path. Folders that cannot be read, pipes and devices are left out; a broken link is listed, and
    opening it raises an error.
    """
    seen: set[str] = set()
    folders, links = [("", False)], list[tuple[str, bool]]()
    while folders or links:
        base, unseen = folders.pop() if folders else links.pop(0)
        place = os.path.realpath(root / base)
        if place in seen:
            continue
        seen.add(place)
        inside = _entries(root / base)
        for entry in inside:
            path = f"{base}/{entry.name}" if base else entry.name
            mark = unseen or hidden(entry.name)
            if not entry.is_dir():
                if entry.is_file() or entry.is_symlink():
                    yield Found(path, mark)
            elif entry.is_symlink():
                links.append((path, mark))
            else:
                folders.append((path, mark))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
