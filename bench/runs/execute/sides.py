"""From a run's specification to the images and labels of its sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.api import ImagePolicy, LabelledSet
from bench.data import selection
from bench.data.data_cache import DataCache
from bench.model.records import FitSpec, RunSpec, TestSide
from bench.runs.execute.fitting import EvalSet
from bench.runs.execute.labels import normalise
from bench.util.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.datasets.base import Dataset


@dataclass(frozen=True)
class Sides:
    """Training, validation and test images of a run; test labels do not leave this process."""

    spec: RunSpec
    cache: DataCache
    policy: ImagePolicy | None
    """How images are decoded; None if the method only needs their names."""
    sources: tuple[selection.SourceSide, ...]

    @classmethod
    def of(cls, spec: RunSpec, cache: DataCache, policy: ImagePolicy | None) -> Sides:
        """The sides of a run. Raises `DataError` if the data changed since it was planned."""
        sources, found = cache.sources(spec.task, spec.fit.split, spec.repeat)
        sides = cls(spec, cache, policy, sources)
        fit, tested = spec.fit, sides.tested(spec.tested)[2]
        annotations = fit.annotations and cache.annotations(spec.task, fit.split, spec.repeat)
        now = (found, tested, annotations)
        if now != (fit.split_digests, spec.test_digest, fit.annotations):
            raise DataError(
                f"{spec.task.title}: the data changed after the run was planned; plan it again"
            )
        return sides

    def tested(self, side: TestSide) -> tuple[Dataset, selection.Rows, str]:
        """A test database, the rows of it that are predicted, and their digest."""
        task = self.spec.task.model_copy(update={"test": side.test, "side": side.side})
        rows, digest = self.cache.tested(task, self.spec.fit.split, self.spec.repeat)
        return self.cache.dataset(side.test), rows, digest

    def test(self, side: TestSide) -> EvalSet:
        """Images and labels of a test side."""
        dataset, rows, _ = self.tested(side)
        quality = dataset.quality[rows] if dataset.info.labelled else None
        images = self.cache.images(dataset.info.spec, self.policy)
        groups = {name: texts[rows] for name, texts in dataset.groupings.items()}
        known = dataset.known(rows)
        return EvalSet(images.subset(rows), quality, groups, known, dataset.info.spec)

    def known(self) -> pd.DataFrame:
        """The rows of the run's test images in their database's table, with their quality."""
        dataset, rows, _ = self.tested(self.spec.tested)
        return dataset.table.iloc[rows].assign(quality=dataset.quality[rows])

    def validation(self) -> tuple[EvalSet, ...]:
        """Validation images of each database that has some."""
        return tuple(
            EvalSet(
                self.cache.images(side.dataset.info.spec, self.policy).subset(side.val),
                side.dataset.quality[side.val],
                dataset=side.dataset.info.spec,
            )
            for side in self.sources
            if len(side.val)
        )

    def training(self) -> LabelledSet:
        """The training set of the fit, with labels scaled for each database."""
        fit = self.spec.fit
        sides = selection.balanced(self.sources) if fit.sampling == "balanced" else self.sources
        return selection.joined([self._labelled(side, fit) for side in sides])

    def _labelled(self, side: selection.SourceSide, fit: FitSpec) -> LabelledSet:
        # Balanced mixtures repeat rows; scaling needs each label once.
        dataset, rows = side.dataset, side.train
        scores = normalise(dataset.quality, np.unique(rows), fit.normalise, dataset)[rows]
        images = self.cache.images(dataset.info.spec, self.policy)
        return selection.labelled(dataset, rows, images, scores)

    def sizes(self) -> dict[str, int]:
        """Images on each side."""
        return {
            "train": sum(len(side.train) for side in self.sources),
            "val": sum(len(side.val) for side in self.sources),
            "test": len(self.tested(self.spec.tested)[1]),
        }

    def digests(self) -> dict[str, str]:
        """The databases' digests, by name."""
        used = [side.dataset for side in self.sources] + [self.tested(self.spec.tested)[0]]
        return {dataset.info.spec: dataset.digest for dataset in used}

    def predictions(self, columns: dict[str, npt.NDArray[Any]]) -> pd.DataFrame:
        """Image, quality, groups and the given columns, one row for each test image with a
        score."""
        import pandas as pd

        dataset, rows, _ = self.tested(self.spec.tested)
        own = {"image": dataset.table["image"].iloc[rows].to_numpy()}
        # The groups allow computing metrics within them later.
        groups = {name: texts[rows] for name, texts in dataset.groupings.items()}
        table = pd.DataFrame({**own, "quality": dataset.quality[rows], **columns, **groups})
        return table[table["prediction"].notna()]
