"""File names for any label: used for records, manifests, baselines, pages and figures."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

LONGEST = 100
"""Characters of a name, so that endings and other names fit beside it (255 bytes in all)."""
FOLDER = 150
MARK = "~"
"""In front of the digest; names without a digest never contain it."""
DIGITS = 8
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names of devices on Windows."""


def slug(*labels: str) -> str:
    """A readable file name for one label or several, valid on all systems; never '.' or '..'.

    One-to-one: if anything was changed or cut, or if the end of a label is not clear, a digest of
    all labels follows.

    >>> slug("few_shot"), slug("a", "b"), slug("实验一") == slug("实验二")
    ('few_shot', 'a-b', False)
    >>> slug("a-b", "c") == slug("a", "b-c")
    False
    """
    text = "-".join(labels)
    plain = readable(text)
    clear = len(labels) == 1 or not any("-" in label for label in labels)
    if clear and plain == text and len(text) <= LONGEST and not _RESERVED.fullmatch(text):
        return text
    return f"{plain[:LONGEST]}{MARK}{_digest(chr(0).join(labels))}"


def readable(text: str) -> str:
    """The readable part alone, for names with another digest; not one-to-one.

    >>> readable("pyiqa:clipiqa+"), readable("../x")
    ('pyiqa-clipiqa+', '-x')
    """
    return re.sub(r"[^A-Za-z0-9_.+@-]+", "-", text).lstrip(".") or "-"


def folder(text: str) -> str:
    """The readable part as the name of a folder whose files are named by content.

    Labels may share it, since the files in it have distinct names.
    """
    plain = readable(text)
    return plain if len(plain) <= FOLDER else f"{plain[:LONGEST]}{MARK}{_digest(text)}"


def present(path: Path) -> bool:
    """Whether there is such a file or folder; False for a name that is too long for any."""
    return os.path.exists(path)  # noqa: PTH110  # `Path.exists` raises for those


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
