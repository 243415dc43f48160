"""One fit for all its tests: its state is kept until each of them has a record."""

from __future__ import annotations

import contextlib
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.model.jobs import RunJob
from bench.model.records import CurvePoint, Selection
from bench.runs.execute.fitting import (
    Calibration,
    EvaluatedEpoch,
    Predictions,
    Trajectory,
    checked,
)
from bench.runs.isolation import MethodProcess
from bench.store import Store
from bench.util.atomic import replacing, write_text
from bench.util.strict import StrictModel

if TYPE_CHECKING:
    from bench.runs.execute.fitting import EvalSet


class FitNote(StrictModel):
    """Facts on a fit, stored beside its state."""

    epoch: int
    """The epoch whose state was kept."""
    curve: list[CurvePoint]
    """Training, epoch by epoch; scores are those of the test set that is evaluated during it."""
    fit_seconds: float
    """Wall-clock seconds of training."""


@dataclass
class KeptState:
    """The stored state of one fit, which is removed once all its tests have records."""

    store: Store
    work: RunJob

    @property
    def several(self) -> bool:
        """Whether the fit has more than one test; otherwise nothing is kept."""
        return len(self.work.tests) > 1

    @property
    def path(self) -> Path:
        """The state itself, as the method saves it."""
        return self.store.root / "fits" / f"{self.work.spec.fit.fit_id}.safetensors"

    @property
    def _note(self) -> Path:
        return self.path.with_suffix(".json")

    def save(self, method: MethodProcess, trajectory: Trajectory, epoch: int) -> None:
        """Write the method's present state and its note."""
        if not (self.several and method.facts.saves):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as temporary:
            method.save(temporary)
        # The note last: a state without a note does not count as whole.
        note = FitNote(epoch=epoch, curve=trajectory.curve, fit_seconds=trajectory.fit_seconds)
        write_text(self._note, note.model_dump_json())

    def read(self) -> FitNote | None:
        """The note of a complete state; None without one."""
        if not (self.several and self.path.is_file()):
            return None
        with contextlib.suppress(OSError, ValueError):
            return FitNote.model_validate_json(self._note.read_text(encoding="utf-8"))
        return None

    def drop_when_done(self) -> None:
        """Remove the state once every test has a record."""
        if not self.several:
            return
        specs = (self.work.spec.model_copy(update=side.update()) for side in self.work.tests)
        if all(self.store.settled(spec) is not None for spec in specs):
            for file in (self.path, self._note):
                file.unlink(missing_ok=True)


@dataclass
class LiveFit:
    """A method that has learnt, in its process, and the course of its training."""

    fit_id: str
    method: MethodProcess
    trajectory: Trajectory | None
    """Training with evaluations; None if the state was read from disk."""
    note: FitNote
    _open: ExitStack

    @classmethod
    def opened(
        cls,
        fit_id: str,
        process: AbstractContextManager[MethodProcess],
    ) -> LiveFit:
        """A method's process that stays open until `close`."""
        stack = ExitStack()
        method = stack.enter_context(process)
        return cls(fit_id, method, None, FitNote(epoch=0, curve=[], fit_seconds=0.0), stack)

    def close(self) -> None:
        """End the process."""
        self._open.close()

    def predict(
        self, test: EvalSet, selection: Selection, validation: EvalSet | None = None
    ) -> Trajectory:
        """Predict one more test side with the state of the selected epoch.

        `validation` images of the same database are predicted for metrics fitted on them.
        """
        start = time.perf_counter()
        predictions = self._checked(test)
        seconds = time.perf_counter() - start
        calibration: dict[str, Calibration] = {}
        if validation is not None and validation.quality is not None:
            calibration[validation.dataset] = (self._checked(validation), validation.quality)
        curve = [point.model_copy(update={"test": None}) for point in self.note.curve]
        judged = test.judge(predictions)
        point = EvaluatedEpoch(self.note.epoch, predictions, judged, None, calibration)
        return Trajectory(curve, [point], self.note.fit_seconds, seconds, only=selection)

    def _checked(self, side: EvalSet) -> Predictions:
        method = self.method
        found = method.predict(side.images)
        return checked(method.name, side.images, found, method.facts.may_miss)
