"""Scores from a table: for methods in any language, computed elsewhere."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from bench.api import (
    Context,
    DataError,
    DatasetName,
    Images,
    Method,
    Resources,
    Scores,
    Settings,
    Table,
    fold,
    listed,
    read_table,
)

FOLDER = "IQA_BENCH_SCORES"
DEFAULT_FOLDER = "scores"
SUFFIXES = (".csv", ".tsv", ".xlsx", ".json", ".jsonl")
"""Kinds of tables of scores in that folder."""
IMAGE_COLUMNS = ("image", "img_path", "image_path", "filename")
SCORE_COLUMNS = ("score", "pred_score", "prediction", "logits")
"""Common names of the two columns; the first one found counts."""
LEVELS = {"excellent": 5.0, "good": 4.0, "fair": 3.0, "poor": 2.0, "bad": 1.0}
PAIR = {"good": 1.0, "poor": 0.0}

Answers = tuple[float, ...]
"""One number a column of scores, NaN where a cell is empty."""
Parts = dict[str, dict[str, Answers]]
"""Part (a file, or a value of the column `dataset`) -> folded image name -> answers."""


class ScoresSettings(Settings):
    """The method of the scores, and their files."""

    name: str
    """Name of the row and of its scores: NAME.csv (or .tsv, .xlsx), or every such
    table in the folder NAME, under the folder that IQA_BENCH_SCORES names ('scores' by default)."""
    file: Path | None = None
    """One table in another place: CSV, TSV, XLSX, or JSON in Q-Bench's form."""
    image_column: str = ""
    """The column that names the images; by default image, img_path, image_path or filename."""
    score_column: str = ""
    """The column of the scores, or several joined by '+', whose mean counts (answers of a model
    that draws them); by default score, pred_score, prediction or logits. Cells of `logits` give
    words their logits: of excellent to bad the mean of 5 to 1 under a softmax counts (Q-Align),
    else the probability of good against poor (Q-Bench, arXiv 2309.14181)."""
    max_unparsed: float = Field(default=0.0, ge=0, lt=1)
    """Largest share of empty cells. Images whose cells are all empty have no score, and
    tables say so."""
    lower_better: bool = False
    """Reverse the scores."""
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
        """The CSV files. Raises ValueError if there are none."""
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

    Names are those of the database's own table (`bench data`), as `images.names` gives them. If
    several databases share names, a file for each database or a column `dataset` distinguishes
    them: the part with all requested images is used.
    """

    name = "scores"
    resources = Resources(device="cpu")
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
        """The databases that the user declares."""
        return self.settings.trained_on

    @property
    def may_miss(self) -> float:
        """As the settings say."""
        return self.settings.max_unparsed

    def predict(self, images: Images) -> Scores:
        """The scores of the images by name, upwards, (n,); NaN if all answers are missing."""
        answers = self._answers(images)
        self._note(answers)
        scores = _mean(answers)
        return -scores if self.settings.lower_better else scores

    def per_image(self, images: Images) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """Spread between an image's answers, and how many are missing, if there are several."""
        answers = self._answers(images)
        if answers.shape[1] == 1:
            return {}
        return {
            "answer_spread": _spread(answers),
            "unparsed": np.isnan(answers).sum(axis=1).astype(float),
        }

    def _answers(self, images: Images) -> npt.NDArray[np.float64]:
        """(n, answers)"""
        if self._parts is None:
            own = self.settings
            self._parts = read(own.files(), own.image_column, own.score_column)
        part = _covering(self._parts, images.names, self.settings.name)
        return np.array([part[fold(name)] for name in images.names], dtype=np.float64)

    def _note(self, answers: npt.NDArray[np.float64]) -> None:
        empty = int(np.isnan(answers).sum())
        if empty > self.settings.max_unparsed * answers.size:
            raise DataError(
                f"scores:{self.settings.name}: {empty} of {answers.size} answers are empty, more "
                f"than max_unparsed ({self.settings.max_unparsed:g}) allows"
            )
        if empty:
            missed = int(np.isnan(answers).all(axis=1).sum())
            self.note_at_table(
                f"{empty} of {answers.size} answers are empty; {missed} images have no score"
            )
        if answers.shape[1] > 1:
            spread = float(np.median(_spread(answers)))
            text = f"{answers.shape[1]} answers an image; their standard deviation is {spread:.4g}"
            self.notes.append(f"{text} (median over images)")


def read(files: Sequence[Path], image: str = "", score: str = "") -> Parts:
    """All answers of the files, in the columns of these names (`ScoresSettings`).

    Raises `DataError` that names the file and the line.
    """
    parts: Parts = defaultdict(dict)
    for file in files:
        _read_one(read_table(file), image, score, parts)
    return dict(parts)


def _read_one(table: Table, image_column: str, score_column: str, parts: Parts) -> None:
    images = table.paths(image_column or _first(table, IMAGE_COLUMNS))
    names = (score_column or _first(table, SCORE_COLUMNS)).split("+")
    columns = [_numbers(table, name) for name in names]
    named = table.texts("dataset") if "dataset" in table else [""] * len(table)
    for row, (image, *values) in enumerate(zip(images, *columns, strict=True)):
        part, found = parts[named[row] or str(table.file)], tuple(values)
        if not _equal(part.setdefault(fold(image), found), found):
            raise DataError(f"{table.where(row)}: a second score for '{image}'")


def _first(table: Table, names: Sequence[str]) -> str:
    """The first name that is a column; if none is, the first name, for the error message."""
    return next((name for name in names if name in table), names[0])


def _numbers(table: Table, name: str) -> list[float]:
    """A column as numbers, NaN for empty cells. Raises `DataError` that names the line."""
    cells = table.cells(name)
    if not any(isinstance(cell, Mapping) for cell in cells):
        found = table.numbers(name)
        if np.isinf(found).any():
            row = int(np.flatnonzero(np.isinf(found))[0])
            raise DataError(f"{table.where(row)}: {name} is not finite")
        return found.tolist()
    return [_expectation(cell, table.where(row)) for row, cell in enumerate(cells)]


def _expectation(cell: Any, where: str) -> float:
    """The score that words' logits give. Raises `DataError` for words that are not known."""
    found = {str(word).strip().lower(): value for word, value in cell.items()} if cell else {}
    words = next((words for words in (LEVELS, PAIR) if set(words) <= set(found)), None)
    if not found:
        return float("nan")
    try:
        logits = np.array([float(found[word]) for word in words or ()])
    except (TypeError, ValueError):
        words = None
    if words is None or not np.isfinite(logits).all():
        raise DataError(
            f"{where}: logits need numbers for {', '.join(LEVELS)}, or for {' and '.join(PAIR)}"
        )
    # The largest logit is subtracted so that no exponential overflows.
    chances = np.exp(logits - logits.max())
    return float(chances @ np.array(list(words.values())) / chances.sum())


def _equal(first: Answers, second: Answers) -> bool:
    return bool(np.array_equal(first, second, equal_nan=True))


def _mean(answers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of each row's answers, NaN if there is none."""
    counts = (~np.isnan(answers)).sum(axis=1)
    return np.where(counts > 0, np.nansum(answers, axis=1) / np.maximum(counts, 1), np.nan)


def _spread(answers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard deviation of each row's answers, 0 for fewer than two."""
    counts = (~np.isnan(answers)).sum(axis=1)
    squares = np.nansum((answers - _mean(answers)[:, None]) ** 2, axis=1)
    return np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1, 1)), 0.0)


def _by_last_name(parts: Parts) -> Parts:
    """The parts whose names are paths, by file name, if file names are unique."""
    found: Parts = {}
    for title, part in parts.items():
        short = {name.rpartition("/")[2]: answers for name, answers in part.items()}
        if len(short) == len(part) and short.keys() != part.keys():
            found[f"{title} by file name"] = short
    return found


def _covering(parts: Parts, names: Sequence[str], title: str) -> dict[str, Answers]:
    """The part that has all names. Raises `DataError` if none has, or if two disagree."""
    wanted = [fold(name) for name in names]
    parts = {**parts, **_by_last_name(parts)}
    whole = [part for part in parts.values() if all(name in part for name in wanted)]
    if not whole:
        best: dict[str, Answers] = max(
            parts.values(), key=lambda part: sum(name in part for name in wanted), default={}
        )
        lost = [name for name in names if fold(name) not in best]
        some = ", ".join(lost[:3]) + (", …" if len(lost) > 3 else "")
        raise DataError(
            f"scores:{title} has no score for {len(lost)} of {len(names)} images ({some})"
        )
    if any(not _equal(part[name], whole[0][name]) for part in whole[1:] for name in wanted):
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
