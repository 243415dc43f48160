"""Datasets, splits and decoded images, opened once per process and shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data import selection
from bench.model.records import SplitRule, Task

if TYPE_CHECKING:
    from bench.api import ImagePolicy, Images
    from bench.data.datasets.base import Dataset

    Tested = tuple[Dataset, selection.Rows]
    """A database and those rows of it that are tested."""


class _SharedPictures:
    """Which units of databases share a picture (`bench.data.overlap`), read once."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, str], dict[str, set[str]]] = {}

    def units(self, source: Dataset, tests: Sequence[Tested]) -> set[str]:
        """Units of a database that share a picture with rows of other databases.

        Raises `DataError` for two that were not compared.
        """
        found: set[str] = set()
        for dataset, rows in tests:
            if dataset.info.name != source.info.name:  # within one, the split keeps units apart
                links = self._of(dataset, source)
                found.update(*(links.get(unit, ()) for unit in np.unique(dataset.units[rows])))
        return found

    def apart(self, sides: tuple[selection.SourceSide, ...]) -> tuple[selection.SourceSide, ...]:
        """The sides without training images that share a picture with another's validation."""
        held = [(side.dataset, side.val) for side in sides]
        return tuple(
            replace(side, train=side.train[~np.isin(side.dataset.units[side.train], list(shared))])
            for side in sides
            for shared in [self.units(side.dataset, held)]
        )

    def _of(self, first: Dataset, second: Dataset) -> dict[str, set[str]]:
        """Unit of the first -> units of the second."""
        key = first.info.spec, second.info.spec
        if key not in self._links:
            from bench.data import overlap

            links: dict[str, set[str]] = {}
            for item in overlap.known(first, second):
                links.setdefault(item.first_group, set()).add(item.second_group)
            self._links[key] = links
        return self._links[key]


class DataCache:
    """The content of the data roots."""

    def __init__(self, data_roots: Sequence[Path]) -> None:
        self.data_roots = list(data_roots)
        self._datasets: dict[str, Dataset] = {}
        self._sources: dict[Any, tuple[tuple[selection.SourceSide, ...], tuple[str, ...]]] = {}
        self._tests: dict[Any, tuple[selection.Rows, str]] = {}
        self._images: dict[tuple[str, ImagePolicy], Images] = {}
        self._shared = _SharedPictures()
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
                left_out = {
                    source.info.spec: self._shared.units(source, self._hidden(task, rule, repeat))
                    for source in (sources if rule.apart_from else ())
                }
                sides = selection.source_sides(task, rule, repeat, sources, folder, left_out)
                if rule.apart_from:
                    sides = self._shared.apart(sides)
            self._sources[key] = sides, selection.sides_digests(sides)
        return self._sources[key]

    def tested(self, task: Task, rule: SplitRule, repeat: int) -> tuple[selection.Rows, str]:
        """The rows that one repeat of a task predicts, and their digest."""
        labels = task.labels if rule.scheme == "grmp" else None
        if rule.apart_from:  # Only what is learnt depends on it.
            rule = rule.model_copy(update={"apart_from": ()})
        key = (task.test, task.side, labels, rule, repeat)
        if key not in self._tests:
            dataset = self.dataset(task.test)
            rows = selection.rows_tested(task, rule, repeat, dataset, self._folder(rule))
            self._tests[key] = rows, selection.rows_digest(dataset, rows)
        return self._tests[key]

    def _hidden(self, task: Task, rule: SplitRule, repeat: int) -> list[Tested]:
        """The test sides that a fit keeps apart from, with the rows that are tested."""
        found = []
        for name, side in (item.rsplit(":", 1) for item in rule.apart_from):
            test = task.model_copy(update={"test": name, "side": side})
            found.append((self.dataset(name), self.tested(test, rule, repeat)[0]))
        return found

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
        """The rows of a pre-training corpus that a fit with these tests and this repeat may use.

        `split_alike`: the training side of the corpus' own split of that repeat, whatever the
        tasks. `alone`: there is no other corpus.
        """
        if split_alike:
            own = Task(train=name, test=name)
            return self.sources(own, rule, repeat)[0][0].train
        sources, _ = self.sources(tasks[0], rule, repeat)
        tests = [(self.dataset(task.test), self.tested(task, rule, repeat)[0]) for task in tasks]
        corpus = self.dataset(name)
        rows = selection.corpus_rows(corpus, tasks[0], sources, tests, alone)
        if rule.apart_from:
            shared = self._shared.units(corpus, self._hidden(tasks[0], rule, repeat))
            rows = rows[~np.isin(corpus.units[rows], list(shared))]
        return rows

    def corpus_digests(
        self,
        names: Sequence[str],
        tasks: Sequence[Task],
        rule: SplitRule,
        repeat: int,
        *,
        split_alike: bool = False,
    ) -> dict[str, str]:
        """The digests of those rows, by corpus; a corpus without rows is omitted."""
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
        elif rule.apart_from or selection.touches(name, tasks):
            tests = "/".join(self.tested(task, rule, repeat)[1] for task in tasks)
            source = "/".join(self.sources(tasks[0], rule, repeat)[1])
            apart = "/".join(rule.apart_from)
            reason = f"{source}/{tests}/{tasks[0].model_dump_json()}/{alone}/{apart}"
        else:  # no split touches it, and so it is whole for every run
            reason = ""
        key = (name, reason)
        if key not in self._corpora:
            rows = self.corpus_rows(name, tasks, rule, repeat, alone=alone, split_alike=split_alike)
            digest = selection.rows_digest(self.dataset(name), rows) if len(rows) else ""
            self._corpora[key] = digest
        return self._corpora[key]
