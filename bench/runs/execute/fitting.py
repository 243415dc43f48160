"""Runs a method's `fit` and evaluates the method between epochs, with labels it never sees."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.model.records import CurvePoint, Selection
from bench.runs.isolation.memory import retry_smaller_batch
from bench.util.errors import BenchError

if TYPE_CHECKING:
    from bench.api import Epoch, Images, LabelledSet, Method
    from bench.metrics import Known
    from bench.runs.isolation import MethodProcess

Values = dict[str, float | None]
Predictions = npt.NDArray[np.float64]
Calibration = tuple[Predictions, Predictions]
"""Predictions and labels of validation images."""


class Interrupted(Exception):
    """The user asked to stop; raised between epochs."""


@dataclass(frozen=True)
class EvalSet:
    """Images to predict, and their labels, which the method never sees."""

    images: Images
    quality: npt.NDArray[np.float64] | None
    """(n,) labels, higher is better; None for a dataset without labels."""
    groups: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    """Column -> (n,) texts, for metrics within groups of images (`bench.metrics.GROUPS`)."""
    known: Known | None = None
    """Other facts on the images that metrics need."""
    dataset: str = ""
    """The database of the images."""

    def judge(
        self,
        predictions: Predictions,
        metrics: Sequence[str] = ("srcc", "plcc"),
        validation: Calibration | None = None,
    ) -> Values:
        """Metric -> value; None where undefined (a constant prediction), {} without labels.

        `validation` are predictions and labels of validation images of the same database, for
        metrics whose mapping is fitted there.
        """
        from bench.metrics import Known, compute

        if self.quality is None:
            return {}
        scored = ~np.isnan(predictions)  # all, unless the method may miss some (`checked`)
        groups = {name: texts[scored] for name, texts in self.groups.items()}
        known = replace((self.known or Known()).of(scored), validation=validation)
        values = compute(metrics, predictions[scored], self.quality[scored], groups, known)
        return {name: value if math.isfinite(value) else None for name, value in values.items()}


@dataclass
class EvaluatedEpoch:
    """Predictions at one evaluated epoch."""

    epoch: int
    predictions: Predictions
    test: Values
    val: Values | None
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    """Database -> predictions and labels of its validation images."""


@dataclass
class Trajectory:
    """The course of a training and the predictions of its evaluated epochs."""

    curve: list[CurvePoint] = field(default_factory=list)
    checkpoints: list[EvaluatedEpoch] = field(default_factory=list)
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    only: Selection | None = None
    """The only selection with predictions, if another test set was evaluated during training."""

    def chosen(self) -> dict[Selection, EvaluatedEpoch]:
        """The checkpoint that each selection reports; `val` only with validation images, and
        `best_test` only with labelled test images, unless there is nothing to choose."""
        if self.only is not None:
            return {self.only: self.checkpoints[-1]}
        chosen: dict[Selection, EvaluatedEpoch] = {"last": self.checkpoints[-1]}
        if len(self.checkpoints) == 1:  # nothing to choose, e.g. a method that does not train
            return {**chosen, "val": self.checkpoints[0], "best_test": self.checkpoints[0]}
        if all(point.val is not None for point in self.checkpoints):
            # Of equally good epochs, `max` takes the first one.
            chosen["val"] = max(self.checkpoints, key=lambda point: monitored(point.val))
        if all(point.test for point in self.checkpoints):
            chosen["best_test"] = max(self.checkpoints, key=lambda point: monitored(point.test))
        return chosen


def monitored(values: Mapping[str, float | None] | None) -> float:
    """SRCC + PLCC, by which the released codes select; an undefined one counts as -1."""
    # -1 is the worst value: a constant prediction must not win against any other.
    found = [(values or {}).get(name) for name in ("srcc", "plcc")]
    return sum(-1.0 if value is None else value for value in found)


@dataclass
class Fitting:
    """One run's training, evaluated every `every` epochs."""

    method: MethodProcess
    test: EvalSet
    val: tuple[EvalSet, ...]
    """Validation images, database by database."""
    selection: Selection
    every: int
    on_epoch: Callable[[int, Epoch], None] = lambda number, epoch: None
    stopping: Callable[[], bool] = lambda: False
    may_miss: float = 0.0
    """Share of images that the method may leave without a score."""
    on_best: Callable[[Trajectory, int], None] = lambda trajectory, epoch: None
    """Called while the method is in the state that is best so far: after each new best epoch or,
    under `selection: last`, after the last one."""

    def run(self, train: LabelledSet) -> Trajectory:
        """Train to the end. Raises `Interrupted` when asked to stop between epochs."""
        trajectory = Trajectory()
        generator = self.method.fit(train)
        reply: float | None = None
        number = 0
        while True:
            start = time.perf_counter()
            try:
                epoch = generator.send(reply)  # None at first, which starts the generator
            except StopIteration:
                trajectory.fit_seconds += time.perf_counter() - start
                break
            # Evaluations are not part of the training time.
            trajectory.fit_seconds += time.perf_counter() - start
            number += not epoch.start
            due = self._judges() and bool(self.every) and number % self.every == 0
            if due or not epoch.start:
                reply = self._reply(self._note(trajectory, number, epoch, due))
                self.on_epoch(number, epoch)
            if self.stopping():
                generator.close()
                raise Interrupted
        self._finish(trajectory, number)
        if self.selection == "last":
            self.on_best(trajectory, number)
        return trajectory

    def _judges(self) -> bool:
        """Whether there are labels for evaluations between epochs."""
        return self.test.quality is not None or bool(self.val)

    def _note(
        self, trajectory: Trajectory, number: int, epoch: Epoch, due: bool
    ) -> EvaluatedEpoch | None:
        checkpoint = self._evaluate(trajectory, number) if due else None
        trajectory.curve.append(
            CurvePoint(
                epoch=number,
                loss=_finite(epoch.loss),
                diagnostics={name: _finite(value) for name, value in epoch.diagnostics.items()},
                seconds=round(trajectory.fit_seconds, 4),
                test=(checkpoint.test or None) if checkpoint else None,
                val=checkpoint.val if checkpoint else None,
            )
        )
        return checkpoint

    def _finish(self, trajectory: Trajectory, number: int) -> None:
        """Evaluate the state after the last epoch, unless that was done."""
        points = trajectory.checkpoints
        if points and points[-1].epoch == number:
            return
        last = self._evaluate(trajectory, number)
        if trajectory.curve:
            update = {"test": last.test or None, "val": last.val}
            trajectory.curve[-1] = trajectory.curve[-1].model_copy(update=update)

    def _reply(self, checkpoint: EvaluatedEpoch | None) -> float | None:
        """The score that the method may see: on validation images, or on test images under
        `selection: best_test`."""
        if checkpoint is None or self.selection == "last":
            return None
        return monitored(checkpoint.val if self.selection == "val" else checkpoint.test)

    def _evaluate(self, trajectory: Trajectory, number: int) -> EvaluatedEpoch:
        start = time.perf_counter()
        predictions = self._predict(self.test.images)
        trajectory.predict_seconds += time.perf_counter() - start
        found = [(side, self._predict(side.images)) for side in self.val]
        val = _mean([side.judge(values) for side, values in found])
        calibration = {
            side.dataset: (values, side.quality)
            for side, values in found
            if side.quality is not None
        }
        point = EvaluatedEpoch(number, predictions, self.test.judge(predictions), val, calibration)
        trajectory.checkpoints.append(point)
        if self.selection != "last" and trajectory.chosen().get(self.selection) is point:
            self.on_best(trajectory, number)
        return point

    def _predict(self, images: Images) -> Predictions:
        return checked(self.method.name, images, self.method.predict(images), self.may_miss)


def _mean(values: Sequence[Values]) -> Values | None:
    """Each metric's mean over databases, None where it is undefined on one; None without any."""
    if not values:
        return None
    means: Values = {}
    for name in values[0]:
        found = [item[name] for item in values]
        known = [value for value in found if value is not None]
        means[name] = sum(known) / len(known) if len(known) == len(found) else None
    return means


def predict(method: Method, images: Images) -> Predictions:
    """Checked predictions, one finite number for each image.

    An out-of-memory error halves the inference batch and tries again.
    """
    return retry_smaller_batch(
        method,
        lambda: checked(method.name, images, method.predict(images), method.may_miss),
    )


def checked(name: str, images: Images, predictions: Any, may_miss: float = 0.0) -> Predictions:
    """Predictions, (n,) float64; NaN for at most a share `may_miss` of the images.

    Raises `BenchError` for another shape, for infinity, and for more NaN.
    """
    values = np.asarray(predictions, dtype=np.float64)
    if values.shape != (len(images),):
        raise BenchError(
            f"{name}.predict gave shape {values.shape} for {len(images)} images; "
            f"expected ({len(images)},)"
        )
    broken = np.flatnonzero(~np.isfinite(values))
    missed = int(np.isnan(values).sum())
    if len(broken) > missed or missed > may_miss * len(values):
        names = ", ".join(images.names[index] for index in broken[:3])
        raise BenchError(
            f"{name} predicted {len(broken)} values that are not numbers, e.g. for {names}"
        )
    return values


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
