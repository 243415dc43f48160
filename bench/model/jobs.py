"""The job file that a worker process (`bench exec`) reads, and the events that it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from bench.model.records import PretrainSpec, RunSpec, SplitRule, Task, TestSide
from bench.model.resources import Resources
from bench.util.strict import StrictModel

EventKind = Literal[
    "start", "epoch", "done", "failed", "skipped", "elsewhere", "waiting", "note", "ended", "fatal"
]


class RunJob(StrictModel):
    """A run, with what is needed to compute it."""

    spec: RunSpec
    """What the run is."""
    settings: dict[str, Any]
    """Settings for the method; unlike in `spec`, files are given by path."""
    tests: list[TestSide] = Field(default_factory=list)
    """All test sides of the fit. The first one is evaluated during training."""
    replaces: str = ""
    """`Record.created` of the failed record that this run is to replace; '' for none. A failed
    record with another time comes from another process, and is kept."""

    @model_validator(mode="after")
    def _tests_itself(self) -> Self:
        self.tests.extend([] if self.tests else [self.spec.tested])
        return self


class Pretraining(StrictModel):
    """A pre-trained state, with what is needed to compute it."""

    spec: PretrainSpec
    """What the state is."""
    method: str
    """Method name, argument included."""
    settings: dict[str, Any]
    """The method's settings."""
    tasks: list[Task] = Field(default_factory=list)
    """The tasks whose test images are excluded from the corpora."""
    split: SplitRule = Field(default_factory=SplitRule)
    """How their databases are split."""
    repeat: int = 0
    """The repeat whose split counts."""
    split_corpora: bool = False
    """`Protocol.split_corpora`."""


class Job(StrictModel):
    """The work of one worker process: a pre-training, or a group of runs."""

    title: str
    """Name in the progress display and in logs."""
    results: Path
    """The results folder."""
    group: str = ""
    """Name that no other job has, valid in file names. The rest of a job whose worker died keeps
    the name, and with it the claims."""
    data_roots: list[Path] = Field(default_factory=list)
    """Folders that are searched for databases."""
    device: str = "cpu"
    """'cpu', 'cuda' or 'cuda:N'; 'auto' is resolved where the job runs."""
    needs: Resources = Resources()
    """The needs of its row."""
    estimate: float | None = None
    """Estimated seconds; None if not asked for or not known."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables of the worker process, e.g. which GPU it sees and how many threads it has."""
    batch_size: int = 64
    """Images per inference batch."""
    deterministic: bool = False
    """Whether torch may use deterministic operations only."""
    cuda_graphs: bool = False
    """Whether inference on a GPU may replay CUDA graphs."""
    compiled: bool = False
    """Whether frozen networks may be compiled."""
    exact: bool = False
    """Whether frozen networks stay in float32 on a GPU."""
    keep: list[str] = Field(default_factory=list)
    """What runs store besides predictions (`Protocol.keep`)."""
    metrics: list[str] = Field(default_factory=list)
    """Metrics that records hold besides the usual ones (`bench.metrics.USUAL`)."""
    time_limit: float | None = None
    """Seconds that one run may take; for a pre-training, seconds that one epoch may take."""
    runs: list[RunJob] = Field(default_factory=list)
    """Runs, in the order in which they are computed."""
    pretraining: Pretraining | None = None
    """A pre-training, in place of runs."""

    def without(self, run_id: str) -> Job:
        """A copy of the job without one of its runs."""
        left = [work for work in self.runs if work.spec.run_id != run_id]
        return self.model_copy(update={"runs": left})

    def with_last(self, run_id: str) -> Job:
        """A copy of the job with one of its runs at the end, so that the others need not wait."""
        runs = sorted(self.runs, key=lambda work: work.spec.run_id == run_id)
        return self.model_copy(update={"runs": runs})


class Event(StrictModel):
    """A message from a worker: one line of JSON on its standard output."""

    kind: EventKind
    """'skipped': the run has a record; 'elsewhere': another process is computing it; 'waiting': the
    worker waits for another process; 'ended': the whole job has ended; 'fatal': results cannot be
    written or a budget is spent, which ends the command."""
    run: str = ""
    """`run_id` of a run, or key of a pre-training."""
    title: str = ""
    """Text for the progress display."""
    epoch: int = 0
    """Number of finished epochs."""
    total: int | None = None
    """Number of all epochs; None if unknown."""
    loss: float | None = None
    """Training loss of the epoch."""
    value: float | None = None
    """The first metric of a finished run."""
    error: str = ""
    """The reason of a failure, in one line."""
    code: int = 0
    """The exit code of the whole command, for 'fatal'."""
