"""What a run is and what it leaves behind. The order and meaning of fields are part of the format.

A note that begins with `TABLE_NOTE` stands under every table that shows the run's cell.

Schema changes raise `SCHEMA`; a reader refuses newer records by name and never guesses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from bench.model.identity import digest
from bench.util.environment import Environment

SCHEMA = 2
TABLE_NOTE = "§ "

Selection = Literal["last", "val", "best_test"]
Status = Literal["done", "failed"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


JOINT = "+"
"""Between the names of databases that one fit learns from together."""


class Task(_Model):
    """What is learnt from and what is predicted: one column of a table."""

    train: str
    """Databases whose labels are learnt, each NAME or NAME@VERSION, joined by '+'; '' for none."""
    test: str
    """Database that is predicted."""
    labels: int | None = None
    """Label budget: how many training images of each database have labels. None: all of them."""
    ratio: float | None = None
    """Training ratio: images of the training side as a fraction of the whole database."""
    zero_shot: bool = False
    """No label is learnt at all; `fit` is not called."""
    learn: Literal["side", "all"] = "side"
    """Whether a fit learns from the training side of each database's split, or from all of it."""
    side: Literal["own", "whole"] = "own"
    """Whether the test side of the database's split is predicted, or all of it."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The databases that are learnt from."""
        return tuple(self.train.split(JOINT)) if self.train else ()

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
        """The database, or 'A → B' where others are learnt from."""
        return task_title(self.train, self.test)


def task_title(train: str, test: str) -> str:
    """What is learnt from and predicted, as text says it.

    >>> task_title("livec", "livec"), task_title("livec", "koniq10k"), task_title("", "livec")
    ('livec', 'livec → koniq10k', 'livec')
    """
    return test if train in ("", test) else f"{train} → {test}"


def budget_title(budget: str) -> str:
    """A label budget as text says it.

    >>> budget_title("50"), budget_title("20%"), budget_title("all"), budget_title("zero-shot")
    ('50 labels', '20% for training', 'all labels', 'zero-shot')
    """
    if budget.isdigit():
        return f"{budget} labels"
    return {"all": "all labels", "zero-shot": "zero-shot"}.get(budget, f"{budget} for training")


class SplitRule(_Model):
    """How images are divided; with the dataset and the repeat it fixes every split."""

    scheme: str = "random"
    """'random', 'official', or a published split's name."""
    version: int = 2
    """Of random splits: since 2, equal pictures of one database stay on one side."""
    seed: int = 0
    """Protocol seed of random splits."""
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of groups (references, or images where there are none) held out for testing."""
    validation: float = Field(default=0.0, ge=0, lt=1)
    """Share of the labelled training side held out for selection; 0 unless `selection: val`."""


class _Named(_Model):
    """A specification whose name is a hash of its content."""

    @cached_property
    def _name(self) -> str:
        return digest(self.model_dump(mode="json"))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, which works out its own name."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("_name", None)
        return copy


class FitSpec(_Named):
    """All that defines what is learnt; one fit serves all its tests."""

    schema_version: int = SCHEMA
    """Version of this identity; a change would rerun everybody's results."""
    train: str
    """Databases whose labels are learnt, joined by '+'; '' for none."""
    learn: Literal["side", "all"] = "side"
    """The training side of each database's split, or all of it."""
    labels: int | None = None
    """Label budget of each database."""
    ratio: float | None = None
    """Training ratio of each database."""
    zero_shot: bool = False
    """No label is learnt at all."""
    sampling: Literal["proportional", "balanced"] = "proportional"
    """Whether larger databases count for more, or all for the same."""
    split: SplitRule
    """How images are divided."""
    split_digests: tuple[str, ...]
    """SHA-256 over names and labels of the training, then of the validation images, database by
    database. Of a record of schema 1, the one digest of its whole split."""
    repeat: int = Field(ge=0)
    """The k-th seeded split, from 0."""
    annotations: str | None = None
    """SHA-256 over scenes and distortions of the training images, for a method that learns from
    them; None for others."""
    method: str
    """Full name, argument included: 'pyiqa:piqe'."""
    method_version: str
    """The version the method's class declares."""
    code: str
    """Digest of the method's own source (`bench.source`); 'unknown' in records of schema 1."""
    settings: dict[str, Any]
    """All settings, defaults and recipe filled in."""
    weights: dict[str, str] = Field(default_factory=dict)
    """Name and digest of the backbone's weights, {} for a method without backbone."""
    pretrained: str | None = None
    """Name by content of the pre-trained state, None without pre-training."""
    image_policy: str = ""
    """How images are decoded: size and resize kernel."""
    selection: Selection = "last"
    """Which epoch counts: the last, the best on validation, or the best on a test set."""
    monitored: str | None = None
    """Under `best_test`, the test database whose scores choose the epoch."""
    evaluate_every: int = Field(default=0, ge=0)
    """Epochs between evaluations; 0 evaluates once, at the end."""
    normalise: Literal["minmax_train", "range", "none"] = "minmax_train"
    """How training labels are scaled, database by database."""

    @property
    def fit_id(self) -> str:
        """The fit's name: a hash of everything above."""
        return self._name

    @property
    def seed(self) -> int:
        """Seed of the fit's randomness: the same for every method on one split (paired)."""
        # Names of databases and the rule, not of images: a renamed file changes no random number.
        include = {"train", "learn", "labels", "ratio", "zero_shot", "split", "repeat"}
        return int(digest(self.model_dump(mode="json", include=include), 15), 16)


class TestSide(_Model):
    """What one run of a fit predicts."""

    __test__ = False  # no test of pytest's

    test: str
    """Database that is predicted."""
    side: Literal["own", "whole"] = "own"
    """The test side of the database's split, or all of it."""
    test_digest: str
    """SHA-256 over names and labels of the test images."""

    def update(self) -> dict[str, str]:
        """The fields of a `RunSpec` that it stands for."""
        return {"test": self.test, "side": self.side, "test_digest": self.test_digest}


class RunSpec(_Named):
    """All that defines a run's result, and nothing else (no path, device, batch size or label)."""

    schema_version: int = SCHEMA
    """Version of this identity; a change would rerun everybody's results."""
    fit: FitSpec
    """What was learnt."""
    test: str
    """Database that is predicted."""
    side: Literal["own", "whole"] = "own"
    """The test side of the database's split, or all of it."""
    test_digest: str
    """SHA-256 over names and labels of the test images; '' in records of schema 1."""

    @classmethod
    def of(cls, task: Task, test_digest: str, **fit: Any) -> RunSpec:
        """A run of one task; `fit` are the fields of its `FitSpec` that the task leaves open."""
        learnt = task.model_dump(include={"train", "learn", "labels", "ratio", "zero_shot"})
        learning = FitSpec(**learnt, **fit)
        return cls(fit=learning, test=task.test, side=task.side, test_digest=test_digest)

    def learning(self, **changes: Any) -> RunSpec:
        """The run of a fit that differs in these fields."""
        return self.model_copy(update={"fit": self.fit.model_copy(update=changes)})

    @property
    def run_id(self) -> str:
        """The run's name: a hash of everything above, worked out once (it is asked for often)."""
        return self._name

    @property
    def task(self) -> Task:
        """The column of a table that the run belongs to."""
        fit = self.fit
        return Task(
            train=fit.train,
            test=self.test,
            labels=fit.labels,
            ratio=fit.ratio,
            zero_shot=fit.zero_shot,
            learn=fit.learn,
            side=self.side,
        )

    @property
    def tested(self) -> TestSide:
        """What is predicted."""
        return TestSide(test=self.test, side=self.side, test_digest=self.test_digest)

    @property
    def split_digest(self) -> str:
        """SHA-256 over all that was divided: training, validation and test images."""
        if not self.test_digest:  # of schema 1, which knew no other
            return self.fit.split_digests[0]
        parts = [*self.fit.split_digests, self.test_digest]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def repeat(self) -> int:
        """The k-th seeded split, from 0."""
        return self.fit.repeat

    @property
    def method(self) -> str:
        """Full name of the method, argument included."""
        return self.fit.method

    @property
    def selection(self) -> Selection:
        """Which epoch counts."""
        return self.fit.selection

    @property
    def seed(self) -> int:
        """Seed of the fit's randomness."""
        return self.fit.seed


class PretrainSpec(_Model):
    """All that defines a pre-trained state; `key` names its file."""

    schema_version: int = SCHEMA
    """Version of this identity."""
    method: str
    """Method name without argument."""
    method_version: str
    """The version the method's class declares."""
    code: str
    """Digest of the method's own source."""
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


class CurvePoint(_Model):
    """One epoch of training."""

    epoch: int
    """From 1; 0 is the state before training, where a method has it judged."""
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


class Record(_Model):
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
    """Selection -> epoch whose predictions it reports; 0 is the state before training."""
    curve: list[CurvePoint] = Field(default_factory=list)
    """Training, epoch by epoch."""
    sizes: dict[str, int] = Field(default_factory=dict)
    """Images on each side: train, val, test."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """fit, predict and total wall-clock seconds."""
    peak_memory_mb: float | None = None
    """Peak memory of the device (GPU) or of the process (CPU), in MiB."""
    real_names: bool = False
    """Whether the method was given the images' own names."""
    digests: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the databases' tables, by database."""
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
    def table_notes(self) -> list[str]:
        """What a table must say beside the run's numbers: its notes that are marked so."""
        marked = (note for note in self.notes if note.startswith(TABLE_NOTE))
        return [note.removeprefix(TABLE_NOTE) for note in marked]

    @property
    def judged(self) -> bool:
        """Whether the test images had labels; without, a done run leaves predictions alone."""
        return any(self.metrics.values())

    def value(self, metric: str, selection: str | None = None) -> float | None:
        """One metric under a selection (the run's own by default); None where undefined."""
        return self.metrics.get(selection or self.spec.selection, {}).get(metric)
