"""Scenes and distortions that a database does not name itself, from LIQE's published label files.

LIQE (Zhang et al., CVPR 2023) labels every image of LIVE, CSIQ, BID, LIVEC, KonIQ-10k and KADID-10k
with one of 33 distortions and one to three of nine scenes. Its files hold the scores of test images
too, so they are read here and no method opens them: a method gets the two columns of its training
images (`LabelledSet.scenes`, `LabelledSet.distortions`).

A line is `path TAB score TAB distortion TAB scene TAB scene TAB scene`, with `invalid` for a scene
that an image does not have. Names of the database itself take precedence: LIQE's file for LIVE, for
instance, calls fast fading white noise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.data.published_folders import published_folder
from bench.util.errors import DataError
from bench.util.listing import listed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from bench.data.datasets.base import Dataset

DATABASES = ("live", "csiq", "bid", "livec", "koniq10k", "kadid10k")
"""The databases that LIQE labels."""
FIELDS = 6
ABSENT = "invalid"


class Annotation(NamedTuple):
    """One image's entry in a file."""

    distortion: str
    """One of LIQE's 33 kinds."""
    scene: str
    """One to three of the nine categories in the file's order, joined by '|'."""


def completed(table: pd.DataFrame, database: str, folder: Path) -> pd.DataFrame:
    """A table of samples with its empty scenes and distortions filled from LIQE's files.

    `folder` is LIQE's (`IQA_Database/*/splits2` below it); a database that it lacks stays as it is.
    Raises `DataError`, naming file and line, for a file that is not of LIQE's form or that
    contradicts itself on one image.
    """
    place = published_folder(database, folder, "splits2")
    files = _files(place) if place else []
    if not files:
        return table
    known = read(files)
    found = [_of(str(name), known) for name in table["image"]]
    filled = table.copy()
    for column in ("distortion", "scene"):
        filled[column] = [
            own or (getattr(other, column) if other else "")
            for own, other in zip(table[column], found, strict=True)
        ]
    return filled


def digest(dataset: Dataset, rows: npt.NDArray[np.integer[Any]]) -> str:
    """SHA-256 over names, scenes and distortions of some rows, in the order of their names."""
    part = dataset.table.iloc[rows][["image", "scene", "distortion"]].sort_values("image")
    payload = json.dumps(part.to_numpy(dtype=str).tolist(), separators=(",", ":"))
    return hashlib.sha256(payload.encode()).hexdigest()


def read(files: Sequence[Path]) -> dict[str, Annotation]:
    """Annotations by every ending of an image's path, in lower case.

    An ending that means different things in different folders (`img1.bmp`) is left out.
    """
    whole: dict[str, Annotation] = {}
    for file in files:
        for where, path, one in _lines(file):
            if whole.setdefault(path, one) != one:
                raise DataError(f"{where}: '{path}' has other labels elsewhere")
    found: dict[str, Annotation] = {}
    ambiguous: set[str] = set()
    for path, one in whole.items():
        for ending in _endings(path):
            if found.setdefault(ending, one) != one and ending not in whole:
                ambiguous.add(ending)
    return {name: one for name, one in found.items() if name not in ambiguous}


def _files(place: Path) -> list[Path]:
    """The file of the whole database, or the three sides of its first split."""
    return listed(place, "*_all_clip.txt") or listed(place, "1/*_clip.txt")


def _lines(file: Path) -> Iterator[tuple[str, str, Annotation]]:
    """Place in the file, image path and annotation of each line."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: LIQE's labels cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != FIELDS:
            raise DataError(
                f"{file}, line {number}: {len(fields)} fields instead of path, score, distortion "
                "and three scenes"
            )
        scenes = [name for name in fields[3:] if name and name != ABSENT]
        path = fields[0].lower().replace("\\", "/")
        yield f"{file}, line {number}", path, Annotation(fields[2], "|".join(scenes))


def _of(name: str, known: dict[str, Annotation]) -> Annotation | None:
    """The annotation of an image, however many folders its name begins with."""
    return next((known[ending] for ending in _endings(name.lower()) if ending in known), None)


def _endings(path: str) -> Iterator[str]:
    """`a/b/c.png`, `b/c.png` and `c.png`."""
    parts = path.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))
