"""Which samples train, validate and test: pure functions of names, groups, seed and repeat.

A random split orders groups (references, prompts; single images where there are none) by a SHA-256
of the dataset's name, the seed, the repeat and the group's name. Nothing else has an influence: not
the order of rows, not other repeats, not a library's random numbers. Label budgets and training
ratios take a prefix of such an order, so that smaller ones are contained in larger ones.

This is version 2 of the rule (`SplitRule.version`). In version 1 groups that hold one picture twice
could be torn apart; now they are one group (`Dataset.units`). The two only differ for databases
whose reader, or whose entry in `iqa-data.yaml`, lists such pictures.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.util.atomic import replacing
from bench.util.errors import UsageError, unknown

if TYPE_CHECKING:
    from bench.data.datasets.base import Dataset

Rows = npt.NDArray[np.int64]
SCHEMES = ("random", "all", "test", "official", "grmp", "promptiqa", "liqe", "arniqa", "file")
"""random: 80/20 by group. all: every sample is in the training pool (the source of a cross-dataset
run). test: every sample is tested (its target). official: the authors' own split. grmp, promptiqa,
liqe, arniqa: published splits (`published_splits`). file: one that `export` wrote."""


@dataclass(frozen=True)
class Split:
    """Row indices into one dataset's table; each array is sorted by the images' names."""

    train: Rows
    val: Rows
    test: Rows

    def digest(self, dataset: Dataset) -> str:
        """SHA-256 over the names in each part: equal for equal splits, whatever the row order."""
        names = dataset.table["image"].to_numpy()
        parts = [sorted(map(str, names[part])) for part in (self.train, self.val, self.test)]
        payload = json.dumps([dataset.info.name, *parts], separators=(",", ":"))
        return hashlib.sha256(payload.encode()).hexdigest()


@dataclass(frozen=True)
class _Draw:
    """One reproducible order of names."""

    dataset: str
    seed: int
    repeat: int

    def order(self, purpose: str, names: Iterable[str]) -> list[str]:
        """The names by SHA-256 of the JSON list [dataset, seed, repeat, purpose, name]."""
        distinct = list(set(names))
        head = json.dumps([self.dataset, self.seed, self.repeat, purpose])[:-1]
        # All at once, since a plan orders millions of names; JSON strings hold no line breaks.
        texts = json.dumps(distinct, separators=("\n", ":"))[1:-1].split("\n")
        keyed = {
            hashlib.sha256(f"{head}, {text}]".encode()).digest(): name
            for text, name in zip(texts, distinct, strict=False)
        }
        return [keyed[key] for key in sorted(keyed)]


def make_split(
    dataset: Dataset,
    *,
    repeat: int,
    seed: int = 0,
    test_fraction: float = 0.2,
    labels: int | None = None,
    ratio: float | None = None,
    validation: float = 0.0,
    scheme: str = "random",
    folder: Path | None = None,
    left_out: Collection[str] = (),
) -> Split:
    """Split `repeat` (from 0) of a dataset.

    `labels` trains on that many images of the pool, `ratio` on that fraction of the whole dataset
    (by groups, so at most 1 - `test_fraction`); one of the two at most. `validation` holds out
    that fraction of the labelled images, by group where there are groups. `folder` is where the
    published split files lie (liqe, arniqa), or the file itself (file). `left_out` are units
    (`Dataset.units`) that neither train nor validate; budgets are drawn from the others.

    Raises `UsageError` for a budget that the pool cannot fill and for settings that make no sense.
    """
    _check(test_fraction, labels, ratio, validation, repeat)
    names, groups = dataset.names, dataset.units
    draw = _Draw(dataset.info.name, seed, repeat)
    pool, held_out, test = _pool(dataset, draw, test_fraction, scheme, folder, labels)
    if left_out:
        _refuse_drawn(scheme, labels)
        pool, held_out = (part[~np.isin(groups[part], list(left_out))] for part in (pool, held_out))
    train = pool
    if labels is not None and scheme != "grmp":  # that sequence draws its labels itself
        train = _budget(dataset, draw, pool, names, labels)
    if ratio is not None:
        train = _ratio(dataset, draw, pool, groups, ratio)
    if validation > 0 and not held_out.size:
        train, held_out = _hold_out(draw, train, groups, validation)
    return Split(*(part[np.argsort(names[part])] for part in (train, held_out, test)))


def export(split: Split, dataset: Dataset, path: Path) -> str:
    """Write a split as CSV (columns image, part) under a '#' line with its digest, and return that.

    Scheme 'file' reads it again.
    """
    names = dataset.table["image"].to_numpy()
    digest = split.digest(dataset)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        out.write(f"# iqa-bench split of {dataset.info.name}, digest {digest}\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["image", "part"])
        for part in ("train", "val", "test"):
            writer.writerows([name, part] for name in sorted(names[getattr(split, part)]))
    return digest


def _check(
    test_fraction: float,
    labels: int | None,
    ratio: float | None,
    validation: float,
    repeat: int,
) -> None:
    if not 0 < test_fraction < 1:
        raise UsageError(f"test_fraction is {test_fraction:g}, must lie between 0 and 1")
    if not 0 <= validation < 1:
        raise UsageError(f"validation is {validation:g}, must be at least 0 and below 1")
    if labels is not None and ratio is not None:
        raise UsageError("give either a label budget or a training ratio, not both")
    if labels is not None and labels < 1:
        raise UsageError(f"label budget is {labels}, must be at least 1")
    if ratio is not None and not 0 < ratio <= 1:
        raise UsageError(f"training ratio is {ratio:g}, must lie above 0 and at most at 1")
    if repeat < 0:
        raise UsageError(f"repeat is {repeat}; they count from 0")


def _refuse_drawn(scheme: str, labels: int | None) -> None:
    if scheme == "grmp" and labels is not None:
        raise UsageError(
            "exclude_overlap: the split sequence of GRMP-IQA draws its labels itself, so that none "
            "can be left out before"
        )


def _pool(
    dataset: Dataset,
    draw: _Draw,
    test_fraction: float,
    scheme: str,
    folder: Path | None,
    labels: int | None,
) -> tuple[Rows, Rows, Rows]:
    """Training pool, prescribed validation part (often empty) and test part under a scheme."""
    everything, none = np.arange(len(dataset), dtype=np.int64), np.empty(0, np.int64)
    if scheme == "random":
        train, test = _by_group(dataset, draw, test_fraction)
        return train, none, test
    if scheme == "all":
        return everything, none, none
    if scheme == "test":
        return none, none, everything
    if scheme == "official":
        return _official(dataset)
    if scheme not in SCHEMES and folder is None:
        named = "a name under 'splits:' in iqa-data.yaml"
        raise unknown("split scheme", scheme, (*SCHEMES, named))
    from bench.data.splits import published_splits as split_sources

    return split_sources.read(dataset, scheme, draw.repeat, draw.seed, folder, labels)


def _by_group(dataset: Dataset, draw: _Draw, test_fraction: float) -> tuple[Rows, Rows]:
    groups = dataset.units
    ordered = _ordered(dataset, draw, "test", groups)
    count = max(1, round(test_fraction * len(ordered)))
    if count >= len(ordered):
        raise UsageError(
            f"{dataset.info.spec}: {len(ordered)} groups cannot be split with "
            f"test_fraction {test_fraction:g}"
        )
    tested = np.isin(groups, ordered[:count])
    return np.flatnonzero(~tested), np.flatnonzero(tested)


def _official(dataset: Dataset) -> tuple[Rows, Rows, Rows]:
    part = dataset.table["official"].to_numpy(dtype=str)
    train, val, test = (np.flatnonzero(part == name) for name in ("train", "val", "test"))
    if not train.size or not test.size:
        raise UsageError(f"{dataset.info.spec} has no official split")
    return train, val, test


def _ordered(dataset: Dataset, draw: _Draw, purpose: str, names: npt.NDArray[np.str_]) -> list[str]:
    """`draw.order`, remembered: the splits of all label budgets share their orders."""
    key = (draw, purpose, hashlib.sha256(names.tobytes()).digest())
    if key not in dataset.orders:
        dataset.orders[key] = draw.order(purpose, names.tolist())
    return dataset.orders[key]


def _budget(
    dataset: Dataset, draw: _Draw, pool: Rows, names: npt.NDArray[np.str_], labels: int
) -> Rows:
    if labels > pool.size:
        raise UsageError(
            f"{dataset.info.spec}: a budget of {labels} labels, but the training pool has only "
            f"{pool.size} images"
        )
    chosen = _ordered(dataset, draw, "labels", names[pool])[:labels]
    return pool[np.isin(names[pool], chosen)]


def _ratio(
    dataset: Dataset, draw: _Draw, pool: Rows, groups: npt.NDArray[np.str_], ratio: float
) -> Rows:
    total, ordered = len(set(groups)), draw.order("ratio", groups[pool])
    count = max(1, round(ratio * total))
    # A pool of 80 % of the groups may be half a group short of it; that is rounding, no error.
    if ratio * total > len(ordered) + 0.5 + 1e-9:
        raise UsageError(
            f"{dataset.info.spec}: training ratio {ratio:g} needs {count} groups, but the training "
            f"pool has only {len(ordered)} of {total}"
        )
    return pool[np.isin(groups[pool], ordered[:count])]


def _hold_out(
    draw: _Draw, rows: Rows, groups: npt.NDArray[np.str_], fraction: float
) -> tuple[Rows, Rows]:
    """Whole groups move to validation until they hold at least that fraction of the images."""
    ordered: Sequence[str] = draw.order("validation", groups[rows])
    if len(ordered) < 2:
        raise UsageError("validation needs labelled images of at least two groups")
    sizes = Counter(groups[rows].tolist())
    wanted, size, count = max(1, round(fraction * rows.size)), 0, 0
    while size < wanted and count < len(ordered) - 1:
        size += sizes[ordered[count]]
        count += 1
    held = np.isin(groups[rows], ordered[:count])
    return rows[~held], rows[held]
