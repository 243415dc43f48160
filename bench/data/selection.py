"""From a task and a repeat to rows, labels and images: what a method is given, and what not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.api import OWN
from bench.data.datasets._requirements import people
from bench.model.records import SplitRule, Task
from bench.util.errors import UsageError

if TYPE_CHECKING:
    from bench.api import Images, LabelledSet
    from bench.data.datasets.base import Dataset
    from bench.data.splits import Split

Rows = npt.NDArray[np.integer[Any]]


def split_of(
    task: Task,
    rule: SplitRule,
    repeat: int,
    train: Dataset,
    test: Dataset,
    folder: Path | None = None,
) -> tuple[Split, str]:
    """The split of one repeat of a task, and a digest of its image names and labels.

    Within one dataset it is the rule's. Across datasets, all of the one is the training side
    (budgets and validation are taken from it) and all of the other is tested, at every repeat.
    `folder` is where a published split's files lie.
    """
    from bench.data.splits import Split, cross_split, make_split

    budget: dict[str, Any] = {
        "repeat": repeat,
        "seed": rule.seed,
        "labels": task.labels,
        "ratio": task.ratio,
        "validation": rule.validation,
    }
    if task.train == task.test:
        split = make_split(
            train, test_fraction=rule.test_fraction, scheme=rule.scheme, folder=folder, **budget
        )
    else:
        source, target = cross_split(train, test, **budget)
        split = Split(source.train, source.val, target.test)
    parts = [
        rows_digest(train, split.train),
        rows_digest(train, split.val),
        rows_digest(test, split.test),
    ]
    return split, hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def corpus_names(names: Sequence[str], task: Task | None) -> list[str]:
    """The corpora that a method names, `OWN` resolved to the database that the task learns from.

    Its labels are people's there, also where the task's are a metric's. Raises `UsageError` for
    `OWN` without a task.
    """
    if task is None and OWN in names:
        raise UsageError(
            "this method trains on the database of each run alone; without a protocol there is "
            "none, so give it fitted weights (--weights) or name its corpora"
        )
    found = [people(task.train) if task and name == OWN else name for name in names]
    return list(dict.fromkeys(found))


def touches(corpus: str, task: Task) -> bool:
    """Whether a corpus is a database the task tests or trains on, whatever the label version."""
    base = corpus.partition("@")[0]
    return base in (task.train.partition("@")[0], task.test.partition("@")[0])


def corpus_rows(
    corpus: Dataset, task: Task, split: Split, train: Dataset, test: Dataset, alone: bool
) -> Rows:
    """Rows of a pre-training corpus that may be used: none of the test or validation images.

    Where references exist, no image that shares its reference with one of those either. Under a
    budget, labels of the database learnt from that are beyond the budget are not used: a training
    ratio leaves its images, a number of labels or none leaves the whole database out of a mixture,
    and its labelled images where it is the `alone` corpus.
    """
    hidden: set[str] = set()
    if corpus.info.name == test.info.name:
        hidden.update(test.table["group"].iloc[split.test])
    if corpus.info.name == train.info.name:
        hidden.update(train.table["group"].iloc[split.val])
    keep = ~corpus.table["group"].isin(hidden).to_numpy()
    limited = task.labels is not None or task.ratio is not None or task.zero_shot
    if limited and corpus.info.name == train.info.name and task.train == people(task.train):
        spare = task.ratio is not None or (alone and not task.zero_shot)
        labelled = train.table["image"].iloc[split.train if spare else []]
        keep &= corpus.table["image"].isin(labelled).to_numpy()
    return np.flatnonzero(keep)


def rows_digest(dataset: Dataset, rows: Rows) -> str:
    """SHA-256 over the names and labels of some rows, in the order of their names."""
    place, texts = dataset.named_labels
    pairs = ",".join(texts[np.sort(place[rows])])
    payload = f"[{json.dumps(dataset.info.spec)},[{pairs}]]"
    return hashlib.sha256(payload.encode()).hexdigest()


def labelled(dataset: Dataset, rows: Rows, images: Images, scores: npt.NDArray[Any]) -> LabelledSet:
    """The labelled set a method gets for `rows`; `scores` are theirs, normalised."""
    from bench.api import LabelledSet

    part = dataset.table.iloc[rows]

    def texts(column: str) -> tuple[str | None, ...]:
        return tuple(value or None for value in part[column])

    return LabelledSet(
        dataset=dataset.info.spec,
        images=images.subset(rows),
        scores=np.asarray(scores, dtype=np.float64),
        references=texts("reference"),
        distortions=texts("distortion"),
        levels=tuple(None if np.isnan(level) else int(level) for level in part["level"]),
        scenes=texts("scene"),
        sources=(dataset.info.spec,) * len(rows),
    )
