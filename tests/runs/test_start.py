"""The state before training as a candidate: what `Epoch.start` makes of a fit."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from bench.api import ArrayImages, Context, Epoch, LabelledSet, Method
from bench.runs.execute.fitting import EvalSet, Fitting, Trajectory

QUALITY = np.arange(6.0)
IMAGES = ArrayImages([np.full((2, 2, 3), value, np.uint8) for value in range(6)])
TRAIN: Any = LabelledSet("toy", IMAGES, QUALITY, *(((None,) * 6,) * 4), ("toy",) * 6)


class Unlearner(Method):
    """Right before training; every epoch makes it worse."""

    name = "unlearner"
    first = True

    def __init__(self) -> None:
        super().__init__(self.Settings(), Context())
        self.epochs = 0
        self.told: list[float | None] = []

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        if self.first:
            self.told.append((yield Epoch(math.nan, start=True)))
        for epoch in range(1, 5):
            self.epochs = epoch
            self.told.append((yield Epoch(0.1 * epoch)))

    def predict(self, images: Any) -> Any:
        values = np.array([image.mean() for image in images])
        values[: self.epochs] = values[: self.epochs][::-1] + 1
        return values


def fitted(every: int, selection: Any, first: bool = True) -> tuple[Unlearner, Trajectory]:
    method = Unlearner()
    method.first = first
    here: Any = method  # as its own process answers
    side = EvalSet(IMAGES, QUALITY)
    return method, Fitting(here, side, (side,), selection, every).run(TRAIN)


@pytest.mark.parametrize("selection", ["best_test", "val"])
def test_the_state_before_training_can_be_chosen(selection: Any) -> None:
    method, trajectory = fitted(2, selection)
    assert trajectory.chosen()[selection].epoch == 0
    assert trajectory.chosen()["last"].epoch == 4
    assert [point.epoch for point in trajectory.checkpoints] == [0, 2, 4]
    assert [point.epoch for point in trajectory.curve] == [0, 1, 2, 3, 4]
    assert trajectory.curve[0].loss is None
    assert method.told[0] == pytest.approx(2)
    assert method.told[1] is None  # epoch 1 is not due
    assert method.told[2] is not None


def test_without_a_start_the_first_candidate_is_an_epoch() -> None:
    method, trajectory = fitted(2, "best_test", first=False)
    assert [point.epoch for point in trajectory.checkpoints] == [2, 4]
    assert len(method.told) == 4


def test_no_evaluations_between_epochs_mean_none_of_the_start() -> None:
    method, trajectory = fitted(0, "last")
    assert [point.epoch for point in trajectory.checkpoints] == [4]
    assert [point.epoch for point in trajectory.curve] == [1, 2, 3, 4]
    assert method.told == [None] * 5
