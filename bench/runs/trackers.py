"""Sends losses and results to TensorBoard, Weights & Biases or MLflow while runs are computed.

A tracker gets the same events as the progress display and nothing else: it cannot change a run,
and a tracker that fails is dropped with a message.
"""

from __future__ import annotations

import importlib.util
import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.model.jobs import Event, Job
from bench.util.errors import UsageError, unknown

PROJECT = "iqa-bench"
"""Project of Weights & Biases, and experiment of MLflow."""
_NOT_MLFLOW = re.compile(r"[^A-Za-z0-9_\-. /]+")
"""Characters that MLflow refuses in names of metrics."""


class Tracker(ABC):
    """A service or folder that receives numbers."""

    @abstractmethod
    def scalar(self, name: str, value: float, step: int) -> None:
        """One value of a curve: `step` is an epoch or a repeat, from 0."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left, once all runs have ended."""


@dataclass(frozen=True)
class Command:
    """Facts on the command that trackers store."""

    folder: Path
    """Folder of their files, under the results folder."""
    name: str
    """Unique among all commands."""
    about: Mapping[str, str]
    """Protocol, methods and datasets."""


class TensorBoard(Tracker):
    """Event files, which `tensorboard --logdir` shows."""

    def __init__(self, command: Command) -> None:
        # TensorBoard's own writer: the one of torch would load torch into the command itself.
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = command.folder / "tensorboard" / command.name
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventFileWriter(str(folder))

    def scalar(self, name: str, value: float, step: int) -> None:
        """Add a point to the event file."""
        import time

        from tensorboard.compat.proto.event_pb2 import Event as Message
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        self._writer.add_event(Message(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Flush the file."""
        self._writer.close()


class Wandb(Tracker):
    """A run of Weights & Biases; WANDB_MODE=offline keeps it under the results folder."""

    def __init__(self, command: Command) -> None:
        import wandb

        folder = command.folder / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=command.name,
            dir=str(folder),
            config=dict(command.about),
        )
        self._known: set[str] = set()

    def scalar(self, name: str, value: float, step: int) -> None:
        """Log a value with its own step axis: W&B's steps must grow, but several runs report
        epochs."""
        axis = f"{name} step"
        if name not in self._known:
            self._known.add(name)
            self._run.define_metric(name, step_metric=axis)
        self._run.log({name: value, axis: step})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class Mlflow(Tracker):
    """A run of MLflow, at MLFLOW_TRACKING_URI or else in a database under the results folder."""

    def __init__(self, command: Command) -> None:
        from mlflow import MlflowClient

        folder = (command.folder / "mlflow").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        own = f"sqlite:///{folder / 'mlflow.db'}"
        self._client: Any = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or own)
        found = self._client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else self._client.create_experiment(PROJECT)
        self._id = self._client.create_run(experiment, run_name=command.name).info.run_id
        for key, value in command.about.items():
            self._client.log_param(self._id, key, value)

    def scalar(self, name: str, value: float, step: int) -> None:
        """Log a metric; MLflow allows few characters in its name."""
        self._client.log_metric(self._id, _NOT_MLFLOW.sub("_", name), value, step=step)

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._id)


TRACKERS: Mapping[str, Callable[[Command], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": Mlflow,
}
"""Values of `--log`. Each is also the name of a package and of the extra that installs it."""


def require(names: Sequence[str]) -> None:
    """Raise `UsageError` for an unknown tracker, and for one whose package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS, "--log")
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"--log {name} needs its package: pip install 'iqa-bench[{name}]'")


@dataclass
class Telling:
    """Turns events into points of curves: a loss by epoch, and a result by repeat."""

    trackers: dict[str, Tracker]
    say: Callable[[str], None]
    """Shows the user a line."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _places: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Run at work -> its title and repeat."""

    def listen(self, job: Job, event: Event) -> None:
        """Take in one event; called from several threads."""
        if event.kind == "start":
            # Stored now, because the job no longer holds the run when it ends.
            self._places[event.run] = _place(job, event.run)
        elif event.kind == "epoch" and event.loss is not None:
            self._tell(f"loss/{self._curve(job, event)}", event.loss, event.epoch)
        elif event.kind == "done" and event.value is not None:
            title, repeat = self._places.pop(event.run, (job.title, 0))
            self._tell(f"srcc/{title}", event.value, repeat)

    def _curve(self, job: Job, event: Event) -> str:
        """Name of the run or pre-training that a curve of losses belongs to."""
        if job.pretraining is not None:
            return job.title
        title, repeat = self._places.get(event.run, (job.title, 0))
        return f"{title}/repeat {repeat}"

    def _tell(self, name: str, value: float, step: int) -> None:
        with self._lock:
            for title, tracker in list(self.trackers.items()):
                try:
                    tracker.scalar(name, value, step)
                except Exception as error:  # an unreachable service must not fail a run
                    del self.trackers[title]
                    self.say(f"--log {title} failed and gets nothing more: {_first_line(error)}")

    def close(self) -> None:
        """Close all trackers."""
        for title, tracker in self.trackers.items():
            try:
                tracker.close()
            except Exception as error:  # as above; results are stored by now
                self.say(f"--log {title} could not be closed: {_first_line(error)}")


@contextmanager
def telling(
    names: Sequence[str], command: Command, say: Callable[[str], None]
) -> Iterator[Callable[[Job, Event], None]]:
    """A listener that sends events to these trackers. Raises `UsageError` if one does not start."""
    told = Telling({}, say)
    try:
        for name in dict.fromkeys(names):
            try:
                told.trackers[name] = TRACKERS[name](command)
            except Exception as error:  # each library has its own
                raise UsageError(f"--log {name} does not start: {_first_line(error)}") from error
        yield told.listen
    finally:
        told.close()


def _place(job: Job, run_id: str) -> tuple[str, int]:
    """A run's method, database and budget as a title, and its repeat."""
    for work in job.runs:
        if work.spec.run_id == run_id:
            tested = f" on {work.spec.test}" if len(work.tests) > 1 else ""
            return f"{job.title}, {work.spec.task.budget}{tested}", work.spec.repeat
    return job.title, 0


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
