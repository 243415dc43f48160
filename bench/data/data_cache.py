"""Datasets, splits and decoded images, opened once per process and shared by all that need them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data import selection
from bench.model.records import SplitRule, Task

if TYPE_CHECKING:
    from bench.api import ImagePolicy, Images
    from bench.data.datasets.base import Dataset


class DataCache:
    """What lies under the data roots."""

    def __init__(self, data_roots: Sequence[Path]) -> None:
        self.data_roots = list(data_roots)
        self._datasets: dict[str, Dataset] = {}
        self._sources: dict[Any, tuple[tuple[selection.SourceSide, ...], tuple[str, ...]]] = {}
        self._tests: dict[Any, tuple[selection.Rows, str]] = {}
        self._images: dict[tuple[str, ImagePolicy], Images] = {}
        self._corpora: dict[tuple[str, str], str] = {}

    def dataset(self, spec: str) -> Dataset:
        """A dataset by NAME or NAME@VERSION."""
        if spec not in self._datasets:
            from bench.data import datasets

            self._datasets[spec] = datasets.load(spec, self.data_roots)
        return self._datasets[spec]

    def sources(
        self, task: Task, rule: SplitRule, repeat: int
    ) -> tuple[tuple[selection.SourceSide, ...], tuple[str, ...]]:
        """What one repeat of a task learns from, and its digests."""
        # The test side has no say: fits are shared by all tests.
        key = (task.model_copy(update={"test": "", "side": "own"}), rule, repeat)
        if key not in self._sources:
            sources = [self.dataset(name) for name in task.sources]
            if task.zero_shot:
                none = np.empty(0, np.int64)
                sides = tuple(selection.SourceSide(source, none, none) for source in sources)
            else:
                folder = self._folder(rule)
                sides = selection.source_sides(task, rule, repeat, sources, folder)
            self._sources[key] = sides, selection.sides_digests(sides)
        return self._sources[key]

    def tested(self, task: Task, rule: SplitRule, repeat: int) -> tuple[selection.Rows, str]:
        """The rows that one repeat of a task predicts, and their digest."""
        labels = task.labels if rule.scheme == "grmp" else None
        key = (task.test, task.side, labels, rule, repeat)
        if key not in self._tests:
            dataset = self.dataset(task.test)
            rows = selection.rows_tested(task, rule, repeat, dataset, self._folder(rule))
            self._tests[key] = rows, selection.rows_digest(dataset, rows)
        return self._tests[key]

    def _folder(self, rule: SplitRule) -> Path | None:
        """Where the files of a published split lie."""
        from bench.data import datasets

        return datasets.split_folder(rule.scheme, self.data_roots)

    def annotations(self, task: Task, rule: SplitRule, repeat: int) -> str:
        """The digest of the scenes and distortions that the training sides have."""
        from bench.data import annotations

        sides, _ = self.sources(task, rule, repeat)
        return "/".join(annotations.digest(side.dataset, side.train) for side in sides)

    def images(self, spec: str, policy: ImagePolicy | None) -> Images:
        """All images of a dataset, decoded once under a policy and mapped from the cache.

        Without a policy their names alone: no file of an image need be there.
        """
        if policy is None:
            from bench.model.images import NamedImages

            return NamedImages(list(self.dataset(spec).table["image"]))
        key = (spec, policy)
        if key not in self._images:
            from bench.data.datasets import cache_folder
            from bench.data.images import open_images

            dataset = self.dataset(spec)
            names = list(dataset.table["image"])
            cache = cache_folder() / "images"
            policy = policy.of(dataset.info.name)
            self._images[key] = open_images(dataset.root, names, policy, cache)
        return self._images[key]

    def corpus_rows(
        self,
        name: str,
        tasks: Sequence[Task],
        rule: SplitRule,
        repeat: int,
        *,
        alone: bool,
        split_alike: bool,
    ) -> selection.Rows:
        """The rows of a pre-training corpus that a fit with these tests and repeat may use.

        `split_alike`: the training side of the corpus' own split of that repeat, whatever the
        tasks. `alone`: there is no other corpus.
        """
        if split_alike:
            own = Task(train=name, test=name)
            return self.sources(own, rule, repeat)[0][0].train
        sources, _ = self.sources(tasks[0], rule, repeat)
        tests = [(self.dataset(task.test), self.tested(task, rule, repeat)[0]) for task in tasks]
        return selection.corpus_rows(self.dataset(name), tasks[0], sources, tests, alone)

    def corpus_digests(
        self,
        names: Sequence[str],
        tasks: Sequence[Task],
        rule: SplitRule,
        repeat: int,
        *,
        split_alike: bool = False,
    ) -> dict[str, str]:
        """The digests of those rows, by corpus; a corpus of which nothing is left is not there."""
        found = selection.corpus_names(names, tasks[0])
        alone = len(found) == 1
        digests = {
            name: self._corpus_digest(name, tasks, rule, repeat, alone, split_alike)
            for name in found
        }
        return {name: digest for name, digest in digests.items() if digest}

    def _corpus_digest(
        self,
        name: str,
        tasks: Sequence[Task],
        rule: SplitRule,
        repeat: int,
        alone: bool,
        split_alike: bool,
    ) -> str:
        """The digest of a corpus' rows, "" for none."""
        if split_alike:
            reason = "/".join(self.sources(Task(train=name, test=name), rule, repeat)[1])
        elif selection.touches(name, tasks):
            tests = "/".join(self.tested(task, rule, repeat)[1] for task in tasks)
            source = "/".join(self.sources(tasks[0], rule, repeat)[1])
            reason = f"{source}/{tests}/{tasks[0].model_dump_json()}/{alone}"
        else:  # no split touches it, and so it is whole for every run
            reason = ""
        key = (name, reason)
        if key not in self._corpora:
            rows = self.corpus_rows(name, tasks, rule, repeat, alone=alone, split_alike=split_alike)
            digest = selection.rows_digest(self.dataset(name), rows) if len(rows) else ""
            self._corpora[key] = digest
        return self._corpora[key]
