"""Protocol files: what to measure, as data. YAML in, a validated `Protocol` out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.model.mixtures import given_for, learnt_from
from bench.model.records import JOINT, Selection, SplitRule, Task
from bench.model.resources import Resources
from bench.util import durations, yaml_files
from bench.util.errors import UsageError, hint, unknown
from bench.util.listing import listed
from bench.util.strict import StrictModel
from bench.util.validation import validated
from bench.util.yaml_files import Document

FOLDER = Path(__file__).parents[1] / "protocols"

DEMO = "demo"
"""`--datasets demo` stands for the rendered datasets that suit a protocol."""
DEMO_SETS = ("demo_authentic", "demo_synthetic")
DEMO_PAIRS = ("demo_synthetic:demo_authentic",)
DEMO_SUITE = ("demo_authentic", "demo_synthetic", "demo_pretrain")
"""For a suite: fits learn from the first one and are tested on all. Of the last one only the test
side of the split is tested, because methods are pre-trained on the rest of it."""
SPLITS_OF_FILES = ("liqe", "arniqa")
"""Published splits whose files list images of some databases, but not of rendered ones.
`--datasets demo` therefore splits these at random."""

Keep = Literal["embeddings", "per_image", "attention"]


class MethodEntry(StrictModel):
    """One row of a protocol's tables: a method with its settings."""

    method: str
    """Method name, with its argument if it takes one ('pyiqa:piqe')."""
    label: str = ""
    """Name of the row in tables; the method's name by default."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method."""
    needs: Resources = Resources()
    """What its runs need of a machine: {device: cpu|cuda, vram: 12G, cpus: 4}, and for Slurm what
    names it: {slurm: [constraint=NAME]}. No number depends on it."""
    set_for: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of the method when it is trained on one dataset: NAME, or NAME@VERSION for this
    version only -> settings. They take precedence over those of `set`. A+B, in any order, stands
    for databases that are trained on together."""

    @property
    def title(self) -> str:
        """Name of the row in tables."""
        return self.label or self.method


class GmadEntry(StrictModel):
    """Settings of a gMAD competition between the methods (`bench.analysis.gmad`)."""

    levels: int = Field(default=10, ge=2)
    """Number of quality levels that the defender's scores are divided into."""
    pairs: int = Field(default=1, ge=1)
    """Image pairs for each level; no two of them share an image."""
    spacing: Literal["quantile", "uniform"] = "quantile"
    """Levels of equally many images ('quantile'), or of equal width in scores ('uniform')."""


class Protocol(StrictModel):
    """One experiment: the cells of its tables, and how each cell is measured."""

    name: str = ""
    """Short name; the file's name by default."""
    title: str = ""
    """Heading of its tables."""
    description: str = ""
    """What it shows and where it comes from (paper and table)."""
    datasets: tuple[str, ...] = ()
    """Datasets that are split into a training and a test side."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Cross-dataset pairs [train, test], in addition to `datasets` or instead of them."""
    train: tuple[str, ...] | None = None
    """Databases that one fit is trained on together; [] for none (zero-shot). Used with `test`, in
    place of `datasets` and `pairs`."""
    trainings: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Several such lists by name, each of them a block of rows: {KonIQ: [koniq10k], ...}."""
    test: tuple[str, ...] = ()
    """Databases that each fit of `train` or `trainings` is tested on: on the test side of the split
    if the fit is trained on the database, otherwise on all its images. The first one is evaluated
    during training."""
    test_side: Literal["split", "whole"] = "split"
    """'whole' tests on all images of each database, which then cannot be trained on."""
    split_tests: tuple[str, ...] = ()
    """Databases in `test` that are tested only on the test side of their split, also by fits that
    do not learn from them."""
    sampling: Literal["proportional", "balanced"] = "proportional"
    """How several databases are trained on: each image once, or images of smaller databases
    repeated, so that all databases have the same weight."""
    means: tuple[Literal["plain", "by_images", "all"], ...] = ()
    """Extra columns with means over test sets, plain or weighted by numbers of images. Sets that
    the fit is trained on have a separate mean; 'all' adds the mean over both kinds."""
    demo: tuple[str, ...] = ()
    """Rendered datasets, or TRAIN:TEST pairs of them, that `--datasets demo` stands for; by default
    those that suit the protocol's datasets or pairs."""
    labels: tuple[int, ...] | dict[str, tuple[int, ...]] = ()
    """Label budgets (numbers of labelled training images), each of them a column. Budgets are
    nested: the first 50 images are among the first 100. A list for all datasets, or one for each.
    """
    ratios: tuple[float, ...] | dict[str, tuple[float, ...]] = ()
    """Training ratios (fractions of the whole dataset), also nested. A list for all datasets, or
    one for each."""
    zero_shot: bool = False
    """Whether methods predict without training on the dataset (after their own pre-training)."""
    repeats: int = Field(default=10, ge=1, le=10_000)
    """Number of seeded splits."""
    seed: int = 0
    """Seed of the splits."""
    split: str = "random"
    """'random' (by reference image if the dataset has any), 'official', or a published split."""
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Fraction of a random split that is held out for testing."""
    selection: Selection = "last"
    """Epoch that is reported: 'last', 'val' (best on held-out training images) or 'best_test'."""
    validation: float = Field(default=0.2, gt=0, lt=1)
    """Fraction of the labelled images that `selection: val` holds out."""
    evaluate_every: int = Field(default=5, ge=0)
    """Epochs between two evaluations of the training curve; 0: only after the last epoch."""
    normalise: Literal["minmax_train", "range", "none"] = "minmax_train"
    """Scaling of training labels to 0-1: from the range of the labelled images, from the range of
    the rating scale, or none."""
    metrics: tuple[str, ...] = ("srcc", "plcc")
    """Metrics of the tables; rows are ranked by the first one. METRIC@COLUMN is the median over the
    groups of a column (scene, reference, distortion, group): srcc@scene."""
    methods: tuple[MethodEntry, ...] = ()
    """Rows of the table; `--methods` replaces them."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings for all methods that have them, like `--set`."""
    set_for: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings by training dataset: NAME, NAME@VERSION or, for databases that are trained on
    together (in any order), A+B -> settings."""
    gmad: GmadEntry | None = None
    """Settings of a gMAD competition, if that is the purpose of the protocol; reports then show its
    contact sheets."""
    published: tuple[str, ...] = ()
    """Files in `protocols/published/` whose numbers tables show beside measured ones."""
    exclude_overlap: bool = False
    """Whether fits and pre-training leave out images that show the same picture as a test image of
    another database, by the lists that `bench data overlap` writes."""
    split_corpora: bool = False
    """Whether pre-training uses only the training sides of its corpora, split like the datasets.
    One pre-training per repeat then serves all datasets. Otherwise it uses all images of the
    corpora except those that the run is tested on."""
    parts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Separate tables in reports, as in papers with a table for each task: heading -> datasets."""
    keep: tuple[Keep, ...] = ()
    """What runs store besides predictions: 'embeddings' (features of the test images, for t-SNE),
    'per_image' (scene and distortion of each test image, and numbers from the method, such as its
    confidence in the scene), 'attention' (attention maps of a few test images)."""
    time_limit: float | None = None
    """Time ('30m', '4h') after which a run is killed and counts as failed; for a pre-training, the
    time of one epoch. `--time-limit` replaces it."""

    @field_validator("time_limit", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        try:
            return value if value is None else durations.seconds(value)
        except UsageError as error:
            raise ValueError(str(error)) from None

    @field_validator("methods", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [{"method": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("published", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) and value else value or ()

    @field_validator("labels")
    @classmethod
    def _positive(cls, value: Any) -> Any:
        lists = value.values() if isinstance(value, dict) else [value]
        if any(count < 2 for counts in lists for count in counts):
            raise ValueError("a label budget is at least 2")
        return value

    @field_validator("ratios")
    @classmethod
    def _fractions(cls, value: Any) -> Any:
        lists = value.values() if isinstance(value, dict) else [value]
        if any(not 0 < ratio < 1 for ratios in lists for ratio in ratios):
            raise ValueError("a training ratio lies between 0 and 1, e.g. 0.2")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.zero_shot and (self.labels or self.ratios):
            raise ValueError("zero_shot has no labels or ratios")
        self._check_suite()
        if self.split_corpora:
            self._refuse_to_share()
        for train, test in self.pairs:
            if train.partition("@")[0] == test.partition("@")[0]:
                raise ValueError(
                    f"pairs: '{train}' would be tested on the images it is trained on; 'datasets' "
                    "splits it"
                )
        listed = [name for names in self.parts.values() for name in names]
        doubled = {name for name in listed if listed.count(name) > 1}
        if doubled:
            raise ValueError(f"parts: '{doubled.pop()}' is in two of them")
        titles = [entry.title for entry in self.methods]
        twice = {title for title in titles if titles.count(title) > 1}
        if twice:
            raise ValueError(f"two methods are called '{twice.pop()}'; give them labels")
        return self

    def _check_suite(self) -> None:
        """`train`, `trainings` and `test` make sense together."""
        lists = self.source_lists()
        if bool(lists) != bool(self.test):
            raise ValueError("'train' (or 'trainings') and 'test' need each other")
        if self.train is not None and self.trainings:
            raise ValueError("give either 'train' or 'trainings'")
        for sources in lists:
            bases = [name.partition("@")[0] for name in sources]
            if len(set(bases)) < len(bases):
                raise ValueError(f"train: '{'+'.join(sources)}' names a database twice")
            both = set(bases) & {name.partition("@")[0] for name in self.test}
            if both and self.test_side == "whole":
                raise ValueError(
                    f"test: '{sorted(both)[0]}' is learnt from too, so all of it cannot be a test; "
                    "leave out 'test_side: whole' to test on its split's test side"
                )
        for name in self.split_tests:
            if name not in self.test:
                raise ValueError(
                    f"split_tests: '{name}' is not under 'test'.{hint(name, self.test)}"
                )
        if self.means and not self.averages(self.means, self.test):
            raise ValueError(
                "means: a mean needs at least two test sets under 'test' that a fit learns from, "
                "or two that it does not learn from; 'all' averages both kinds"
            )

    def _refuse_to_share(self) -> None:
        """Refuse a pre-training on whole training sides if a task allows fewer labels."""
        # Imported here: datasets bring numpy, which reading a protocol does not need.
        from bench.data.datasets._requirements import people

        if self.pairs:
            raise ValueError("split_corpora: pairs are tested on whole datasets, also on training")
        for task in self.tasks():
            if task.budget != "all" and task.train == people(task.train):
                raise ValueError(
                    f"split_corpora: a shared pre-training would learn from all training labels of "
                    f"{task.train}, beyond its budget ({task.budget})"
                )

    def tasks(self) -> list[Task]:
        """The columns: every test of every training under every budget, in the file's order."""
        return [task for training in self.trainings_of_tasks() for task in training]

    def trainings_of_tasks(self) -> list[tuple[Task, ...]]:
        """The columns by fit: those of one tuple share a fit, which is evaluated on the first one
        during training."""
        found: list[tuple[Task, ...]] = []
        for name in self.datasets:
            found += [(Task(train=name, test=name, **own),) for own in self._budgets(name)]
        for train, test in self.pairs:
            # No image of the source is tested, so that the fit can learn from all of it.
            where: dict[str, Any] = {"train": train, "test": test, "learn": "all", "side": "whole"}
            found += [(Task(**where, **own),) for own in self._budgets(train)]
        for sources in self.source_lists():
            found += [self._suite(sources, own) for own in self._budgets(JOINT.join(sources))]
        return found

    def averages(self, means: Sequence[str], tests: Sequence[str]) -> bool:
        """Whether some training has at least two of these test sets to average."""
        own = [
            [learnt_from(JOINT.join(names), test) for test in tests]
            for names in self.source_lists()
        ]
        kinds = [sum(seen) for seen in own] + [len(seen) - sum(seen) for seen in own]
        return max(kinds, default=0) > 1 or ("all" in means and len(tests) > 1)

    def source_lists(self) -> list[tuple[str, ...]]:
        """The lists of databases that fits learn from together."""
        lists = [] if self.train is None else [self.train]
        return lists + list(self.trainings.values())

    def _suite(self, sources: tuple[str, ...], budget: dict[str, Any]) -> tuple[Task, ...]:
        if not sources:
            budget = {"zero_shot": True}
        train = JOINT.join(sources)
        return tuple(
            Task(train=train, test=test, side=self.side_of(train, test), **budget)
            for test in self.test
        )

    def side_of(self, train: str, test: str) -> Literal["own", "whole"]:
        """The side of a set in `test` on which a fit that learns from `train` is tested."""
        return "own" if learnt_from(train, test) or test in self.split_tests else "whole"

    def _budgets(self, dataset: str) -> list[dict[str, Any]]:
        ratios, labels = (
            given_for(given, dataset) or () if isinstance(given, dict) else given
            for given in (self.ratios, self.labels)
        )
        budgets: list[dict[str, Any]] = [{"labels": count} for count in labels]
        budgets += [{"ratio": ratio} for ratio in ratios]
        return budgets or [{"zero_shot": True} if self.zero_shot else {}]

    def split_rule(self, tests: Sequence[Task] = ()) -> SplitRule:
        """How images are split for a fit with these tests; part of a run's identity."""
        apart = [f"{task.test}:{task.side}" for task in tests] if self.exclude_overlap else []
        return SplitRule(
            scheme=self.split,
            seed=self.seed,
            test_fraction=self.test_fraction,
            validation=self.validation if self.selection == "val" else 0.0,
            apart_from=tuple(apart),
        )

    def demo_sets(self) -> tuple[str, ...]:
        """The rendered datasets that `--datasets demo` stands for."""
        if self.test:
            return DEMO_SUITE
        return self.demo or (DEMO_PAIRS if self.pairs and not self.datasets else DEMO_SETS)

    def specs(self) -> list[str]:
        """All datasets it needs, each once, in order."""
        paired = [name for pair in self.pairs for name in pair]
        learnt = [name for sources in self.source_lists() for name in sources]
        return list(dict.fromkeys([*self.datasets, *paired, *learnt, *self.test]))


def available() -> dict[str, Path]:
    """Protocols that come with the project, by name."""
    return {path.stem: path for path in listed(FOLDER, "*.yaml")}


def find(text: str) -> Path:
    """The file for a path, or for the name of a protocol that comes with the project."""
    path = Path(text)
    if path.is_file():
        return path
    # The documentation writes `protocols/few_shot.yaml`, which has to work in any folder.
    if path.stem in available() and str(path.parent) in (".", "protocols"):
        return available()[path.stem]
    if path.suffix in (".yaml", ".yml") and len(path.parts) > 1 and path.stem not in available():
        raise UsageError(f"no protocol file '{text}'.{hint(path.stem, available())}")
    raise unknown("protocol", path.stem or text, available())


def load(text: str) -> Protocol:
    """Read and validate a protocol. Errors name file, line, key and a similar key that exists."""
    return read(text).validated(Protocol)


def read(text: str) -> Document:
    """A protocol file and what it inherits, not yet validated."""
    path = find(text)
    document = _merged(path, seen=())
    document.values.setdefault("name", path.stem)
    return document


def override(protocol: Protocol, changes: dict[str, Any]) -> Protocol:
    """A copy of the protocol with some fields replaced, validated again."""
    return validated(Protocol, {**protocol.model_dump(mode="python"), **changes})


def _merged(path: Path, seen: tuple[Path, ...]) -> Document:
    if path in seen:
        raise UsageError(f"{path}: 'extends' runs in a circle")
    own = yaml_files.read(path)
    parent = own.values.pop("extends", None)
    if parent is None:
        return own
    beside = path.parent / f"{parent}.yaml"
    origin = beside if beside.is_file() else find(str(parent))
    inherited = _merged(origin, (*seen, path))
    inherited.values.pop("name", None)
    # An error in an inherited key names the file that the key comes from.
    places = {key: at for key, at in inherited.places.items() if key[0] not in own.values}
    return Document(path, {**inherited.values, **own.values}, {**places, **own.places})
