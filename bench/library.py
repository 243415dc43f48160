"""Datasets, splits and decoded images, opened once per process and shared by all that need them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import tasks
from bench.records import SplitRule, Task

if TYPE_CHECKING:
    from bench.api import ImagePolicy, Images
    from bench.datasets.base import Dataset
    from bench.splits import Split


class Library:
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
            from bench import datasets

            self._datasets[spec] = datasets.load(spec, self.data_roots)
        return self._datasets[spec]

    def split(self, task: Task, rule: SplitRule, repeat: int) -> tuple[Split, str]:
        """The split of one repeat and its digest."""
        key = (task, rule, repeat)
        if key not in self._splits:
            from bench import datasets

            train, test = self.dataset(task.train), self.dataset(task.test)
            folder = datasets.split_folder(rule.scheme, self.data_roots)
            self._splits[key] = tasks.split_of(task, rule, repeat, train, test, folder)
        return self._splits[key]

    def images(self, spec: str, policy: ImagePolicy) -> Images:
        """All images of a dataset, decoded once under a policy and mapped from the cache."""
        key = (spec, policy)
        if key not in self._images:
            from bench.datasets import cache_folder
            from bench.images import open_images

            dataset = self.dataset(spec)
            names = list(dataset.table["image"])
            cache = cache_folder() / "images"
            self._images[key] = open_images(dataset.root, names, policy, cache)
        return self._images[key]

    def corpus_rows(self, name: str, task: Task, rule: SplitRule, repeat: int) -> tasks.Rows:
        """The rows of a pre-training corpus that a run of this task and repeat may use."""
        split, _ = self.split(task, rule, repeat)
        train, test = self.dataset(task.train), self.dataset(task.test)
        return tasks.corpus_rows(self.dataset(name), task, split, train, test)

    def corpus_digest(self, name: str, task: Task, rule: SplitRule, repeat: int) -> str:
        """The digest of those rows."""
        # A corpus that no split touches is whole, and so the same for every run.
        split_digest = self.split(task, rule, repeat)[1] if tasks.touches(name, task) else ""
        key = (name, split_digest)
        if key not in self._corpora:
            rows = self.corpus_rows(name, task, rule, repeat)
            self._corpora[key] = tasks.rows_digest(self.dataset(name), rows)
        return self._corpora[key]
