"""Everything that the author of a method needs.

A method is one subclass of `Method` in one file of `methods/`. It gets images as uint8 arrays and
quality labels that run upwards, and gives back scores that run upwards. Evaluation, splits, caches,
storage and reports are the job of the harness: a method never sees a test label.

>>> class MeanLuminance(Method):
...     '''Brighter is better (it is not).'''
...     name = "mean_luminance"
...     def predict(self, images):
...         return np.array([image.mean() for image in images])
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bench.model.feature_rows import ComputeRows, Features, Rows, computed_anew
from bench.model.fitted_weights import fitted_on
from bench.model.images import ArrayImages, ImagePolicy, Images, Pixels
from bench.model.records import TABLE_NOTE
from bench.model.resources import Resources
from bench.model.settings import DatasetName, NamesDataset, Settings
from bench.util.atomic import replacing
from bench.util.errors import (
    BenchError,
    DataError,
    OutOfBudgetError,
    StoreError,
    UsageError,
    nearest,
    ran_out,
    unknown,
)
from bench.util.listing import fold, listed
from bench.util.tables import Table, read_table
from bench.util.yaml_files import read as _read_yaml

__all__ = [
    "BUDGET_VARIABLES",
    "OWN",
    "ArrayImages",
    "BenchError",
    "ComputeRows",
    "Context",
    "DataError",
    "DatasetName",
    "Epoch",
    "Features",
    "ImagePolicy",
    "Images",
    "LabelledSet",
    "Method",
    "NamesDataset",
    "OutOfBudgetError",
    "Pixels",
    "Resources",
    "Rows",
    "Scores",
    "Settings",
    "StoreError",
    "Table",
    "UsageError",
    "computed_anew",
    "fitted_on",
    "fold",
    "listed",
    "load_settings_file",
    "nearest",
    "ran_out",
    "read_table",
    "replacing",
    "unknown",
]

OWN = "own"
"""In `Method.corpora()`: the database that the run learns from."""

BUDGET_VARIABLES = ("IQA_BENCH_MAX_TOKENS", "IQA_BENCH_MAX_COST", "IQA_BENCH_LEDGER")
"""Variables that hold `--max-tokens`, `--max-cost` and the file of what all processes spent."""

Scores = npt.NDArray[np.floating[Any]]
"""Quality, (n,): predicted or labelled, higher is better."""


def load_settings_file(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, read safely. Raises `UsageError` that names file and line."""
    return dict(_read_yaml(path).values)


# Inside `Method` the name `Settings` means the method's own class.
_Settings = Settings


@dataclass(frozen=True)
class LabelledSet:
    """Images with quality labels: what `fit` and `pretrain` get. All sequences have length n."""

    dataset: str
    """Name of the dataset, or names joined by '+' for a mixture."""
    images: Images
    """The images, decoded as the method's `policy` says."""
    scores: Scores
    """(n,) float64, higher is better, normalised as the protocol says (0-1 by default)."""
    references: tuple[str | None, ...]
    """The pristine content each image came from, where the dataset has references."""
    distortions: tuple[str | None, ...]
    """Distortion type, where known."""
    levels: tuple[int | None, ...]
    """Distortion level, 1 = weakest, where known."""
    scenes: tuple[str | None, ...]
    """Scene category, where known; several are joined by '|'."""
    sources: tuple[str, ...]
    """The dataset each image comes from (all equal except in a mixture)."""

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Epoch:
    """What a method reports after one pass over its training images."""

    loss: float
    """Mean training loss of the epoch."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    """Named numbers that the record keeps and figures draw (GRMP: 'angle', 'kl', ...)."""
    total: int | None = None
    """How many epochs there will be, where known; for the progress display."""
    start: bool = False
    """Whether this is the state before the first update, evaluated as epoch 0 if any epoch is."""


@dataclass
class Context:
    """What the harness gives a method besides its settings; no field enters a run's name."""

    device: str = "cpu"
    """A torch device: 'cpu', 'cuda', 'cuda:1'."""
    seed: int = 0
    """Seed of this run, derived from the run's identity."""
    scratch: Path | None = None
    """A folder that survives a killed process, for checkpoints of long trainings."""
    replies: Path | None = None
    """Folder for the answers of a service, so that it is never asked twice; None: in memory."""
    batch_size: int = 64
    """Images per inference batch."""
    cuda_graphs: bool = False
    """Whether inference on a GPU may replay CUDA graphs, which changes no bit of the result."""
    compiled: bool = False
    """Whether frozen networks may be compiled (`torch.compile`)."""
    exact: bool = True
    """Whether frozen networks stay in plain float32 (`bench.methods.kit.forms`)."""
    note: Callable[[str], None] = lambda text: None
    """Adds a line to the notes of the record."""
    say: Callable[[str], None] = lambda text: None
    """Reports one line of progress."""
    features: Features = computed_anew
    """Keeps features of frozen networks on disk and shares them between fits and methods."""
    labels: Mapping[str, float] = field(default_factory=dict)
    """Image name -> label of the database that `Method.oracle_of` names; otherwise empty."""

    def seed_for(self, *purpose: str | int) -> int:
        """A 63-bit seed for one purpose, independent of the seeds for all other purposes."""
        text = "/".join(str(part) for part in (self.seed, *purpose))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def rng(self, *purpose: str | int) -> np.random.Generator:
        """A numpy generator seeded by `seed_for`."""
        return np.random.default_rng(self.seed_for(*purpose))


class Method(ABC):
    """One way of predicting image quality.

    Subclass it, set `name` and, if there are settings, `Settings`. Implement `predict` and, if the
    method learns from a protocol's labels, `fit`. `bench list methods` shows the first line of the
    class docstring.
    """

    name: ClassVar[str]
    """Name on the command line and in protocol files."""
    version: ClassVar[str] = "1"
    """Raise it when the same settings give other predictions: new runs then have new names."""
    Settings: ClassVar[type[_Settings]] = _Settings
    """The class of its settings; the default has no settings."""
    argument: ClassVar[str | None] = None
    """The setting that NAME:ARGUMENT fills (`pyiqa:piqe` sets `metric` to 'piqe')."""
    judges_images: ClassVar[bool] = True
    """Whether scores depend on pixels; False for sanity rows and scores that are looked up."""
    reads_images: ClassVar[bool] = True
    """Whether it reads pixels. If not, a database's labels suffice, and reading pixels fails."""
    resources: ClassVar[Resources] = Resources()
    """What its runs need of a machine, unless the protocol's row says otherwise."""
    pretrained_setting: ClassVar[str | None] = None
    """The setting that takes a file of trained weights in place of a pre-training on corpora."""
    short_names: ClassVar[Mapping[str, str]] = {}
    """Arguments that may be used as names, each with its line in `bench list methods`: `piqe` means
    `pyiqa:piqe` and gives the same runs."""

    real_names: ClassVar[bool] = False
    """Whether images keep their file names, for methods that look scores up. Others get neutral
    names, since a file name may reveal the quality. Records say which it was."""

    def __init__(self, settings: _Settings, context: Context) -> None:
        # Must be cheap: planning builds methods to ask what they need. Load weights at first use.
        self.settings: Any = settings
        """An instance of the class's own `Settings`."""
        self.context = context
        """Device, seeds, and places for files."""
        self.notes: list[str] = []
        """What a reader of the record should know, e.g. that a loss term was left out."""
        self.learnt = False
        """Whether it was fitted or has read a fitted state; set by the harness."""

    def note_at_table(self, text: str) -> None:
        """Add a note that every table shows with this method's numbers, e.g. on a loss left out."""
        note = TABLE_NOTE + text
        if note not in self.notes:
            self.notes.append(note)

    @property
    def policy(self) -> ImagePolicy:
        """How images are decoded for this method."""
        return ImagePolicy()

    def reads_annotations(self) -> bool:
        """Whether `fit` learns from scenes or distortions, which then enter its name."""
        return False

    def trained_on(self) -> tuple[str, ...]:
        """Datasets whose labels the loaded weights have seen before `fit` (contamination).

        `NAME`, or `NAME#SCHEME/K` where only the training side of a published split has been seen
        (`bench.model.contamination`).
        """
        return ()

    @property
    def may_miss(self) -> float:
        """Share of images that may have no score (NaN in `predict`). Metrics are then computed on
        the other images, and the method has to say so by `note_at_table`."""
        return 0.0

    def own_parameters(self) -> int:
        """Number of parameters learnt outside torch (coefficients of a regression, say)."""
        return 0

    def tokens_per_image(self) -> float | None:
        """Mean tokens for each image so far, of a language model; such a method is not timed."""
        return None

    def forecast(self, images: int) -> str:
        """A line for `bench plan` on what predicting so many images costs; '' for none."""
        return ""

    def all_trained_on(self) -> tuple[str, ...]:
        """`trained_on`, and the training data of `bench fit` files among the settings."""
        values = (getattr(self.settings, name) for name in type(self.settings).model_fields)
        files = [fitted_on(value) or () for value in values if isinstance(value, Path)]
        return tuple(dict.fromkeys([*self.trained_on(), *(name for own in files for name in own)]))

    def needs_fit(self) -> bool:
        """Whether it cannot predict before `fit`, `load` or a prompt.

        True by default for methods that learn. Override it where pre-training or the method's own
        weights make it usable before.
        """
        return type(self).learns()

    def require_learnt(self) -> None:
        """Raise `unlearnt` if it would predict from an untrained state."""
        if self.needs_fit() and not self.learnt:
            raise self.unlearnt()

    def unlearnt(self) -> UsageError:
        """The error for predicting from an untrained state."""
        pairs = type(self).set_prompt is not Method.set_prompt
        return UsageError(
            f"{self.name} needs fitted weights: `bench fit PROTOCOL --method {self.name} --out "
            f"FILE` gives them to --weights{', --prompt gives it pairs' * pairs}; or run a protocol"
        )

    def oracle_of(self) -> str | None:
        """A database whose labels, also of test images, come as `Context.labels` (sanity rows
        only).

        The method has to name the database in `trained_on` too.
        """
        return None

    def downloads(self) -> tuple[str, ...]:
        """Weights that it downloads by itself if they are not on the machine.

        'backbone:NAME', 'pyiqa:METRIC', 'pyiqa_network:CLASS {OPTIONS}' (JSON; from ImageNet) or
        'hub:OWNER/MODEL@REVISION'; `bench get` gets them beforehand.
        """
        backbone = getattr(self.settings, "backbone", None)
        return (f"backbone:{backbone}",) if backbone else ()

    # -- pre-training: optional, once per setting, shared by all runs that need it ---------------

    def corpora(self) -> tuple[str, ...]:
        """Datasets that `pretrain` needs; () for a method without pre-training.

        `OWN` stands for the database that a run learns from, with the labels that people gave.
        """
        return ()

    @property
    def corpus_policy(self) -> ImagePolicy:
        """How images of the corpora are decoded for `pretrain`; by default as for the run."""
        return self.policy

    @property
    def corpus_normalise(self) -> Literal["minmax_train", "range", "none"]:
        """How corpus labels are scaled for `pretrain`: 'minmax_train', 'range' or 'none'."""
        return "minmax_train"

    def pretrain_settings(self) -> dict[str, Any]:
        """The settings that define the pre-trained state, and with it the name of its file."""
        values: dict[str, Any] = self.settings.model_dump(mode="json")
        return values

    def pretrain(self, corpora: Sequence[LabelledSet]) -> Generator[Epoch, None, None]:
        """Train on the corpora (test images of the evaluated split left out), yielding epochs."""
        yield from ()

    def save_pretrained(self, path: Path) -> None:
        """Write the pre-trained state to one safetensors file."""
        raise TypeError(f"{self.name} has corpora() but no save_pretrained()")

    def load_pretrained(self, path: Path) -> None:
        """Read what `save_pretrained` wrote."""
        raise TypeError(f"{self.name} has corpora() but no load_pretrained()")

    # -- the run -----------------------------------------------------------------------------------

    @property
    def fit_normalise(self) -> Literal["minmax_train", "range", "none"] | None:
        """How labels are scaled for `fit`, if not as the protocol's `normalise` says."""
        return None

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Learn from the labels, yielding an `Epoch` after each pass.

        The harness evaluates between passes and sends back the monitored score (SRCC + PLCC on
        validation images, or on test images under `selection: best_test`), or None under
        `selection: last`. `predict` may be called at any yield and must not disturb training.
        """
        yield from ()

    @abstractmethod
    def predict(self, images: Images) -> Scores:
        """Score images: (n,) float, higher is better, no NaN; independent of order and batching."""

    def set_prompt(self, images: Images, scores: Scores) -> None:
        """Score relative to these image-score pairs from now on (PromptIQA's ISPs)."""
        raise TypeError(f"{self.name} takes no image-score pairs")

    def embed(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """Features before the score, (n, d) float, for t-SNE."""
        raise TypeError(f"{self.name} has no embedding")

    def attend(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """Maps of the regions that each score depends on (Grad-CAM, say): (n, h, w) float in
        0-1, each covering its whole image. A protocol with `keep: [attention]` stores some."""
        raise TypeError(f"{self.name} has no attention maps")

    def per_image(self, images: Images) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """Named numbers for each image, (n,) each, stored with predictions if a protocol keeps
        'per_image' (GRMP: 'semantic_confidence')."""
        return {}

    def save(self, path: Path) -> None:
        """Write the fitted state to one safetensors file."""
        raise TypeError(f"{self.name} cannot be saved")

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""
        raise TypeError(f"{self.name} cannot be loaded")

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """Settings with which learning from eight images of 128 pixels takes seconds and has a
        visible effect; `bench conform` uses them. `argument` is that of NAME:ARGUMENT."""
        return {}

    @classmethod
    def learns(cls) -> bool:
        """Whether the class has its own `fit`, i.e. whether predictions depend on the split."""
        return cls.fit is not Method.fit
