"""Splits that others have published, so that a result can be set beside theirs.

grmp        the released few-shot code's sequence: numpy's legacy generator seeded with 2024,
            shuffled once per repeat, the budget then drawn without replacement. It splits by
            image, counts LIVEC with its seven training images (`livec@1169`), and keeps no content
            apart.
promptiqa   Python's generator, seeded per repeat; images, or KADID's references by number.
liqe        ten splits 7:1:2 as text files of image paths (IQA_Database/*/splits2/1...10).
arniqa      ten splits 7:1:2 as arrays of row numbers (datasets/*/splits/*.npy).
file        what `bench splits export` wrote: one file, or a folder with one per repeat.
NAME        any other name under 'splits:' in iqa-data.yaml, or of a folder in a data root: lists of
            images (`bench.data.splits.manifests`).

Row numbers count in the order of the authors' annotation files, which the readers keep.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.data.published_folders import folder_names, published_folder
from bench.data.splits import manifests
from bench.data.splits.manifests import rows_of
from bench.util.errors import DataError, UsageError
from bench.util.listing import listed
from bench.util.tables import read_text

if TYPE_CHECKING:
    from bench.data.datasets.base import Dataset

Rows = npt.NDArray[np.int64]
Parts = tuple[Rows, Rows, Rows]
_PARTS = ("train", "val", "test")
_PROMPTIQA_SEED = 570908
"""The default seed of its training script; repeat k uses the k-th number from there."""


def read(
    dataset: Dataset,
    scheme: str,
    repeat: int,
    seed: int,
    folder: Path | None,
    labels: int | None,
) -> Parts:
    """(train, val, test) row indices of a published split.

    Raises `UsageError` where the scheme does not apply to the dataset or needs a folder,
    `DataError` where the files do not fit the dataset.
    """
    if scheme == "grmp":
        return _grmp(dataset, repeat, labels)
    if scheme == "promptiqa":
        return _promptiqa(dataset, repeat, seed)
    if folder is None:
        from bench.data.datasets import split_folder

        folder = split_folder(scheme)
    if folder is None:
        raise UsageError(
            f"split scheme '{scheme}' needs the folder of its files: name it under 'splits:' in "
            "iqa-data.yaml, or put it into a data root"
        )
    readers: dict[str, Callable[[Dataset, int, Path], Parts]] = {"liqe": _liqe, "arniqa": _arniqa}
    reader = readers.get(scheme, manifests.read)
    return _checked(dataset, scheme, reader(dataset, repeat, folder))


def _grmp(dataset: Dataset, repeat: int, labels: int | None) -> Parts:
    if dataset.info.spec == "livec":
        raise UsageError("the split sequence of GRMP-IQA counts 1,169 images: use livec@1169")
    generator = np.random.RandomState(2024)  # the published sequence comes from this generator
    order = np.arange(len(dataset))
    cut = int(len(order) * 0.8)
    if labels is not None and labels > cut:
        raise UsageError(
            f"{dataset.info.spec}: a budget of {labels} labels, but the training pool has only "
            f"{cut} images"
        )
    for _ in range(repeat + 1):
        # The released loop shuffles the order of the previous repeat, so that all are replayed.
        generator.shuffle(order)
        train = order[:cut]
        if labels is not None:
            train = generator.choice(train, size=labels, replace=False)
    return train.copy(), np.empty(0, np.int64), order[cut:].copy()


def _promptiqa(dataset: Dataset, repeat: int, seed: int) -> Parts:
    name = dataset.info.name
    if name in ("live", "csiq", "tid2013"):
        raise UsageError(
            f"PromptIQA's split of {name} follows the order in which its authors' file system "
            "lists the references, which nobody else can know"
        )
    keys = dataset.table["reference" if name == "kadid10k" else "image"].to_numpy(dtype=str)
    units = sorted(set(keys)) if name == "kadid10k" else list(keys)
    numbers = list(range(len(units)))
    # Python's own generator, as in the released script; numpy's would give other splits.
    random.Random(_PROMPTIQA_SEED + seed + repeat).shuffle(numbers)
    trained = {units[number] for number in numbers[: round(0.8 * len(units))]}
    inside = np.array([key in trained for key in keys])
    return np.flatnonzero(inside), np.empty(0, np.int64), np.flatnonzero(~inside)


def _liqe(dataset: Dataset, repeat: int, folder: Path) -> Parts:
    place = _published(dataset, folder, "splits2")
    found = []
    for part in _PARTS:
        files = listed(place, f"{repeat + 1}/*_{part}*.txt")
        if not files:
            raise DataError(f"{place}: no file {repeat + 1}/*_{part}*.txt")
        # Some databases have two versions of a list; the released loader reads the `_clip` one.
        best = next((file for file in files if file.stem.endswith("_clip")), files[0])
        lines = read_text(best).splitlines()
        images = [line.split("\t")[0] for line in lines if line]
        found.append(rows_of(dataset, images, best))
    return found[0], found[1], found[2]


def _arniqa(dataset: Dataset, repeat: int, folder: Path) -> Parts:
    place = _published(dataset, folder, "splits")
    found = []
    for part in _PARTS:
        file = place / f"{part}.npy"
        try:
            table = np.atleast_2d(np.load(file, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: cannot be read as an array of row numbers: {error}") from None
        if repeat >= len(table):
            raise UsageError(f"{file} has {len(table)} splits; repeat {repeat} is not there")
        rows = table[repeat].astype(np.int64)
        found.append(rows[rows >= 0])  # -1 fills up the shorter rows
    if max(int(rows.max(initial=-1)) for rows in found) >= len(dataset):
        raise DataError(f"{place}: made for another dataset than {dataset.info.spec}")
    return found[0], found[1], found[2]


def export_name(spec: str, repeat: int) -> str:
    """The file name under which `bench splits export` writes one split."""
    return f"{spec.replace('@', '-')}-{repeat:02d}.csv"


def _published(dataset: Dataset, folder: Path, inside: str) -> Path:
    name = dataset.info.name
    found = published_folder(name, folder, inside)
    if found is None:
        wanted = " or ".join(folder_names(name))
        raise DataError(f"{folder}: no folder {wanted} with '{inside}' below it")
    return found


def _checked(dataset: Dataset, scheme: str, parts: Parts) -> Parts:
    """Refuse parts that overlap, and those that tear groups apart."""
    joined = np.concatenate(parts)
    if len(set(joined.tolist())) < joined.size:
        raise DataError(f"{dataset.info.spec}: a '{scheme}' split lists the same image twice")
    groups = dataset.table["group"].to_numpy(dtype=str)
    seen, tested = set(groups[np.concatenate(parts[:2])]), set(groups[parts[2]])
    if scheme in ("liqe", "arniqa") and seen & tested:
        raise DataError(
            f"{dataset.info.spec}: the '{scheme}' split has {len(seen & tested)} groups on both "
            "sides; it was made for another order of images"
        )
    return parts
