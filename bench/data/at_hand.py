"""Databases that are on this machine already: their tables, without an image being opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from bench.data import datasets
from bench.data.datasets._requirements import people
from bench.data.datasets.base import Dataset, DatasetInfo
from bench.data.datasets.ratings import Ratings
from bench.util.errors import BenchError


class AtHand:
    """Databases under some data roots, read once each; a demo set only if it is rendered."""

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        self.roots = list(roots) or None
        self.dataset = cache(self._dataset)
        self.ratings = cache(self._ratings)
        self.groups = cache(self._groups)

    def info(self, spec: str) -> DatasetInfo | None:
        """The description of a database; None for one that is unknown here."""
        try:
            return datasets.info(people(spec), self.roots)
        except BenchError:
            return None

    def _dataset(self, spec: str) -> Dataset | str:
        """The database with the labels that people gave, or why it is not available."""
        try:
            if datasets.locate(people(spec), self.roots) is None:
                return f"{people(spec)} is not under the data roots"
            return datasets.load(people(spec), self.roots)
        except BenchError as error:
            return str(error).splitlines()[0]

    def _ratings(self, spec: str) -> Ratings | None:
        """The single ratings behind a database's default labels; None where none are at hand."""
        name, _, version = spec.partition("@")
        try:
            root = datasets.locate(name, self.roots)
            found = datasets.reader(name, self.roots)
            if root is None or version not in ("", found.info.standard):
                return None
            return found.ratings(root)
        except BenchError:  # the table of scores alone may be there
            return None

    def _groups(self, spec: str) -> Mapping[str, str] | str:
        """Image -> its group (reference, prompt, content), or why that is not known; {} where every
        image is a group of its own, which needs no database at hand."""
        info = self.info(spec)
        if info is None:
            return f"{spec} is not a known database"
        if not info.clustered:
            return {}
        found = self.dataset(spec)
        if isinstance(found, str):
            return f"which images share a content is not known: {found}"
        return dict(zip(found.names.tolist(), found.units.tolist(), strict=True))
