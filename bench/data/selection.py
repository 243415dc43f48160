"""From a task and a repeat to the rows, labels and images that a method is given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.api import OWN
from bench.data.datasets._requirements import people
from bench.data.datasets.base import named_label
from bench.model.records import JOINT, SplitRule, Task
from bench.util.errors import UsageError

if TYPE_CHECKING:
    from bench.api import Images, LabelledSet
    from bench.data.datasets.base import Dataset

Rows = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class SourceSide:
    """The rows of one database that a fit learns from."""

    dataset: Dataset
    train: Rows
    """Rows whose labels are learnt."""
    val: Rows
    """Rows that validate."""


def source_sides(
    task: Task,
    rule: SplitRule,
    repeat: int,
    sources: Sequence[Dataset],
    folder: Path | None = None,
    left_out: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> tuple[SourceSide, ...]:
    """The training sides of a task's databases in one repeat.

    The training side of the database's split, or all of it where the task learns from all; budgets
    and validation are taken from either, database by database. `folder` is where a published
    split's files lie. `left_out` names units of databases that are excluded from learning.
    """
    from bench.data.splits import make_split

    sides = []
    for dataset in sources:
        split = make_split(
            dataset,
            repeat=repeat,
            seed=rule.seed,
            labels=task.labels,
            ratio=task.ratio,
            validation=rule.validation,
            test_fraction=rule.test_fraction,
            scheme="all" if task.learn == "all" else rule.scheme,
            folder=folder,
            left_out=left_out.get(dataset.info.spec, ()),
        )
        sides.append(SourceSide(dataset, split.train, split.val))
    return tuple(sides)


def rows_tested(
    task: Task, rule: SplitRule, repeat: int, dataset: Dataset, folder: Path | None = None
) -> Rows:
    """The rows of the test database that a task predicts, sorted by the images' names."""
    from bench.data.splits import make_split

    # That sequence draws the labels before it goes on to the next split.
    drawn = rule.scheme == "grmp" and task.side == "own"
    budget: dict[str, Any] = {"labels": task.labels} if drawn else {}
    split = make_split(
        dataset,
        repeat=repeat,
        seed=rule.seed,
        test_fraction=rule.test_fraction,
        scheme="test" if task.side == "whole" else rule.scheme,
        folder=folder,
        **budget,
    )
    return split.test


def sides_digests(sides: Sequence[SourceSide]) -> tuple[str, ...]:
    """SHA-256 over names and labels of the training, then of the validation images of each."""
    return tuple(
        rows_digest(side.dataset, rows) for side in sides for rows in (side.train, side.val)
    )


def corpus_names(names: Sequence[str], task: Task | None) -> list[str]:
    """The corpora that a method names, `OWN` resolved to the databases that the task learns from.

    `OWN` uses the labels that people gave, also if the task's labels come from a metric. Raises
    `UsageError` for `OWN` without a task.
    """
    if task is None and OWN in names:
        raise UsageError(
            "this method trains on the database of each run alone; without a protocol there is "
            "none, so give it fitted weights (--weights) or name its corpora"
        )
    own = [people(source) for source in task.sources] if task else []
    found = [one for name in names for one in (own if name == OWN else [name])]
    return list(dict.fromkeys(found))


def touches(corpus: str, tasks: Sequence[Task]) -> bool:
    """Whether a corpus is a database that a task tests or learns from, whatever its labels."""
    base = corpus.partition("@")[0]
    used = {name.partition("@")[0] for task in tasks for name in (*task.sources, task.test)}
    return base in used


def corpus_rows(
    corpus: Dataset,
    task: Task,
    sources: Sequence[SourceSide],
    tests: Sequence[tuple[Dataset, Rows]],
    alone: bool,
) -> Rows:
    """Rows of a pre-training corpus that may be used: none of the test or validation images.

    `tests` are all test sides of the fit. Where references exist, no image that shares its
    reference with one of those either. Under a budget, labels of a database learnt from that are
    beyond the budget are not used: a training ratio leaves its images, a number of labels or none
    leaves the whole database out of a mixture, and its labelled images where it is the `alone`
    corpus.
    """
    hidden: set[str] = set()
    for dataset, rows in tests:
        if corpus.info.name == dataset.info.name:
            hidden.update(dataset.units[rows])
    for side in sources:
        if corpus.info.name == side.dataset.info.name:
            hidden.update(side.dataset.units[side.val])
    keep = ~np.isin(corpus.units, list(hidden))
    limited = task.labels is not None or task.ratio is not None or task.zero_shot
    for side in sources if limited else ():
        spec = side.dataset.info.spec
        if corpus.info.name != side.dataset.info.name or spec != people(spec):
            continue
        spare = task.ratio is not None or (alone and not task.zero_shot)
        labelled = side.dataset.table["image"].iloc[side.train if spare else []]
        keep &= corpus.table["image"].isin(labelled).to_numpy()
    return np.flatnonzero(keep)


def rows_digest(dataset: Dataset, rows: Rows) -> str:
    """SHA-256 over the names and labels of some rows, in the order of their names."""
    place, texts = dataset.named_labels
    return _pairs_digest(dataset.info.spec, texts[np.sort(place[rows])])


def scores_digest(spec: str, names: Sequence[str], scores: Sequence[float]) -> str:
    """`rows_digest` of the rows with these names and scores, without the database."""
    named = sorted(zip(names, scores, strict=True))
    return _pairs_digest(spec, [named_label(name, score) for name, score in named])


def _pairs_digest(spec: str, texts: Iterable[str]) -> str:
    payload = f"[{json.dumps(spec)},[{','.join(texts)}]]"
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


def joined(parts: Sequence[LabelledSet]) -> LabelledSet:
    """Several labelled sets as one, in their order."""
    from bench.api import LabelledSet
    from bench.data.images import JoinedImages

    if len(parts) == 1:
        return parts[0]

    def chained(field: str) -> tuple[Any, ...]:
        return tuple(value for part in parts for value in getattr(part, field))

    return LabelledSet(
        dataset=JOINT.join(part.dataset for part in parts),
        images=JoinedImages([part.images for part in parts], [part.dataset for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        references=chained("references"),
        distortions=chained("distortions"),
        levels=chained("levels"),
        scenes=chained("scenes"),
        sources=chained("sources"),
    )


def balanced(sides: Sequence[SourceSide]) -> tuple[SourceSide, ...]:
    """The sides with rows of smaller databases repeated, so that all count for about the same."""
    most = max((len(side.train) for side in sides), default=0)
    return tuple(replace(side, train=np.resize(side.train, most)) for side in sides)
