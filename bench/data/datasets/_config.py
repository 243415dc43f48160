"""The data configuration: a folder per database, and databases of the user's own.

A YAML file of a few lines, named by `IQA_DATA_CONFIG` or lying as `iqa-data.yaml` in a data root:

    folders:
      koniq10k: /disk2/koniq                    # a folder of any name
      spaq: {root: /disk3/spaq, images: small}  # and its images in another than the usual folder
    databases:
      holiday:
        root: photos                            # relative to this file
        table: scores.csv
        image: file
        score: mos
        range: [1, 5]
    splits:
      liqe: /disk2/LIQE                         # published split files, where schemes need them
      qalign: /disk2/Q-Align/playground/data/ft # lists of images, for `split: qalign`
    duplicates:
      agiqa3k: [[one.png, other.png]]           # one picture: never split apart

`iqa-duplicates.yaml` in a data root is read alike: `bench data verify --write-duplicates` writes
it.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from bench.data.datasets._places import RULES
from bench.util.atomic import write_text
from bench.util.errors import UsageError
from bench.util.strict import StrictModel
from bench.util.tables import separator
from bench.util.yaml_files import load_yaml

FILE = "iqa-data.yaml"
DUPLICATES = "iqa-duplicates.yaml"
"""Beside `FILE`, which people write and comment: this one is written by the program."""


def _several(names: tuple[str, ...]) -> tuple[str, ...]:
    # Tables name an image in this form, however a file system or an editor composes its letters.
    composed = tuple(unicodedata.normalize("NFC", name) for name in names)
    if len(set(composed)) < 2:
        raise ValueError("one picture takes the names of two images at least")
    return composed


Duplicates = dict[str, tuple[Annotated[tuple[str, ...], AfterValidator(_several)], ...]]
"""Database -> names of images that are one picture, picture by picture."""


class DatabaseFolder(StrictModel):
    """Where one database lies."""

    root: Path
    images: Path | None = None
    """The folder of its images, relative to `root`, where it is not the usual one."""


class UserDatabase(StrictModel):
    """A database of the user's own: one table, one folder of images."""

    root: Path
    """The folder that `table` and the image paths are relative to."""
    table: str | dict[Literal["train", "val", "test"], str] | None = None
    """CSV, TSV, TXT or XLSX file with a header row, or a list of JSON objects; or one such file for
    each part of a split that `split: official` takes. Without labels it may be left out, and every
    image file in the folder is then a sample."""
    image: str = "image"
    """Column of image paths."""
    score: str = "score"
    """Column of scores."""
    reference: str | None = None
    """Column that names the pristine content; its images are then never split apart."""
    group: str | None = None
    """Column of groups that are never split apart, where that is not the reference."""
    spread: str | None = None
    """Column of standard deviations over raters."""
    raters: str | None = None
    """Column of the number of ratings of each image."""
    scene: str | None = None
    """Column of scene categories."""
    distortion: str | None = None
    """Column of distortion types."""
    split: str | None = None
    """Column that says 'train', 'val' or 'test': the split that `split: official` takes."""
    label: Literal["mos", "dmos", "none"] = "mos"
    """mos: higher is better; dmos: lower is better; none: images to predict, without scores."""
    range: tuple[float, float] | None = None
    """Ends of the scale, (low, high); without labels there is none."""
    separator: str | None = None
    """What separates the columns of a text file: one character, or 'comma', 'semicolon', 'tab',
    'bar' or 'space'; found out where it is not given."""
    title: str = ""
    images: Path = Path()
    """The folder of the images under `root`."""

    @field_validator("separator")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        return value if value is None else separator(value)

    @field_validator("range")
    @classmethod
    def _ascending(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError("the first number must be below the second")
        return value

    @model_validator(mode="after")
    def _described(self) -> Self:
        for key in ("table", "range"):
            if self.label != "none" and not getattr(self, key):
                raise ValueError(f"needs '{key}', or 'label: none' for images without scores")
        return self


class _File(StrictModel):
    folders: dict[str, DatabaseFolder] = Field(default_factory=dict)
    databases: dict[str, UserDatabase] = Field(default_factory=dict)
    splits: dict[str, Path] = Field(default_factory=dict)
    duplicates: Duplicates = Field(default_factory=dict)

    @field_validator("splits")
    @classmethod
    def _not_a_rule(cls, value: dict[str, Path]) -> dict[str, Path]:
        for name in value:
            if name in RULES:
                raise ValueError(f"'{name}' is a rule and has no files; choose another name")
        return value

    @field_validator("folders", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: {"root": v} if isinstance(v, str) else v for k, v in value.items()}


class _Lists(StrictModel):
    """What the file of duplicates holds; a program rewrites it, so nothing else may stand there."""

    duplicates: Duplicates = Field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """All configuration files together; the first to name a database counts, and of duplicates
    all."""

    folders: dict[str, DatabaseFolder] = field(default_factory=dict)
    databases: dict[str, UserDatabase] = field(default_factory=dict)
    splits: dict[str, Path] = field(default_factory=dict)
    duplicates: Duplicates = field(default_factory=dict)
    listed_by_hand: frozenset[str] = frozenset()
    """Databases in `duplicates` whose list somebody wrote: a name that is wrong there is an error.
    """
    files: tuple[Path, ...] = ()


def read_config(roots: tuple[Path, ...]) -> Config:
    """The file that `IQA_DATA_CONFIG` names, then those in the data roots.

    Raises `UsageError`, with the file and the key, for what cannot be understood.
    """
    named = os.environ.get("IQA_DATA_CONFIG")
    named = named and str(Path(named).expanduser())
    beside = (root / name for root in roots for name in (FILE, DUPLICATES))
    files = [file for file in beside if file.is_file()]
    if named:
        if not Path(named).is_file():
            raise UsageError(f"IQA_DATA_CONFIG names '{named}', which is not a file")
        files.insert(0, Path(named))
    places: dict[str, DatabaseFolder] = {}
    databases: dict[str, UserDatabase] = {}
    splits: dict[str, Path] = {}
    duplicates: Duplicates = {}
    by_hand: set[str] = set()
    for file in files:
        part = _read(file)
        places = {**part.folders, **places}
        databases = {**part.databases, **databases}
        splits = {**dict(part.splits.items()), **splits}
        duplicates = _together(duplicates, part.duplicates)
        by_hand.update(part.duplicates if file.name != DUPLICATES else ())
    return Config(places, databases, splits, duplicates, frozenset(by_hand), tuple(files))


def write_duplicates(path: Path, name: str, pictures: tuple[tuple[str, ...], ...]) -> None:
    """Add a database's equal pictures to a data root's file, which need not be there yet.

    Raises `UsageError` for a file there that cannot be understood.
    """
    import yaml

    known = load_yaml(path, _Lists, may_be_empty=True).duplicates if path.is_file() else {}
    lists = {
        key: [list(same) for same in value]
        for key, value in sorted(_together(known, {name: pictures}).items())
    }
    # Flow style for the innermost lists alone: a picture is a line.
    text = yaml.safe_dump(
        {"duplicates": lists}, allow_unicode=True, width=10**6, default_flow_style=None
    )
    write_text(path, f"{_HEAD}{text}")


_HEAD = """\
# Images that are one picture, database by database: random splits keep them on one side.
# Written by `bench data verify NAME --write-duplicates`.
"""


def _together(first: Duplicates, more: Duplicates) -> Duplicates:
    """Both lists, each picture once."""
    return {
        name: tuple(dict.fromkeys((*first.get(name, ()), *more.get(name, ()))))
        for name in (*first, *more)
    }


def _read(file: Path) -> _File:
    part = load_yaml(file, _File, may_be_empty=True)
    base = file.resolve().parent
    return _File(
        folders={
            k: v.model_copy(update={"root": base / v.root.expanduser()})
            for k, v in part.folders.items()
        },
        databases={
            k: v.model_copy(update={"root": base / v.root.expanduser()})
            for k, v in part.databases.items()
        },
        splits={k: base / v.expanduser() for k, v in part.splits.items()},
        duplicates=part.duplicates,
    )
