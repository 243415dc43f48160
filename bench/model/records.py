"""Runs and their records. The order, names and meaning of fields are a file format.

A change of the format raises `SCHEMA`. A record with a newer schema is refused, and its file named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from bench.model.identity import digest
from bench.model.titles import task_title
from bench.util.environment import Environment
from bench.util.strict import StrictModel

SCHEMA = 2
TABLE_NOTE = "§ "
"""How notes begin that tables print under the run's cell."""

Selection = Literal["last", "val", "best_test"]
Status = Literal["done", "failed"]


def refuse_newer(schema: object) -> None:
    """Raise `ValueError` for a file whose `schema_version` this version cannot read."""
    if isinstance(schema, int) and schema > SCHEMA:
        raise ValueError(f"schema {schema} is newer than this iqa-bench reads ({SCHEMA})")


JOINT = "+"
"""Joins the names of databases that one fit is trained on together."""


class Task(StrictModel):
    """Training and test databases and the budget: one column of a table."""

    train: str
    """Databases that are trained on, each NAME or NAME@VERSION, joined by '+'; '' for none."""
    test: str
    """Database that is tested on."""
    labels: int | None = None
    """Label budget: number of labelled training images in each database. None: all of them."""
    ratio: float | None = None
    """Training ratio: training images as a fraction of the whole database."""
    zero_shot: bool = False
    """No label is used; `fit` is not called."""
    learn: Literal["side", "all"] = "side"
    """Whether to train on the training side of each database's split, or on the whole database."""
    side: Literal["own", "whole"] = "own"
    """Whether to test on the test side of the database's split, or on the whole database."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The databases that are trained on."""
        return tuple(self.train.split(JOINT)) if self.train else ()

    @property
    def budget(self) -> str:
        """Label budget or training ratio in tables: '50', '20%', 'zero-shot' or 'all'."""
        if self.zero_shot:
            return "zero-shot"
        if self.labels is not None:
            return str(self.labels)
        return f"{self.ratio * 100:g}%" if self.ratio is not None else "all"

    @property
    def title(self) -> str:
        """The database, or 'A → B' if the method is trained on others."""
        return task_title(self.train, self.test)


class SplitRule(StrictModel):
    """How images are split. With the dataset and the repeat it determines the split."""

    scheme: str = "random"
    """'random', 'official', or a published split's name."""
    version: int = 2
    """Version of random splits. Since 2, equal pictures of a database are on the same side."""
    seed: int = 0
    """Protocol seed of random splits."""
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Fraction held out for testing: of reference images, or of images without references."""
    validation: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of the labelled images held out for selection; 0 unless `selection: val`."""
    apart_from: tuple[str, ...] = ()
    """With `exclude_overlap`, the test sides of the fit, as NAME:own or NAME:whole: what shares a
    picture with one of them in another database is not learnt from."""

    @model_serializer(mode="wrap")
    def _only_if_asked(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Left out where it is empty, so that all other runs keep the names that they had before.
        found: dict[str, Any] = values(self)
        if not found.get("apart_from"):
            found.pop("apart_from", None)
        return found


class _Named(StrictModel):
    """A specification whose name is a hash of its content."""

    @cached_property
    def _name(self) -> str:
        return digest(self.model_dump(mode="json"))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy of the spec, which does not inherit what is cached."""
        copy = super().model_copy(update=update, deep=deep)
        # Pydantic copies cached properties too: a changed copy would keep the old name.
        for cached in copy.__dict__.keys() - type(self).model_fields.keys():
            del copy.__dict__[cached]
        return copy


class FitSpec(_Named):
    """All that defines a fit, which may be tested on several databases."""

    schema_version: int = SCHEMA
    """Version of this format; a change gives all runs new names, so that they are run again."""
    train: str
    """Databases that are trained on, joined by '+'; '' for none."""
    learn: Literal["side", "all"] = "side"
    """The training side of each database's split, or the whole database."""
    labels: int | None = None
    """Label budget of each database."""
    ratio: float | None = None
    """Training ratio of each database."""
    zero_shot: bool = False
    """No label is used."""
    sampling: Literal["proportional", "balanced"] = "proportional"
    """Whether each image counts the same, or each database."""
    split: SplitRule
    """How images are split."""
    split_digests: tuple[str, ...]
    """SHA-256 over names and labels, for each database first of the training images, then of the
    validation images. In records of schema 1, one digest of the whole split."""
    repeat: int = Field(ge=0)
    """Number of the seeded split, from 0."""
    annotations: str | None = None
    """SHA-256 over scenes and distortions of the training images, if the method uses them."""
    method: str
    """Full name, argument included: 'pyiqa:piqe'."""
    method_version: str
    """`Method.version`."""
    code: str
    """Digest of the method's own source (`bench.source`); 'unknown' in records of schema 1."""
    settings: dict[str, Any]
    """All settings, including defaults and those of the recipe."""
    weights: dict[str, str] = Field(default_factory=dict)
    """Name and digest of the backbone's weights, {} for a method without backbone."""
    pretrained: str | None = None
    """`PretrainSpec.key` of the pre-trained state, None without pre-training."""
    image_policy: str = ""
    """How images are decoded: size and resize kernel."""
    selection: Selection = "last"
    """Epoch that is reported: the last, the best on validation or the best on test images."""
    monitored: str | None = None
    """With `best_test`, the test database whose scores select the epoch."""
    evaluate_every: int = Field(default=0, ge=0)
    """Epochs between two evaluations; 0: only after the last epoch."""
    normalise: Literal["minmax_train", "range", "none"] = "minmax_train"
    """How the training labels of each database are scaled."""

    @property
    def fit_id(self) -> str:
        """The fit's name: a hash of all fields."""
        return self._name

    @property
    def seed(self) -> int:
        """Random seed of the fit. All methods have the same seed on one split (paired runs)."""
        # Names of images are left out, so that a renamed file changes no random number.
        include = {"train", "learn", "labels", "ratio", "zero_shot", "split", "repeat"}
        return int(digest(self.model_dump(mode="json", include=include), 15), 16)


class TestSide(StrictModel):
    """The images that one run of a fit is tested on."""

    __test__ = False  # pytest takes classes named Test… for tests

    test: str
    """Database that is tested on."""
    side: Literal["own", "whole"] = "own"
    """The test side of the database's split, or the whole database."""
    test_digest: str
    """SHA-256 over names and labels of the test images."""

    def update(self) -> dict[str, str]:
        """The same fields of a `RunSpec`."""
        return {"test": self.test, "side": self.side, "test_digest": self.test_digest}


class RunSpec(_Named):
    """All that defines a run's result, and nothing else (no path, device, batch size or label)."""

    schema_version: int = SCHEMA
    """Version of this format; a change gives all runs new names, so that they are run again."""
    fit: FitSpec
    """The fit that is tested."""
    test: str
    """Database that is tested on."""
    side: Literal["own", "whole"] = "own"
    """The test side of the database's split, or the whole database."""
    test_digest: str
    """SHA-256 over names and labels of the test images; '' in records of schema 1."""

    @classmethod
    def of(cls, task: Task, test_digest: str, **fit: Any) -> RunSpec:
        """A run of a task; `fit` are those fields of its `FitSpec` that the task does not give."""
        learning = FitSpec(
            train=task.train,
            learn=task.learn,
            labels=task.labels,
            ratio=task.ratio,
            zero_shot=task.zero_shot,
            **fit,
        )
        return cls(fit=learning, test=task.test, side=task.side, test_digest=test_digest)

    def learning(self, **changes: Any) -> RunSpec:
        """The same test of another fit, which differs in these fields."""
        return self.model_copy(update={"fit": self.fit.model_copy(update=changes)})

    @property
    def run_id(self) -> str:
        """The run's name: a hash of all fields."""
        return self._name

    @cached_property
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
        """The images that it is tested on."""
        return TestSide(test=self.test, side=self.side, test_digest=self.test_digest)

    @cached_property
    def split_digest(self) -> str:
        """SHA-256 over training, validation and test images."""
        if not self.test_digest:  # In schema 1 the one digest covers them all.
            return self.fit.split_digests[0]
        parts = [*self.fit.split_digests, self.test_digest]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def repeat(self) -> int:
        """Number of the seeded split, from 0."""
        return self.fit.repeat

    @property
    def method(self) -> str:
        """Full name of the method, argument included."""
        return self.fit.method

    @property
    def selection(self) -> Selection:
        """Epoch that is reported."""
        return self.fit.selection

    @property
    def seed(self) -> int:
        """Random seed of the fit."""
        return self.fit.seed


class PretrainSpec(StrictModel):
    """All that defines a pre-trained state."""

    schema_version: int = SCHEMA
    """Version of this format."""
    method: str
    """Method name without argument."""
    method_version: str
    """`Method.version`."""
    code: str
    """Digest of the method's own source."""
    settings: dict[str, Any]
    """The settings that define the state (`Method.pretrain_settings`)."""
    weights: dict[str, str] = Field(default_factory=dict)
    """Name and digest of the backbone's weights."""
    corpora: dict[str, str]
    """Dataset -> SHA-256 over names and labels of the images that are used."""

    @property
    def key(self) -> str:
        """The state's name: a hash of all fields."""
        return digest(self.model_dump(mode="json"))

    @property
    def seed(self) -> int:
        """Random seed of the pre-training. Variants of a method start alike on the same corpora."""
        # As for fits: a line of code that is written differently changes no random number.
        return int(digest([self.method, self.corpora, "pretrain"], 15), 16)


class CurvePoint(StrictModel):
    """One epoch of training."""

    epoch: int
    """From 1. 0 is the state before training, for methods that evaluate it."""
    loss: float | None
    """Mean training loss; None if it was not finite."""
    diagnostics: dict[str, float | None] = Field(default_factory=dict)
    """Numbers that the method reports by name, e.g. the gradient angle in degrees."""
    seconds: float
    """Training time since the start of `fit`, without evaluation."""
    test: dict[str, float | None] | None = None
    """Metrics on the test images, if this epoch was evaluated."""
    val: dict[str, float | None] | None = None
    """Metrics on the validation images, if there are any."""


class Record(StrictModel):
    """The result of a run, written once and whole."""

    schema_version: int = SCHEMA
    """Version of this format."""
    run_id: str
    """`spec.run_id`."""
    status: Status
    """'done' or 'failed'. A run without a record has not been computed."""
    spec: RunSpec
    """What defines the run."""
    metrics: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """Selection -> metric -> value on the test images; None if undefined (constant predictions).
    Empty if the test images have no labels."""
    chosen_epoch: dict[str, int] = Field(default_factory=dict)
    """Selection -> epoch whose predictions are reported; 0 is the state before training."""
    curve: list[CurvePoint] = Field(default_factory=list)
    """Training curve: one point for each epoch."""
    sizes: dict[str, int] = Field(default_factory=dict)
    """Numbers of images: train, val, test."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall-clock seconds: fit, predict, total."""
    peak_memory_mb: float | None = None
    """Peak memory of the device (GPU) or of the process (CPU), in MiB."""
    real_names: bool = False
    """Whether the method saw the real names of images."""
    digests: dict[str, str] = Field(default_factory=dict)
    """Database -> SHA-256 of its table."""
    trained_on: list[str] = Field(default_factory=list)
    """Datasets whose labels the method's weights were trained on before `fit`."""
    notes: list[str] = Field(default_factory=list)
    """Remarks for readers, e.g. that a loss term was left out because labels are missing."""
    error: str | None = None
    """The reason in one line, for a failed run."""
    traceback: str | None = None
    """The traceback, for a failed run."""
    environment: Environment = Field(default_factory=Environment)
    """Hardware and software that computed it."""
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """Time of writing, UTC."""

    @property
    def table_notes(self) -> list[str]:
        """The notes that tables print under the run's cell."""
        marked = (note for note in self.notes if note.startswith(TABLE_NOTE))
        return [note.removeprefix(TABLE_NOTE) for note in marked]

    @property
    def judged(self) -> bool:
        """Whether the test images had labels, so that there are metrics."""
        return any(self.metrics.values())

    def value(self, metric: str, selection: str | None = None) -> float | None:
        """One metric under a selection, by default the run's own; None if undefined."""
        return self.metrics.get(selection or self.spec.selection, {}).get(metric)
