"""What a worker process is told: a file that `bench exec` reads, and the events it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.identity import digest
from bench.records import PretrainSpec, RunSpec, SplitRule, Task


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Work(_Model):
    """One run and what it takes to compute it."""

    spec: RunSpec
    """What is run."""
    settings: dict[str, Any]
    """The method's settings as given to it (paths included, unlike in `spec`)."""


class Pretraining(_Model):
    """One pre-trained state to compute."""

    spec: PretrainSpec
    """What is computed."""
    method: str
    """Method name, argument included."""
    settings: dict[str, Any]
    """The method's settings."""
    task: Task | None = None
    """The task whose test images stay out of the corpora; None leaves nothing out."""
    split: SplitRule = Field(default_factory=SplitRule)
    """How that task is split."""
    repeat: int = 0
    """Which of its splits."""
    split_corpora: bool = False
    """Whether corpora are split alike and give their training sides (`Protocol.split_corpora`)."""


class Job(_Model):
    """What one worker process does: a pre-training, or all runs of a method on a dataset."""

    title: str
    """For progress and logs."""
    results: Path
    """The results folder."""
    data_roots: list[Path] = Field(default_factory=list)
    """Where databases are looked for."""
    device: str = "cpu"
    """'cpu', 'cuda' or 'cuda:N'."""
    batch_size: int = 64
    """Images per inference batch."""
    keep: list[str] = Field(default_factory=list)
    """What runs store beside predictions."""
    runs: list[Work] = Field(default_factory=list)
    """Runs, in order."""
    pretraining: Pretraining | None = None
    """A pre-training instead of runs."""

    @property
    def job_id(self) -> str:
        """A name by content, for file names."""
        names = [work.spec.run_id for work in self.runs]
        return digest([names, self.pretraining.spec.key if self.pretraining else None])


class Event(_Model):
    """One line that a worker prints."""

    kind: Literal["start", "epoch", "done", "failed", "skipped", "note"]
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
