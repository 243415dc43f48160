"""Distortion tasks for pre-training, and their held-out parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.api import DataError, Images, LabelledSet
from bench.methods.grmp.finetune import rescaled

Indices = npt.NDArray[np.intp]
FEWEST = 4


@dataclass(frozen=True)
class MetaTask:
    """All images of one distortion type of one corpus."""

    corpus: str
    distortion: str
    images: Images
    scores: npt.NDArray[np.float64]
    references: tuple[str | None, ...]
    """The reference of each image; None if the corpus has no references."""
    rows: Indices
    """Indices of the task's images in `images`; scores and references are in the same order."""

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, places: Indices) -> MetaTask:
        """The task restricted to some of its places."""
        references = tuple(self.references[place] for place in places)
        return MetaTask(
            self.corpus,
            self.distortion,
            self.images,
            self.scores[places],
            references,
            self.rows[places],
        )

    def labelled(self, rescale: bool) -> MetaTask:
        """The same with labels stretched to 0–1, where asked for."""
        scores = rescaled(self.scores) if rescale else self.scores
        return MetaTask(
            self.corpus, self.distortion, self.images, scores, self.references, self.rows
        )

    def split(
        self, fraction: float, by_reference: bool, rng: np.random.Generator
    ) -> tuple[MetaTask, MetaTask]:
        """Support and query: `fraction` of the references, or of the images, become the query.

        A task with a single reference splits by image.
        """
        from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

        names = [str(name) for name in self.references]
        grouped = by_reference and len(set(names)) > 1
        count = len(set(names)) if grouped else len(self)
        kind = GroupShuffleSplit if grouped else ShuffleSplit
        draw = kind(1, test_size=_share(count, fraction), random_state=int(rng.integers(2**32)))
        support, query = next(draw.split(self.rows, groups=names if grouped else None))
        return self.part(np.sort(support)), self.part(np.sort(query))


def _share(count: int, fraction: float) -> int:
    return min(max(round(count * fraction), 1), count - 1)


def tasks_of(corpora: Sequence[LabelledSet], most: int | None = None) -> list[MetaTask]:
    """One task a distortion type, of each corpus the first `most` types (all by default).

    DataError if a corpus does not name an image's type, or a type has too few images to be split.
    """
    tasks = []
    for corpus in corpora:
        if any(kind is None for kind in corpus.distortions):
            raise DataError(
                f"pre-training needs distortion types, and '{corpus.dataset}' has images without"
            )
        kinds = np.array([str(kind) for kind in corpus.distortions])
        for kind in sorted(set(kinds.tolist()))[:most]:
            rows = np.flatnonzero(kinds == kind)
            if len(rows) < FEWEST:
                raise DataError(
                    f"'{corpus.dataset}' has only {len(rows)} images of distortion '{kind}'; "
                    f"a task needs {FEWEST}"
                )
            references = tuple(corpus.references[row] for row in rows)
            scores = np.asarray(corpus.scores, dtype=np.float64)[rows]
            tasks.append(MetaTask(corpus.dataset, kind, corpus.images, scores, references, rows))
    if not tasks:
        raise DataError("no corpus to pre-train on: all of them are what is tested on")
    return tasks


def hold_out(
    tasks: Sequence[MetaTask], fraction: float, rng: np.random.Generator
) -> tuple[list[MetaTask], list[MetaTask]]:
    """Tasks without, and with only, a share of each corpus's references."""
    kept: set[tuple[str, str]] = set()
    for corpus in sorted({task.corpus for task in tasks}):
        names = {str(name) for task in tasks if task.corpus == corpus for name in task.references}
        order = rng.permutation(sorted(names))
        kept |= {(corpus, str(name)) for name in order[: _share(len(order), fraction)]}
    outside, inside = [], []
    for task in tasks:
        held = np.array([(task.corpus, str(name)) in kept for name in task.references])
        if held.all() or not held.any():
            raise DataError(
                f"task '{task.distortion}' of '{task.corpus}' cannot give up references for "
                "checkpoint 'held_out'"
            )
        outside.append(task.part(np.flatnonzero(~held)))
        inside.append(task.part(np.flatnonzero(held)))
    return outside, inside
