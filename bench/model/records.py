"""What a run is and what it leaves behind. The order and meaning of fields are part of the format.

Schema changes raise `SCHEMA`; a reader refuses newer records by name and never guesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field

from bench.model.identity import digest
from bench.util.environment import Environment
from bench.util.strict import StrictModel

SCHEMA = 1

Selection = Literal["last", "val", "best_test"]
Status = Literal["done", "failed"]


def refuse_newer(schema: object) -> None:
    """Raise `ValueError` for a file whose `schema_version` this version cannot read."""
    if isinstance(schema, int) and schema > SCHEMA:
        raise ValueError(f"schema {schema} is newer than this iqa-bench reads ({SCHEMA})")


class Task(StrictModel):
    """What is learnt from and what is predicted."""

    train: str
    """Dataset whose labels are learnt, as NAME or NAME@VERSION."""
    test: str
    """Dataset that is predicted; the same as `train` except across datasets."""
    labels: int | None = None
    """Label budget: how many training images have labels. None: all of the training side."""
    ratio: float | None = None
    """Training ratio: images of the training side as a fraction of the whole dataset."""
    zero_shot: bool = False
    """No label is learnt at all; `fit` is not called."""

    @property
    def budget(self) -> str:
        """How much is learnt from, for tables: '50', '20%', 'zero-shot' or 'all'."""
        if self.zero_shot:
            return "zero-shot"
        if self.labels is not None:
            return str(self.labels)
        return f"{self.ratio * 100:g}%" if self.ratio is not None else "all"

    @property
    def title(self) -> str:
        """The dataset, or 'A → B' across datasets."""
        return task_title(self.train, self.test)


def task_title(train: str, test: str) -> str:
    """What is learnt from and predicted, as text says it.

    >>> task_title("livec", "livec"), task_title("livec", "koniq10k")
    ('livec', 'livec → koniq10k')
    """
    return test if train == test else f"{train} → {test}"


def budget_title(budget: str) -> str:
    """A label budget as text says it.

    >>> budget_title("50"), budget_title("20%"), budget_title("all"), budget_title("zero-shot")
    ('50 labels', '20% for training', 'all labels', 'zero-shot')
    """
    if budget.isdigit():
        return f"{budget} labels"
    return {"all": "all labels", "zero-shot": "zero-shot"}.get(budget, f"{budget} for training")


class SplitRule(StrictModel):
    """How images are divided; with the dataset and the repeat it fixes every split."""

    scheme: str = "random"
    """'random', 'official', or a published split's name."""
    seed: int = 0
    """Protocol seed of random splits."""
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of groups (references, or images where there are none) held out for testing."""
    validation: float = Field(default=0.0, ge=0, lt=1)
    """Share of the labelled training side held out for selection; 0 unless `selection: val`."""


class RunSpec(StrictModel):
    """All that defines a run's result, and nothing else (no path, device, batch size or label)."""

    schema_version: int = SCHEMA
    """Version of this identity; a change would rerun everybody's results."""
    task: Task
    """What is learnt from and predicted."""
    split: SplitRule
    """How images are divided."""
    split_digest: str
    """SHA-256 over the split's image names and labels."""
    repeat: int = Field(ge=0)
    """The k-th seeded split, from 0."""
    method: str
    """Full name, argument included: 'pyiqa:piqe'."""
    method_version: str
    """The version the method's class declares."""
    settings: dict[str, Any]
    """All settings, defaults and recipe filled in."""
    weights: dict[str, str] = Field(default_factory=dict)
    """Name and digest of the backbone's weights, {} for a method without backbone."""
    pretrained: str | None = None
    """Name by content of the pre-trained state, None without pre-training."""
    selection: Selection = "last"
    """Which epoch counts: the last, the best on validation, or the best on the test set."""
    evaluate_every: int = Field(default=0, ge=0)
    """Epochs between evaluations; 0 evaluates once, at the end."""
    normalise: Literal["minmax_train", "range", "none"] = "minmax_train"
    """How training labels are scaled."""

    @cached_property
    def run_id(self) -> str:
        """The run's name: a hash of everything above, worked out once (it is asked for often)."""
        return digest(self.model_dump(mode="json"))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, which works out its own name."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("run_id", None)
        return copy

    @property
    def seed(self) -> int:
        """Seed of the run's randomness: the same for every method on one split (paired)."""
        own = self.model_dump(mode="json", include={"task", "split_digest", "repeat"})
        return int(digest(own, 15), 16)


class PretrainSpec(StrictModel):
    """All that defines a pre-trained state; `key` names its file."""

    schema_version: int = SCHEMA
    """Version of this identity."""
    method: str
    """Method name without argument."""
    method_version: str
    """The version the method's class declares."""
    settings: dict[str, Any]
    """The settings that define the state (`Method.pretrain_settings`)."""
    weights: dict[str, str] = Field(default_factory=dict)
    """Name and digest of the backbone's weights."""
    corpora: dict[str, str]
    """Dataset -> SHA-256 over the names and labels of the images used."""

    @property
    def key(self) -> str:
        """The state's name: a hash of everything above."""
        return digest(self.model_dump(mode="json"))

    @property
    def seed(self) -> int:
        """Seed of the pre-training's randomness."""
        return int(digest([self.key, "pretrain"], 15), 16)


class CurvePoint(StrictModel):
    """One epoch of training."""

    epoch: int
    """From 1."""
    loss: float | None
    """Mean training loss; None where it was not finite."""
    diagnostics: dict[str, float | None] = Field(default_factory=dict)
    """Named numbers from the method, e.g. the gradient angle in degrees."""
    seconds: float
    """Training time since the start of `fit`, evaluation left out."""
    test: dict[str, float | None] | None = None
    """Metrics on the test images, where this epoch was evaluated."""
    val: dict[str, float | None] | None = None
    """Metrics on the validation images, where there are any."""


class Record(StrictModel):
    """One finished run, written once and whole."""

    schema_version: int = SCHEMA
    """Version of this format."""
    run_id: str
    """`spec.run_id`."""
    status: Status
    """done or failed; a run without a record has not run."""
    spec: RunSpec
    """What was run."""
    metrics: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """Selection -> metric -> value on the test images. None: undefined (a constant prediction);
    no metric at all where the test images have no labels."""
    chosen_epoch: dict[str, int] = Field(default_factory=dict)
    """Selection -> epoch whose predictions it reports; 0 for methods that do not train."""
    curve: list[CurvePoint] = Field(default_factory=list)
    """Training, epoch by epoch."""
    sizes: dict[str, int] = Field(default_factory=dict)
    """Images on each side: train, val, test."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """fit, predict and total wall-clock seconds."""
    peak_memory_mb: float | None = None
    """Peak memory of the device (GPU) or of the process (CPU), in MiB."""
    image_policy: str = ""
    """How images were decoded."""
    digests: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the dataset tables, by role."""
    trained_on: list[str] = Field(default_factory=list)
    """Datasets whose labels the method's weights had seen before `fit`."""
    notes: list[str] = Field(default_factory=list)
    """What a reader should know, e.g. a loss term left out for want of labels."""
    error: str | None = None
    """One line, for a failed run."""
    traceback: str | None = None
    """The whole traceback, for a failed run."""
    environment: Environment = Field(default_factory=Environment)
    """Where it ran."""
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """When it was written, UTC."""

    @property
    def judged(self) -> bool:
        """Whether the test images had labels; without, a done run leaves predictions alone."""
        return any(self.metrics.values())

    def value(self, metric: str, selection: str | None = None) -> float | None:
        """One metric under a selection (the run's own by default); None where undefined."""
        return self.metrics.get(selection or self.spec.selection, {}).get(metric)
