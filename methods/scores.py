"""Scores computed elsewhere, from a table: a method in any language joins the leaderboard."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator

from bench.api import (
    Context,
    DataError,
    Images,
    Method,
    Scores,
    Settings,
    Table,
    fold,
    listed,
    read_table,
)

FOLDER = "IQA_BENCH_SCORES"
DEFAULT_FOLDER = "scores"
SUFFIXES = (".csv", ".tsv", ".xlsx")
"""What a table of scores in that folder may be; the setting `file` takes JSON as well."""

Parts = dict[str, dict[str, float]]
"""Part (a file, or a value of the column `dataset`) -> folded image name -> score."""


class ScoresSettings(Settings):
    """Whose scores, and where they stand."""

    name: str
    """What the row is called, and where its scores stand: NAME.csv (or .tsv, .xlsx), or every such
    table in the folder NAME, under the folder that IQA_BENCH_SCORES names ('scores' by default)."""
    file: Path | None = None
    """One table that stands somewhere else: CSV, TSV, XLSX or JSON."""
    image_column: str = "image"
    """The column that names the images."""
    score_column: str = "score"
    """The column of the scores, for tables that hold several methods'."""
    lower_better: bool = False
    """Turn the scores round."""
    trained_on: tuple[str, ...] = ()
    """Databases whose labels the method has seen; their cells get a dagger."""
    content: str = ""
    """Digest of the files; filled in, so that new scores are a new run."""

    @model_validator(mode="after")
    def _find(self) -> Self:
        found = _content(self.files())
        if self.content and self.content != found:
            raise ValueError(f"the scores '{self.name}' changed since the run was planned")
        object.__setattr__(self, "content", found)
        return self

    def files(self) -> list[Path]:
        """The CSV files. Raises ValueError where there are none."""
        if self.file is not None:
            candidates = [self.file]
        else:
            place = Path(os.environ.get(FOLDER) or DEFAULT_FOLDER) / self.name
            inside = [path for path in listed(place, "*") if path.suffix.lower() in SUFFIXES]
            alone = [place.with_name(f"{place.name}{suffix}") for suffix in SUFFIXES]
            candidates = inside or [path for path in alone if path.is_file()] or alone
        if not candidates[0].is_file():
            raise ValueError(
                f"no scores '{self.name}': neither {candidates[0]} nor a folder of that name; "
                f"put a CSV with columns image,score there, name its folder in {FOLDER}, or give "
                "the setting 'file'"
            )
        return candidates


class PrecomputedScores(Method):
    """Scores from a CSV with columns image and score (`scores:NAME`), computed by anything.

    Names are those of the database's own table (`bench data`), as `images.names` gives them. Where
    several databases share names, one file a database or a column `dataset` tells them apart: the
    part that has all the images asked for is taken.
    """

    name = "scores"
    judges_images = False
    reads_images = False
    argument = "name"
    real_names = True
    Settings: ClassVar[type[ScoresSettings]] = ScoresSettings
    settings: ScoresSettings

    def __init__(self, settings: ScoresSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._parts: Parts | None = None

    def trained_on(self) -> tuple[str, ...]:
        """What the user says."""
        return self.settings.trained_on

    def predict(self, images: Images) -> Scores:
        """The scores of the images by name, upwards, (n,)."""
        if self._parts is None:
            own = self.settings
            self._parts = read(own.files(), own.image_column, own.score_column)
        part = _covering(self._parts, images.names, self.settings.name)
        scores = np.array([part[fold(name)] for name in images.names], dtype=np.float64)
        return -scores if self.settings.lower_better else scores


def read(files: Sequence[Path], image: str = "image", score: str = "score") -> Parts:
    """All scores of the files, in the columns of these names.

    Raises `DataError` that names the file and the line.
    """
    parts: Parts = defaultdict(dict)
    for file in files:
        _read_one(read_table(file), image, score, parts)
    return dict(parts)


def _read_one(table: Table, image_column: str, score_column: str, parts: Parts) -> None:
    images = table.paths(image_column)
    scores = table.numbers(score_column, finite=True).tolist()
    named = table.texts("dataset") if "dataset" in table else [""] * len(table)
    for row, (image, score) in enumerate(zip(images, scores, strict=True)):
        part = parts[named[row] or str(table.file)]
        if part.setdefault(fold(image), score) != score:
            raise DataError(f"{table.where(row)}: a second score for '{image}'")


def _covering(parts: Parts, names: Sequence[str], title: str) -> dict[str, float]:
    """The part that has all names. Raises `DataError` where none has, or where two disagree."""
    wanted = [fold(name) for name in names]
    whole = [part for part in parts.values() if all(name in part for name in wanted)]
    if not whole:
        best: dict[str, float] = max(
            parts.values(), key=lambda part: sum(name in part for name in wanted), default={}
        )
        lost = [name for name in names if fold(name) not in best]
        some = ", ".join(lost[:3]) + (", …" if len(lost) > 3 else "")
        raise DataError(
            f"scores:{title} has no score for {len(lost)} of {len(names)} images ({some})"
        )
    if any(part[name] != whole[0][name] for part in whole[1:] for name in wanted):
        raise DataError(
            f"scores:{title}: several files or datasets have these images, with other scores; "
            "give one database a row of its own (setting 'file')"
        )
    return whole[0]


def _content(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]
