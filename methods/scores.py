"""Scores computed elsewhere, from a CSV: a method in any language joins the leaderboard."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import model_validator

from bench.api import Context, DataError, DatasetName, Images, Method, Scores, Settings

FOLDER = "IQA_BENCH_SCORES"
DEFAULT_FOLDER = "scores"

Table = dict[str, dict[str, float]]
"""Part (a file, or a value of the column `dataset`) -> image name -> score."""


class ScoresSettings(Settings):
    """Whose scores, and where they stand."""

    name: str
    """What the row is called, and where its scores stand: NAME.csv, or every CSV in the folder
    NAME, under the folder that IQA_BENCH_SCORES names ('scores' by default)."""
    file: Path | None = None
    """One CSV that stands somewhere else."""
    lower_better: bool = False
    """Turn the scores round."""
    trained_on: tuple[DatasetName, ...] = ()
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
            folder = sorted(place.glob("*.csv")) if place.is_dir() else []
            candidates = folder or [place.with_name(f"{place.name}.csv")]
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
    argument = "name"
    real_names = True
    Settings: ClassVar[type[ScoresSettings]] = ScoresSettings
    settings: ScoresSettings

    def __init__(self, settings: ScoresSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._table: Table | None = None

    def trained_on(self) -> tuple[str, ...]:
        """What the user says."""
        return self.settings.trained_on

    def predict(self, images: Images) -> Scores:
        """The scores of the images by name, upwards, (n,)."""
        if self._table is None:
            self._table = read(self.settings.files())
        part = _covering(self._table, images.names, self.settings.name)
        scores = np.array([part[name] for name in images.names], dtype=np.float64)
        return -scores if self.settings.lower_better else scores


def read(files: Sequence[Path]) -> Table:
    """All scores of the files. Raises `DataError` that names the file and the line."""
    table: Table = defaultdict(dict)
    for file in files:
        try:
            with file.open(encoding="utf-8-sig", newline="") as stream:
                _read_one(file, csv.DictReader(stream), table)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"'{file}' cannot be read: {error}") from None
    return dict(table)


def _read_one(file: Path, reader: csv.DictReader[str], table: Table) -> None:
    missing = {"image", "score"} - set(reader.fieldnames or ())
    if missing:
        raise DataError(f"{file}: no column '{sorted(missing)[0]}'; expected image,score")
    for row in reader:
        part = table[row.get("dataset") or str(file)]
        image = (row["image"] or "").strip().replace("\\", "/")
        try:
            score = float(row["score"])
        except (TypeError, ValueError):
            score = float("nan")
        if not np.isfinite(score):
            raise DataError(f"{file}:{reader.line_num}: score '{row['score']}' is not a number")
        if part.setdefault(image, score) != score:
            raise DataError(f"{file}:{reader.line_num}: a second score for '{image}'")


def _covering(table: Table, names: Sequence[str], title: str) -> dict[str, float]:
    """The part that has all names. Raises `DataError` where none has, or where two disagree."""
    parts = [part for part in table.values() if all(name in part for name in names)]
    if not parts:
        best: dict[str, Any] = max(
            table.values(), key=lambda part: sum(name in part for name in names), default={}
        )
        lost = [name for name in names if name not in best]
        some = ", ".join(lost[:3]) + (", …" if len(lost) > 3 else "")
        raise DataError(
            f"scores:{title} has no score for {len(lost)} of {len(names)} images ({some})"
        )
    if any(part[name] != parts[0][name] for part in parts[1:] for name in names):
        raise DataError(
            f"scores:{title}: several files or datasets have these images, with other scores; "
            "give one database a row of its own (setting 'file')"
        )
    return parts[0]


def _content(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]
