"""Training batches: groups of one dataset, each image scored with a prompt from that dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.methods.promptiqa.labels import Draws, random_flipping, random_scaling
from bench.methods.promptiqa.settings import PromptiqaTrainingSettings

Indices = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PromptGroup:
    """Rows of one source: those to score and, apart from them, the ISPs.

    `isps` is empty for leave-one-out: every row is then scored with all the others as prompt.
    """

    source: int
    queries: Indices
    isps: Indices

    @property
    def rows(self) -> Indices:
        """All rows whose features the group needs."""
        return np.concatenate([self.queries, self.isps])


@dataclass(frozen=True)
class Prompted:
    """One group as indices: ISP features are made first, then gathered for every query.

    Row i of `gather` names the ISPs of query i among (`image`, `score`) pairs.
    """

    image: Indices
    """(M,) positions among the group's rows."""
    score: Floats
    """(M,)"""
    gather: Indices
    """(Q, n)"""
    target: Floats
    """(Q,)"""


def plan_epoch(
    sizes: Sequence[int], settings: PromptiqaTrainingSettings, rng: np.random.Generator
) -> list[list[PromptGroup]]:
    """Steps of groups that show every image of every source once as query.

    A last group that is short of images is filled up with others of its source, unless its ISPs
    are drawn apart. Without a prompt there are no ISPs to draw.
    """
    groups = [group for source in range(len(sizes)) for group in _cut(source, sizes, settings, rng)]
    order = rng.permutation(len(groups))
    count = settings.groups
    return [[groups[i] for i in order[at : at + count]] for at in range(0, len(groups), count)]


def _cut(
    source: int, sizes: Sequence[int], settings: PromptiqaTrainingSettings, rng: np.random.Generator
) -> list[PromptGroup]:
    total = sizes[source]
    if total < 2:
        return []
    rows = rng.permutation(total)
    size = min(settings.group_size, total)
    found = []
    for at in range(0, total, size):
        queries = rows[at : at + size]
        if settings.batches == "separate" and settings.use_prompt:
            found.append(_with_isps(source, queries, rows, settings, rng))
            continue
        others = np.setdiff1d(rows, queries)
        queries = np.concatenate([queries, rng.permutation(others)[: size - len(queries)]])
        found.append(PromptGroup(source, queries, rows[:0]))
    return found


def _with_isps(
    source: int,
    queries: Indices,
    rows: Indices,
    settings: PromptiqaTrainingSettings,
    rng: np.random.Generator,
) -> PromptGroup:
    """ISPs from outside the queries; a tiny source gives up queries to leave some."""
    if len(queries) == len(rows):
        queries = queries[: len(rows) // 2]
    others = np.setdiff1d(rows, queries)
    return PromptGroup(source, queries, rng.permutation(others)[: settings.train_isps])


def prompted(
    group: PromptGroup, labels: Floats, settings: PromptiqaTrainingSettings, rng: Draws
) -> Prompted:
    """The group's prompts and targets, scaled and flipped; `labels` are its source's.

    One draw is shared by a whole leave-one-out group (released code), or by one query with its ISPs
    (paper, Eq. 4).
    """
    count = len(group.queries)
    own = labels[group.queries]
    if not len(group.isps):
        scores = augmented(own, settings, rng)
        all_rows = np.arange(count)
        gather = np.stack([np.delete(all_rows, row) for row in all_rows])
        return Prompted(all_rows, scores, gather, scores)
    size = len(group.isps)
    shown = labels[group.isps]
    lists = np.stack([augmented(np.append(shown, target), settings, rng) for target in own])
    image = np.tile(np.arange(count, count + size), count)
    gather = np.arange(count * size).reshape(count, size)
    return Prompted(image, lists[:, :-1].ravel(), gather, lists[:, -1])


def augmented(scores: Floats, settings: PromptiqaTrainingSettings, rng: Draws) -> Floats:
    """Scores (n,) that share their draws, scaled and then flipped at random (paper, §3.2 F)."""
    if not settings.use_prompt:  # nothing would tell the network of it
        return scores
    scores = random_scaling(scores, settings.scaling, settings.scaling_probability, rng)
    return random_flipping(scores, settings.flipping_probability, rng)
