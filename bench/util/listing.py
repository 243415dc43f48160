"""Which files of a folder count: what the system and other programs leave there does not."""

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
    """Whether a file or folder is hidden, or was left there by a system or an editor.

    >>> [hidden(name) for name in ("._x.jpg", ".ipynb_checkpoints", "Thumbs.db", "~$a.xlsx", "x")]
    [True, True, True, True, False]
    """
    return name.startswith((".", "~$")) or name.lower() in _LEFT_BEHIND


def listed(folder: Path, pattern: str) -> list[Path]:
    """What matches `pattern` (of `Path.glob`) in a folder, sorted, without what is hidden there."""
    own = len(folder.parts)
    return sorted(path for path in folder.glob(pattern) if not any(map(hidden, path.parts[own:])))


def visible(text: str) -> str:
    """A text on one line, with a mark for what would not be seen, or would change what is.

    Somebody else's file names and labels may hold line breaks, which begin a line of their own in a
    log, escape codes of terminals, and marks that turn the direction of writing.

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
    """Every file below `root`, links followed, each folder once whatever links lead to it.

    Folders come before what only a link leads to, so that a file is known by its own place where it
    has one below `root`. Folders that cannot be read, pipes and devices are left out; a link to a
    file that is gone is listed, and whoever opens it learns that.
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
