"""The method that is checked, with small settings: built, and trained once for all rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import registry
from bench.api import BenchError, Context, LabelledSet, Method
from bench.runs.conformance.sample_images import COUNT, Pictures, seen

Scores = npt.NDArray[np.float64]
LOWEST, HIGHEST = 0.1, 0.9
"""Labels of the worst and of the best graded picture."""


class Broken(Exception):
    """A rule of the contract that a method breaks; the text says how."""


class Inapplicable(Exception):
    """A rule that does not concern a method; the text says why."""


@dataclass(frozen=True)
class TrainedMethod:
    """A method after `fit`, its training set, and its scores of that set."""

    method: Method
    train: LabelledSet
    scores: Scores


@dataclass
class Subject:
    """A method by NAME or NAME:ARGUMENT, and the pictures to check it with."""

    case: str
    pictures: Pictures
    given: Mapping[str, Any] = field(default_factory=dict)
    """Settings that override the method's own small ones."""
    count: int = COUNT
    """Number of graded pictures that it learns from; fewer for slow networks."""
    strict: bool = True
    """Whether the scores of a learner must follow its labels, not only move towards them."""

    def __post_init__(self) -> None:
        name, argument = registry.split_name(registry.full_name(self.case))
        self.cls = registry.load(name)
        backbone = {"backbone": "tiny"} if "backbone" in self.cls.Settings.model_fields else {}
        values = {**backbone, **self.cls.small(argument), **self.given}
        self.settings = registry.settings_for(self.case, values)[1]

    def build(self, seed: int = 3) -> Method:
        """The method, untrained."""
        method = self.cls(self.settings, Context(seed=seed))
        if known := method.oracle_of():
            method.context.labels = _labels(known)
        return method

    def labelled(self, method: Method) -> LabelledSet:
        """Graded pictures with all annotations; later ones are better."""
        count = self.count
        scores = np.linspace(LOWEST, HIGHEST, count)
        scores.setflags(write=False)
        return LabelledSet(
            dataset="graded",
            images=seen(self.pictures.graded[:: COUNT // count], method.policy),
            scores=scores,
            references=tuple(f"r{index // 2}" for index in range(count)),
            distortions=tuple("noise" if index % 2 else "blur" for index in range(count)),
            levels=(1,) * count,
            scenes=tuple("human" if index % 2 else "plant" for index in range(count)),
            sources=("graded",) * count,
        )

    @cached_property
    def trained(self) -> TrainedMethod:
        """The method trained once for all rules, with predictions between epochs."""
        method = self.build()
        train = self.labelled(method)
        for _ in method.fit(train):
            method.predict(train.images.subset([0]))
        return TrainedMethod(method, train, np.asarray(method.predict(train.images)))


def turned(train: LabelledSet) -> LabelledSet:
    """The same images with reversed labels."""
    return replace(train, scores=train.scores[::-1].copy())


def _labels(database: str) -> dict[str, float]:
    from bench.data import datasets

    dataset = datasets.load(database)
    return dict(zip(dataset.table["image"], dataset.quality.tolist(), strict=True))


def require(holds: bool, otherwise: str) -> None:
    """Raise `Broken` with a text unless something holds."""
    if not holds:
        raise Broken(otherwise)


def refused(error: BenchError) -> bool:
    """Whether an error reports weights that are not on this machine, which breaks no rule."""
    return "not on this machine" in str(error)
