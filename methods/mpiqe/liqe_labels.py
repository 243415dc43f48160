"""LIQE's published label files: scenes and distortions of LIVE, CSIQ, KADID, BID, LIVEC, KonIQ.

A line is `path TAB score TAB distortion TAB scene TAB scene TAB scene`, with `invalid` for scenes
that an image does not have. The files of several databases, or of the training, validation and
test side of one split, may be joined into one (BID and KADID-10k have no file of the whole
database). Labels are given as published: in LIVE's file, fast fading is called white noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.api import DataError

FIELDS = 6
ABSENT = "invalid"


@dataclass(frozen=True)
class ImageLabels:
    """What a file says of one image."""

    distortion: str
    """One of LIQE's 33 kinds."""
    scenes: tuple[str, ...]
    """One to three of the nine categories, in the file's order."""


class LiqeLabels:
    """Labels by image name, however much of the image's path a name holds."""

    def __init__(self, labels: dict[str, ImageLabels]) -> None:
        self._found: dict[str, ImageLabels | None] = {}
        for path, one in labels.items():
            for ending in _endings(path):
                same = self._found.setdefault(ending, one) == one
                # A file name that means different things in different folders means nothing alone.
                self._found[ending] = one if same else None
        self._whole = {path.lower(): one for path, one in labels.items()}

    def __len__(self) -> int:
        return len(self._whole)

    def get(self, name: str) -> ImageLabels | None:
        """The labels of an image (path or file name, any case); None where there are none."""
        for ending in _endings(name):
            if ending in self._whole:
                return self._whole[ending]
            if ending in self._found:
                return self._found[ending]
        return None


def _endings(path: str) -> Iterator[str]:
    """`a/b/c.png`, `b/c.png` and `c.png`."""
    parts = path.lower().replace("\\", "/").split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def read(file: Path) -> LiqeLabels:
    """The labels of one file. DataError, naming file and line, where it is not of LIQE's form or
    says two things of one image."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: LIQE's labels cannot be read: {error}") from None
    labels: dict[str, ImageLabels] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        path, one = _parsed(line, f"{file}, line {number}")
        if labels.setdefault(path, one) != one:
            raise DataError(f"{file}, line {number}: '{path}' has other labels further up")
    if not labels:
        raise DataError(f"{file}: no labels")
    return LiqeLabels(labels)


def _parsed(line: str, where: str) -> tuple[str, ImageLabels]:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != FIELDS:
        raise DataError(
            f"{where}: {len(fields)} fields instead of path, score, distortion and three scenes "
            "(LIQE's files with labels end in _clip.txt)"
        )
    scenes = tuple(name for name in fields[3:] if name and name != ABSENT)
    return fields[0], ImageLabels(fields[2], scenes)
