"""Splits from other people's lists of images for training, validation and test.

DeQA-Score     `KONIQ/metas/train_koniq_7k.json`, `test_koniq_2k.json`: image, gt_score, std
Q-Align        `ft/livec/train_split_1.json` ... `test_split_5.json`: image, gt_score
Compare2Score  `test_jsons/1/clive_test.json` ... `10/`: image, gt_score, std; test sides alone
ours           what `bench splits export` and `bench export --format manifest` write
any other      a table (CSV, XLSX, JSON, JSON lines) with a column of images and one of parts

A list's name says what it holds: its part (train, val or test), its number where there are several
splits, and its database, unless a folder around it does. A list without a part in its name has a
column of them. If only one side is listed, all other images are on the other side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.data.datasets._places import plain
from bench.data.datasets.base import PARTS, split_part
from bench.util.errors import DataError, UsageError
from bench.util.listing import fold, walk
from bench.util.tables import JSON_SUFFIXES, Table, read_table

if TYPE_CHECKING:
    from bench.data.datasets.base import Dataset, DatasetInfo

Rows = npt.NDArray[np.int64]
SIDES = ("train", "val", "test")
SUFFIXES = (*JSON_SUFFIXES, ".csv", ".tsv", ".xlsx")
IMAGE = ("image", "image_name", "img_name", "img_path", "image_path", "image path", "filename")
"""Names of the column of images in common lists."""
PART = ("part", "split", "set")
_ALIASES = {
    "livec": ("clive", "livew", "livewild", "livechallenge"),
    "koniq10k": ("koniq",),
    "kadid10k": ("kadid",),
    "tid2013": ("tid",),
    "agiqa3k": ("agi", "agiqa"),
    "cgiqa6k": ("cgi", "cgiqa"),
    "livefb": ("flive",),
}
"""Names of databases in lists, besides their names and those of their folders."""
_NO_NAME = re.compile(r"split|splits|set|list|new|images?|scores?|\d+k?")
"""Words in a list's name that do not name the database."""


@dataclass(frozen=True)
class _List:
    """One file, as its path describes it."""

    path: Path
    part: str
    """train, val or test; "" where a column says it."""
    number: int | None
    """Which of several splits; None where there is but one."""


def read(dataset: Dataset, repeat: int, place: Path) -> tuple[Rows, Rows, Rows]:
    """(train, val, test) row indices of split `repeat` (from 0) of a list, or a folder of lists.

    Where the lists are not numbered there is one split, whatever the repeat. Raises `UsageError`
    for a repeat that is not there and `DataError` where no list, or more than one, could be meant,
    and for images that the dataset does not have.
    """
    if not place.exists():
        raise DataError(f"{place}: no such file or folder")
    lists = [_List(place, "", None)] if place.is_file() else _of(dataset, place)
    numbers = sorted({item.number for item in lists if item.number is not None})
    if numbers and repeat >= len(numbers):
        raise UsageError(
            f"{place} has {len(numbers)} splits of {dataset.info.spec}; "
            f"repeat {repeat} is not there"
        )
    wanted = numbers[repeat] if numbers else None
    chosen = [item for item in lists if item.number == wanted]
    _refuse_two(dataset, chosen)
    sides: dict[str, Rows] = {}
    for item in chosen:
        sides |= _sides(dataset, item)
    return _completed(dataset, sides, place)


def _of(dataset: Dataset, folder: Path) -> list[_List]:
    found = (_described(dataset, folder, item.path) for item in walk(folder) if not item.hidden)
    lists = [item for item in found if item is not None]
    if not lists:
        raise DataError(
            f"{folder}: no list of {dataset.info.spec} below it; a list is called like "
            f"'{dataset.info.name}_train_1.json', or lies in a folder '{dataset.info.name}'"
        )
    return lists


def _described(dataset: Dataset, folder: Path, path: str) -> _List | None:
    """A file below `folder` as a list of the dataset; None if it is not such a list."""
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        return None
    own = _own_name(dataset, file.stem)
    words = _words(file.stem[len(own) :])
    label = dataset.info.version or dataset.info.standard
    # A short number is that of a split: koniq10k@5 and koniq_train_5.json.
    labels = {name for name in _labels(dataset) if not (name.isdigit() and len(name) < 4)}
    if (labels & set(words)) - {label}:
        return None  # a list of another label version
    parts = [word for word in words if word in PARTS]
    named = "".join(w for w in words if w not in PARTS and not _NO_NAME.fullmatch(w))
    named = named or plain(own)
    known = _names(dataset.info)
    everybodys = known.union(*(_names(info) for info in _infos()))
    around = [plain(name) for name in (*folder.absolute().parts, *file.parts[:-1])]
    nearest = next((name for name in reversed(around) if name in everybodys), "")
    if named not in known and not (parts and named not in everybodys and nearest in known):
        return None
    digits = [word for word in (*_words("/".join(file.parts[:-1])), *words) if word.isdigit()]
    number = int(digits[-1]) if digits else None
    return _List(folder / file, PARTS[parts[-1]] if parts else "", number)


def _own_name(dataset: Dataset, stem: str) -> str:
    """The database's own name at the head of a list's, which may hold words such as 'test'."""
    names = (dataset.info.spec.replace("@", "-"), dataset.info.name)
    found = (re.match(rf"{re.escape(name)}(?![A-Za-z0-9])", stem, re.IGNORECASE) for name in names)
    return next((match[0] for match in found if match), "")


def _words(text: str) -> list[str]:
    """'DeviceSplit_Test' -> device, split, test."""
    # Before the text becomes lower-case, which would hide where words begin.
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return re.findall(r"[a-z0-9]+", parted.lower())


def _labels(dataset: Dataset) -> set[str]:
    return {*dataset.info.versions, dataset.info.standard} - {""}


@cache
def _infos() -> tuple[DatasetInfo, ...]:
    from bench.data import datasets

    return tuple(datasets.info(name, []) for name in datasets.names([]))


def _names(info: DatasetInfo) -> set[str]:
    """What a list or a folder may call a database."""
    return {plain(text) for text in (info.name, *info.folders, *_ALIASES.get(info.name, ()))}


def _refuse_two(dataset: Dataset, lists: Sequence[_List]) -> None:
    seen: dict[str, Path] = {}
    for item in lists:
        other = seen.setdefault(item.part, item.path)
        if other != item.path:
            raise DataError(
                f"{dataset.info.spec}: {other} and {item.path} could both be its "
                f"{item.part or 'split'}; name the folder of one of them"
            )


def _sides(dataset: Dataset, item: _List) -> dict[str, Rows]:
    table = read_table(item.path, comments=True)
    images = table.paths(_column(table, IMAGE, "images"))
    if item.part:
        parts = [item.part] * len(images)
    else:
        texts = table.texts(_column(table, PART, "parts (train, val, test)"))
        parts = [split_part(text, table.where(row)) for row, text in enumerate(texts)]
    rows = rows_of(dataset, images, item.path)
    column = np.array(parts)
    present = [side for side in SIDES if side in parts]
    return {side: rows[column == side] for side in present}


def _column(table: Table, names: Sequence[str], what: str) -> str:
    found = next((name for name in names if name in table), None)
    if found is None:
        raise DataError(
            f"{table.file}: no column of {what}, called {' or '.join(names)}; it has "
            f"{', '.join(table.names[:8])}"
        )
    return found


def _completed(dataset: Dataset, sides: dict[str, Rows], place: Path) -> tuple[Rows, Rows, Rows]:
    none = np.empty(0, np.int64)
    val = sides.get("val", none)
    if "train" not in sides and "test" not in sides:
        raise DataError(f"{place}: neither a training nor a test side of {dataset.info.spec}")
    for side, other in (("train", "test"), ("test", "train")):
        if side not in sides:
            taken = np.concatenate([sides[other], val])
            sides[side] = np.setdiff1d(np.arange(len(dataset), dtype=np.int64), taken)
    return sides["train"], val, sides["test"]


def rows_of(dataset: Dataset, names: Iterable[str], file: Path) -> Rows:
    """(n,) row numbers of images by their paths.

    A path may begin with more folders than the dataset's names do, or with fewer where that is
    unique. Raises `DataError` that counts and names the images that are not there.
    """
    rows = {fold(str(name)): row for row, name in enumerate(dataset.table["image"])}
    short = _short(rows)
    found, lost = list[int](), list[str]()
    for name in names:
        parts = fold(name.replace("\\", "/")).split("/")
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        row = next((rows[tail] for tail in tails if tail in rows), short.get(parts[-1]))
        if row is None:
            lost.append(name)
        else:
            found.append(row)
    if lost:
        some = ", ".join(f"'{name}'" for name in lost[:3]) + (", …" if len(lost) > 3 else "")
        all_ = len(lost) + len(found)
        what = f"{len(lost)} of {all_} images ({some}) are not images"
        what = what if len(lost) > 1 else f"{some} is not an image"
        larger = [v for v, other in dataset.info.versions.items() if other.size > dataset.info.size]
        hint = f"; perhaps of {dataset.info.name}@{larger[0]}" if larger else ""
        raise DataError(f"{file}: {what} of {dataset.info.spec}{hint}")
    return np.array(found, dtype=np.int64)


def _short(rows: dict[str, int]) -> dict[str, int]:
    """File name -> row, for names that are unique without their folder."""
    found: dict[str, int] = {}
    twice: set[str] = set()
    for name, row in rows.items():
        bare = name.rpartition("/")[2]
        if bare in found:
            twice.add(bare)
        found[bare] = row
    return {name: row for name, row in found.items() if name not in twice}
