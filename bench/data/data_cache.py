"""Datasets, splits and decoded images, opened once per process and shared by all that need them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data import selection
from bench.model.records import SplitRule, Task

if TYPE_CHECKING:
    from bench.api import ImagePolicy, Images
    from bench.data.datasets.base import Dataset
    from bench.data.splits import Split


class DataCache:
    """What lies under the data roots."""

    def __init__(self, data_roots: Sequence[Path]) -> None:
        self.data_roots = list(data_roots)
        self._datasets: dict[str, Dataset] = {}
        self._splits: dict[tuple[Task, SplitRule, int], tuple[Split, str]] = {}
        self._images: dict[tuple[str, ImagePolicy], Images] = {}
        self._corpora: dict[tuple[str, str], str] = {}

    def dataset(self, spec: str) -> Dataset:
        """A dataset by NAME or NAME@VERSION."""
        if spec not in self._datasets:
            from bench.data import datasets

            self._datasets[spec] = datasets.load(spec, self.data_roots)
        return self._datasets[spec]

    def split(self, task: Task, rule: SplitRule, repeat: int) -> tuple[Split, str]:
        """The split of one repeat and its digest."""
        key = (task, rule, repeat)
        if key not in self._splits:
            from bench.data import datasets

            train, test = self.dataset(task.train), self.dataset(task.test)
            folder = datasets.split_folder(rule.scheme, self.data_roots)
            self._splits[key] = selection.split_of(task, rule, repeat, train, test, folder)
        return self._splits[key]

    def annotations(self, task: Task, rule: SplitRule, repeat: int) -> str:
        """The digest of the scenes and distortions that the training side has."""
        from bench.data import annotations

        split, _ = self.split(task, rule, repeat)
        return annotations.digest(self.dataset(task.train), split.train)

    def images(self, spec: str, policy: ImagePolicy) -> Images:
        """All images of a dataset, decoded once under a policy and mapped from the cache."""
        key = (spec, policy)
        if key not in self._images:
            from bench.data.datasets import cache_folder
            from bench.data.images import open_images

            dataset = self.dataset(spec)
            names = list(dataset.table["image"])
            cache = cache_folder() / "images"
            self._images[key] = open_images(dataset.root, names, policy, cache)
        return self._images[key]

    def corpus_rows(
        self, name: str, task: Task, rule: SplitRule, repeat: int, *, alone: bool, split_alike: bool
    ) -> selection.Rows:
        """The rows of a pre-training corpus that a run of this task and repeat may use.

        `split_alike`: the training side of the corpus' own split of that repeat, whatever the task.
        `alone`: there is no other corpus.
        """
        if split_alike:
            return self.split(Task(train=name, test=name), rule, repeat)[0].train
        split, _ = self.split(task, rule, repeat)
        train, test = self.dataset(task.train), self.dataset(task.test)
        return selection.corpus_rows(self.dataset(name), task, split, train, test, alone)

    def corpus_digests(
        self,
        names: Sequence[str],
        task: Task,
        rule: SplitRule,
        repeat: int,
        *,
        split_alike: bool = False,
    ) -> dict[str, str]:
        """The digests of those rows, by corpus; a corpus of which nothing is left is not there."""
        found = selection.corpus_names(names, task)
        alone = len(found) == 1
        digests = {
            name: self._corpus_digest(name, task, rule, repeat, alone, split_alike)
            for name in found
        }
        return {name: digest for name, digest in digests.items() if digest}

    def _corpus_digest(
        self, name: str, task: Task, rule: SplitRule, repeat: int, alone: bool, split_alike: bool
    ) -> str:
        """The digest of a corpus' rows, "" for none."""
        if split_alike:
            reason = self.split(Task(train=name, test=name), rule, repeat)[1]
        elif selection.touches(name, task):
            reason = f"{self.split(task, rule, repeat)[1]}/{task.model_dump_json()}/{alone}"
        else:  # no split touches it, and so it is whole for every run
            reason = ""
        key = (name, reason)
        if key not in self._corpora:
            rows = self.corpus_rows(name, task, rule, repeat, alone=alone, split_alike=split_alike)
            digest = selection.rows_digest(self.dataset(name), rows) if len(rows) else ""
            self._corpora[key] = digest
        return self._corpora[key]
