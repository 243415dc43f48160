"""Messages between the harness and a method's process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.api import BenchError, ImagePolicy
from bench.util.environment import Environment


@dataclass(frozen=True)
class Start:
    """Everything that a method is built from."""

    method: str
    """Full name, argument included."""
    settings: dict[str, Any]
    """Its settings as given, paths included."""
    device: str = "cpu"
    """A torch device."""
    seed: int = 0
    """Seed of the fit, or of the pre-training."""
    batch_size: int = 64
    """Images per inference batch."""
    cuda_graphs: bool = False
    """Whether inference on a GPU may replay CUDA graphs."""
    compiled: bool = False
    """Whether frozen networks may be compiled."""
    exact: bool = True
    """Whether frozen networks stay in float32."""
    deterministic: bool = False
    """Whether torch may use deterministic operations only."""
    scratch: Path | None = None
    """Where checkpoints of a long training go."""
    replies: Path | None = None
    """Where answers of a service are kept."""
    pretrained: Path | None = None
    """A pre-trained state to load."""
    features: Path | None = None
    """Folder that keeps features of frozen networks for all fits; None: they are not kept."""
    feature_bytes: int = 0
    """Largest size of that folder."""
    labels: Mapping[str, float] = field(default_factory=dict)
    """An oracle's labels by image name; empty for every other method."""


@dataclass(frozen=True)
class Facts:
    """Properties of a method that the harness needs before it runs."""

    name: str
    """The method's name without argument."""
    policy: ImagePolicy
    """How images are decoded for it."""
    corpus_policy: ImagePolicy
    """How images of corpora are decoded for it."""
    learns: bool
    """Whether it has a `fit`."""
    real_names: bool
    """Whether it is given the images' own names."""
    reads_images: bool
    """Whether it is given pixels."""
    oracle_of: str | None
    """The database whose labels it is given; None for all methods but the oracle."""
    corpora: tuple[str, ...]
    """The databases that its pre-training needs."""
    corpus_normalise: Literal["minmax_train", "range", "none"]
    """How labels of corpora are scaled."""
    able: frozenset[str]
    """The kinds of artefacts that it can compute (`bench.store.artifacts`)."""
    may_miss: float
    """Share of images that may stay without a score."""
    saves: bool
    """Whether its fitted state can be written and read again."""


@dataclass(frozen=True)
class Account:
    """What the record says of a method after it ran."""

    notes: tuple[str, ...]
    """What a reader of the record should know."""
    trained_on: tuple[str, ...]
    """Datasets whose labels its weights had seen before `fit`."""
    environment: Environment
    """Where it ran."""
    peak_memory_mb: float | None
    """Peak memory of its device or process, MiB."""


@dataclass(frozen=True)
class Failure:
    """An error that was raised in the method's process."""

    text: str
    """One line: kind and message, with advice if memory ran out."""
    trace: str
    """The whole traceback."""
    exit_code: int
    """That of a `BenchError`; 1 for any other error."""


class MethodFailed(BenchError):
    """A method raised an error in its process; `trace` is the traceback there."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.trace = failure.trace
        self.exit_code = failure.exit_code
