"""What every database module gives: a description, a way to find it, and one table of samples."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bench.data.datasets._places import folders, plain, within
from bench.data.datasets.ratings import Ratings, rating_std
from bench.metrics import GROUPS, Known
from bench.util.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Label = Literal["mos", "dmos", "none"]
Kind = Literal[
    "authentic",
    "synthetic",
    "ai-generated",
    "graphics",
    "face",
    "underwater",
    "unlabelled",
    "user",
]

_ALL = slice(None)
COLUMNS = (
    "image",  # path under the root with forward slashes; names the sample, unique
    "score",  # raw score as the authors ship it; NaN only for unlabelled sets
    "spread",  # its spread over raters, NaN where unknown; see DatasetInfo.spread_kind
    "raters",  # number of raters, NaN where unknown
    "reference",  # pristine content, "" where there is none
    "group",  # images of one group never stand on both sides of a split
    "distortion",  # type, "" where unknown
    "level",  # 1 = weakest, NaN where unknown
    "scene",  # category, several joined by "|", "" where unknown
    "official",  # train, val or test in the authors' split, "" where there is none
)


PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""What the parts of a split are called -> train, val or test."""


def split_part(text: str, where: str) -> str:
    """train, val or test, "" for none. Raises `DataError`, beginning with `where`, for the rest."""
    if not text:
        return ""
    if (name := text.strip().lower()) not in PARTS:
        raise DataError(f"{where}: '{text}' is not a part of a split; expected train, val or test")
    return PARTS[name]


@dataclass(frozen=True)
class Version:
    """One of several label sets of a database (`NAME@VERSION`)."""

    description: str
    label: Label
    low: float
    """Lower end of the score's scale."""
    high: float
    """Upper end of the score's scale."""
    size: int
    """Number of samples."""
    published: tuple[float, float] | None = None
    """Lowest and highest score in the release, where known."""
    attributes: tuple[str, ...] = ()
    """As in `DatasetInfo`, of these labels."""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a database without having it."""

    name: str
    title: str
    kind: Kind
    label: Label
    low: float
    """Lower end of the score's scale (published range, not the observed one)."""
    high: float
    """Upper end of the score's scale."""
    size: int
    """Number of scored images."""
    homepage: str
    licence: str
    citation: str
    folders: tuple[str, ...]
    """Names that its folder goes by under the data root; matched without regard to case."""
    spread_kind: Literal["std", "variance", "error", ""] = ""
    """What `spread` is: deviation or variance over raters, error of the mean, or not evidenced."""
    published: tuple[float, float] | None = None
    """Lowest and highest score in the release, where known; `bench data verify` compares."""
    references: bool = False
    """Whether images come from pristine references (splits then keep content apart)."""
    demo: bool = False
    """Rendered by the project itself; never mixed with real databases in a table."""
    version: str = ""
    """The label version in use, "" for the default."""
    versions: dict[str, Version] = field(default_factory=dict)
    """Other label versions that `NAME@VERSION` selects."""
    attributes: tuple[str, ...] = ()
    """Columns of numbers that the authors give besides (blur, brightness); after `COLUMNS`."""
    standard: str = ""
    """What the default label version is called, where it has a name: `NAME@STANDARD` is `NAME`."""

    def at(self, version: str) -> DatasetInfo:
        """This description with another label version in force."""
        if not version:
            return self
        other = self.versions[version]
        return replace(
            self,
            version=version,
            label=other.label,
            low=other.low,
            high=other.high,
            size=other.size,
            published=other.published,
            attributes=other.attributes,
        )

    @property
    def clustered(self) -> bool:
        """Whether several images may show one content (a reference, a prompt), which its table's
        `group` then tells; otherwise every image is a group of its own."""
        return self.references or self.kind in ("ai-generated", "user")

    @property
    def labelled(self) -> bool:
        """Whether images have scores; without, a dataset can be predicted and not learnt from."""
        return self.label != "none"

    @property
    def spec(self) -> str:
        """`NAME` or `NAME@VERSION`: what protocols and records call it."""
        return f"{self.name}@{self.version}" if self.version else self.name


class DatasetReader(ABC):
    """Reads one database in its authors' own layout. One small module each."""

    info: ClassVar[DatasetInfo]
    marks: ClassVar[tuple[str, ...]] = ()
    """Paths under the database's folder; any of them shows that the folder is this database."""
    image_folders: ClassVar[tuple[str, ...]] = ()
    """Folders under it, of which the first that exists holds the images ('.' is the database's
    own); () where their names begin at the database's folder."""
    pristine: tuple[str, ...] = ()
    """Where under that folder the pristine image called {} in `reference` may lie."""
    duplicates: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Names of images that are one picture, as the authors released them. Splits keep them on one
    side; they never open images, and so the reader has to know."""

    @abstractmethod
    def read(self, root: Path, version: str = "") -> pd.DataFrame:
        """The table of samples (`COLUMNS`; missing ones are filled in) of the database at `root`.

        Raises `DataError`, naming what was looked for, when files are missing or malformed.
        """

    def ratings(self, root: Path) -> Ratings | None:
        """The single ratings of the default label version; None where none are published.

        Raises as `read`.
        """
        return None

    def images(self, root: Path) -> Path:
        """The folder under which the names of the table's `image` column are files."""
        if not self.image_folders:
            return root
        there = (found for name in self.image_folders if (found := within(root, name)))
        return next(there, root / self.image_folders[0])

    def find(self, data_root: Path) -> Path | None:
        """The database's folder: `data_root` itself or up to two levels below; None if not there.

        Names count without case and punctuation. Of several folders the one with the expected
        annotation files wins; an archive that unpacks into a folder of its own is looked into.
        """
        wanted = {plain(name) for name in (self.info.name, *self.info.folders)}
        named = [path for path in folders(data_root, depth=2) if plain(path.name) in wanted]
        for path in named:
            for place in folders(path, depth=1):
                if self.recognises(place):
                    return place
        return named[0] if named else None

    def recognises(self, root: Path) -> bool:
        """Whether a folder holds one of the database's marks."""
        return any(within(root, mark) is not None for mark in self.marks)

    def obtain(self) -> Path | None:
        """Make the database, where it can be made rather than downloaded; returns its folder."""
        return None


@dataclass(frozen=True)
class Dataset:
    """A database that has been found and read."""

    info: DatasetInfo
    root: Path
    """The folder under which the table's images are found (`DatasetReader.images`)."""
    table: pd.DataFrame
    """One row a sample: `COLUMNS`, then the attributes that the description names."""
    duplicates: tuple[tuple[str, ...], ...] = ()
    """Names of images that are one picture."""
    orders: dict[Any, list[str]] = field(default_factory=dict, repr=False, compare=False)
    """Orders of names that splits have worked out (`bench.data.splits`)."""

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def names(self) -> npt.NDArray[np.str_]:
        """(n,) names of the images."""
        return self.table["image"].to_numpy(dtype=str)

    @cached_property
    def units(self) -> npt.NDArray[np.str_]:
        """(n,) what random splits keep whole: an image's group, which equal pictures share.

        Groups that hold the same picture are one unit, called as the first of them by name.
        """
        groups = self.table["group"].to_numpy(dtype=str)
        if not self.duplicates:
            return groups
        group_of = dict(zip(self.names.tolist(), groups.tolist(), strict=True))
        units = groups.astype(object)
        for same in self.duplicates:
            joined = {units[self.names == name][0] for name in same if name in group_of}
            if len(joined) > 1:
                units[np.isin(units, list(joined))] = min(joined)
        return units.astype(str)

    @cached_property
    def groupings(self) -> dict[str, npt.NDArray[np.str_]]:
        """Column of `bench.metrics.GROUPS` -> (n,) texts, of those that put images together."""
        columns = {name: self.table[name].to_numpy(dtype=str) for name in GROUPS}
        named = {name: texts[texts != ""] for name, texts in columns.items()}
        return {
            name: texts
            for name, texts in columns.items()
            if len(set(named[name])) < len(named[name])
        }

    @cached_property
    def quality(self) -> npt.NDArray[np.float64]:
        """(n,) labels that run upwards: MOS as it is, DMOS negated. The only place that does so."""
        score = self.table["score"].to_numpy(dtype=np.float64)
        return -score if self.info.label == "dmos" else score

    @cached_property
    def rating_std(self) -> npt.NDArray[np.float64]:
        """(n,) standard deviations of the single ratings of each image; NaN where unknown."""
        spread = self.table["spread"].to_numpy(dtype=np.float64)
        return rating_std(spread, self.raters, self.info.spread_kind)

    @property
    def raters(self) -> npt.NDArray[np.float64]:
        """(n,) numbers of ratings; NaN where unknown."""
        return self.table["raters"].to_numpy(dtype=np.float64)

    def known(self, rows: npt.NDArray[np.integer[Any]] | slice = _ALL) -> Known:
        """What metrics may ask of some images besides their quality."""
        info = self.info
        five = info.label == "mos" and (info.low, info.high) == (1.0, 5.0)
        return Known(self.rating_std[rows], self.raters[rows], five_levels=five)

    @cached_property
    def quality_range(self) -> tuple[float, float]:
        """The scale's ends after orientation, (worst, best)."""
        low, high = self.info.low, self.info.high
        return (-high, -low) if self.info.label == "dmos" else (low, high)

    @cached_property
    def named_labels(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.object_]]:
        """Each row's place in the order of names, (n,), and in that order '["image","score"]'.

        Every split hashes these texts (`bench.data.selection.rows_digest`), so they are made once.
        """
        names, scores = self.table["image"].to_numpy(dtype=object), self.table["score"]
        order = np.argsort(names, kind="stable")
        place = np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        texts = [named_label(name, score) for name, score in zip(names, scores, strict=True)]
        return place, np.array(texts, dtype=object)[order]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, labels and groups: the same data gives the same digest anywhere."""
        rows = [
            [str(row.image), format(row.score, ".10g"), str(row.group)]
            for row in self.table[["image", "score", "group"]].itertuples(index=False)
        ]
        payload = json.dumps([self.info.spec, sorted(rows)], separators=(",", ":"))
        return hashlib.sha256(payload.encode()).hexdigest()


def named_label(name: str, score: float) -> str:
    """A row as digests of splits hash it.

    >>> named_label("a.png", 3.25)
    '["a.png","3.25"]'
    """
    return f'[{json.dumps(name)},"{score:.10g}"]'


def complete(table: pd.DataFrame, info: DatasetInfo) -> pd.DataFrame:
    """Fill in missing columns, fix types and refuse what cannot be right.

    Raises `DataError` for duplicate names, NaN or out-of-range scores, paths that climb out of
    the root, and empty tables.
    """
    table = table.copy()
    numbers = ("score", "spread", "raters", "level", *info.attributes)
    for column in (*COLUMNS, *info.attributes):
        if column not in table:
            numeric = column in numbers
            table[column] = np.nan if numeric else ""
    for column in numbers:
        table[column] = table[column].astype(float)
    for column in ("image", "reference", "group", "distortion", "scene", "official"):
        table[column] = table[column].fillna("").astype(str)
    # A name is the same however its letters are composed, and so are digests and splits.
    table["image"] = table["image"].map(lambda name: unicodedata.normalize("NFC", name))
    table["official"] = [
        split_part(text, f"{info.spec}: {name}")
        for text, name in zip(table["official"], table["image"], strict=True)
    ]
    missing_group = table["group"] == ""
    fallback = table["reference"].where(table["reference"] != "", table["image"])
    table.loc[missing_group, "group"] = fallback[missing_group]
    _refuse(table, info)
    return table[[*COLUMNS, *info.attributes]].reset_index(drop=True)


def _refuse(table: pd.DataFrame, info: DatasetInfo) -> None:
    if table.empty:
        raise DataError(f"{info.spec}: no samples in its annotation files")
    folded = table["image"].str.lower()
    if folded.duplicated().any():
        twice = sorted(table["image"][folded.duplicated(keep=False)])[:4]
        raise DataError(f"{info.spec}: the same image is listed twice: {', '.join(twice)}")
    for name in table["image"]:
        drive = name[1:2] == ":" and name[:1].isalpha()
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or drive:
            raise DataError(f"{info.spec}: image path '{name}' leaves the database's folder")
    if not info.labelled:
        return
    score = table["score"].to_numpy()
    broken = ~np.isfinite(score)
    if broken.any():
        raise DataError(
            f"{info.spec}: {int(broken.sum())} scores are not numbers, first for "
            f"'{table['image'][int(np.argmax(broken))]}'"
        )
    slack = 0.1 * (info.high - info.low)
    outside = (score < info.low - slack) | (score > info.high + slack)
    if outside.any():
        first = int(np.argmax(outside))
        raise DataError(
            f"{info.spec}: {int(outside.sum())} scores outside {info.low:g} to {info.high:g}, "
            f"first {score[first]:g} for '{table['image'][first]}'"
        )
