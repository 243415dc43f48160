"""What a worker process is told: a file that `bench exec` reads, and the events it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from bench.model.records import PretrainSpec, RunSpec, SplitRule, Task, TestSide
from bench.util.strict import StrictModel

EventKind = Literal[
    "start", "epoch", "done", "failed", "skipped", "elsewhere", "waiting", "note", "ended", "fatal"
]


class RunJob(StrictModel):
    """One run and what it takes to compute it."""

    spec: RunSpec
    """What is run."""
    settings: dict[str, Any]
    """The method's settings as given to it (paths included, unlike in `spec`)."""
    tests: list[TestSide] = Field(default_factory=list)
    """All test sides of its fit, the one first whose scores are watched while training."""
    replaces: str = ""
    """When the failed record was written that this run is to replace; '' for none. A failed record
    of another time is another process's result, and stays."""

    @model_validator(mode="after")
    def _tests_itself(self) -> Self:
        self.tests.extend([] if self.tests else [self.spec.tested])
        return self


class Pretraining(StrictModel):
    """One pre-trained state to compute."""

    spec: PretrainSpec
    """What is computed."""
    method: str
    """Method name, argument included."""
    settings: dict[str, Any]
    """The method's settings."""
    tasks: list[Task] = Field(default_factory=list)
    """The tasks whose test images stay out of the corpora; none leaves nothing out."""
    split: SplitRule = Field(default_factory=SplitRule)
    """How their databases are split."""
    repeat: int = 0
    """Which of its splits."""
    split_corpora: bool = False
    """Whether corpora are split alike and give their training sides (`Protocol.split_corpora`)."""


class Job(StrictModel):
    """What one worker process does: a pre-training, or all runs of a method on a dataset."""

    title: str
    """For progress and logs."""
    results: Path
    """The results folder."""
    group: str = ""
    """A name that no other job has, safe in file names. What is left of a job after its worker died
    keeps the name, and with it the claims."""
    data_roots: list[Path] = Field(default_factory=list)
    """Where databases are looked for."""
    device: str = "cpu"
    """'cpu', 'cuda' or 'cuda:N'; 'auto' is resolved where the job runs."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables of the worker process, e.g. which GPU it sees and how many threads it has."""
    batch_size: int = 64
    """Images per inference batch."""
    deterministic: bool = False
    """Whether torch may use deterministic operations only."""
    cuda_graphs: bool = False
    """Whether inference on a GPU may replay CUDA graphs."""
    keep: list[str] = Field(default_factory=list)
    """What runs store beside predictions."""
    time_limit: float | None = None
    """Seconds for one run; for a pre-training, seconds from one epoch to the next."""
    runs: list[RunJob] = Field(default_factory=list)
    """Runs, in order."""
    pretraining: Pretraining | None = None
    """A pre-training instead of runs."""

    def without(self, run_id: str) -> Job:
        """The job without one of its runs."""
        left = [work for work in self.runs if work.spec.run_id != run_id]
        return self.model_copy(update={"runs": left})

    def with_last(self, run_id: str) -> Job:
        """The job with one of its runs at the end: the others are not to wait for it."""
        runs = sorted(self.runs, key=lambda work: work.spec.run_id == run_id)
        return self.model_copy(update={"runs": runs})


class Event(StrictModel):
    """One line that a worker prints."""

    kind: EventKind
    """'skipped': its record is there; 'elsewhere': another process is computing it; 'waiting': for
    another process, before going on; 'ended': the job as a whole; 'fatal': results cannot be
    written, which ends the whole command."""
    run: str = ""
    """run_id, or the key of a pre-training."""
    title: str = ""
    """What to show."""
    epoch: int = 0
    """Epochs done."""
    total: int | None = None
    """Epochs in all, where known."""
    loss: float | None = None
    """Training loss of the epoch."""
    value: float | None = None
    """The first metric of a finished run."""
    error: str = ""
    """One line, for a failure."""
