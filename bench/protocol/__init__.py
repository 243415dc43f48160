"""Protocol files: what to measure, as data. YAML in, a validated `Protocol` out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

from bench.model.records import JOINT, Selection, SplitRule, Task
from bench.util import durations, yaml_files
from bench.util.errors import UsageError, nearest, unknown
from bench.util.strict import StrictModel
from bench.util.validation import validated
from bench.util.yaml_files import Document

FOLDER = Path(__file__).resolve().parents[2] / "protocols"

DEMO = "demo"
"""The word by which `--datasets` asks for a protocol's rendered sets."""
DEMO_SETS = ("demo_authentic", "demo_synthetic")
DEMO_PAIRS = ("demo_synthetic:demo_authentic",)
DEMO_SUITE = ("demo_authentic", "demo_synthetic", "demo_pretrain")
"""Of a suite: the first is learnt from, and all are tested on."""

Keep = Literal["embeddings", "per_image", "attention"]


class MethodEntry(StrictModel):
    """One row of the result: a method with its settings."""

    method: str
    """Method name, with its argument where it takes one ('pyiqa:piqe')."""
    label: str = ""
    """What tables call it; the method's name by default."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings of the method."""
    set_for: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of the method where it learns from one dataset: NAME, or NAME@VERSION for that
    version alone -> settings, beside and before those of `set`."""

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.label or self.method


class GmadEntry(StrictModel):
    """How the methods compete by gMAD on the images they predict (`bench.analysis.gmad`)."""

    levels: int = Field(default=10, ge=2)
    """Levels of quality that the defender's scores are divided into."""
    pairs: int = Field(default=1, ge=1)
    """Pairs a level, none of them sharing an image."""
    spacing: Literal["quantile", "uniform"] = "quantile"
    """Levels with equally many images, or equally wide in the defender's scores."""


class Protocol(StrictModel):
    """One experiment: the cells of a table, and how each is measured."""

    name: str = ""
    """Short name; the file's name by default."""
    title: str = ""
    """Heading of its tables."""
    description: str = ""
    """What it shows and where it comes from (paper and table)."""
    datasets: tuple[str, ...] = ()
    """Datasets that are trained and tested on, each by itself."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Cross-dataset pairs [train, test], beside or instead of `datasets`."""
    train: tuple[str, ...] | None = None
    """Databases that one fit learns from together; [] for none (zero-shot). With `test`, instead of
    `datasets` and `pairs`."""
    trainings: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Several such lists by name, each a block of rows: {KonIQ: [koniq10k], ...}."""
    test: tuple[str, ...] = ()
    """Databases that every fit of `train` or `trainings` is tested on: the test side of its split
    for one that it learns from, all images of any other. The first one is watched in training."""
    test_side: Literal["split", "whole"] = "split"
    """'whole' tests on all images of each database, which then may not be learnt from."""
    sampling: Literal["proportional", "balanced"] = "proportional"
    """Of several databases: each image once, or smaller databases repeated so that all weigh the
    same."""
    means: tuple[Literal["plain", "by_images", "all"], ...] = ()
    """Extra columns over the test sets: their plain mean, or weighted by their images; those that a
    fit learns from apart from the others. 'all' also averages over both, as some papers print."""
    demo: tuple[str, ...] = ()
    """What `--datasets demo` stands for: the rendered sets, or TRAIN:TEST pairs of them, to try the
    protocol on; by default those that suit its datasets or pairs."""
    labels: tuple[int, ...] | dict[str, tuple[int, ...]] = ()
    """Label budgets; each gives a column. Budgets are nested: 50 lies within 100. A list for all
    datasets, or a mapping from dataset to list."""
    ratios: tuple[float, ...] | dict[str, tuple[float, ...]] = ()
    """Training ratios (fractions of the whole dataset), nested likewise; a list for all datasets,
    or a mapping from dataset to list."""
    zero_shot: bool = False
    """No label is learnt: methods predict as they come (after their own pre-training)."""
    repeats: int = Field(default=10, ge=1)
    """Number of seeded splits."""
    seed: int = 0
    """Seed of the splits."""
    split: str = "random"
    """'random' (by reference where there are references), 'official', or a published one."""
    test_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share held out for testing in random splits."""
    selection: Selection = "last"
    """The epoch that counts: 'last', 'val' (held-out part of the training side) or 'best_test'."""
    validation: float = Field(default=0.2, gt=0, lt=1)
    """Share of the labelled side that `selection: val` holds out."""
    evaluate_every: int = Field(default=5, ge=0)
    """Epochs between evaluations, for the curve; 0 evaluates only at the end."""
    normalise: Literal["minmax_train", "range", "none"] = "minmax_train"
    """Scaling of training labels: by the labelled images' own range, by the scale's, or not."""
    metrics: tuple[str, ...] = ("srcc", "plcc")
    """Metrics of the tables; the first one ranks."""
    methods: tuple[MethodEntry, ...] = ()
    """Rows of the table; `--methods` replaces them."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings for every method that has them, as `--set` gives them."""
    set_for: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The same for one dataset that is learnt from: NAME, or NAME@VERSION -> settings."""
    gmad: GmadEntry | None = None
    """What the protocol is for is a gMAD competition: reports draw its contact sheets, with these
    settings."""
    published: tuple[str, ...] = ()
    """Files of `protocols/published/` whose numbers stand beside ours."""
    split_corpora: bool = False
    """Corpora of pre-training are split like the datasets and give their training sides alone, so
    that one pre-training a repeat serves every dataset; otherwise they give all but the run's own
    test images."""
    parts: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """One table a part in reports: heading -> datasets, as where a paper has a table a task."""
    keep: tuple[Keep, ...] = ()
    """What runs store beside predictions: features of the test images (for t-SNE), what is known of
    each of them (its scene and distortion, and numbers that the method names, e.g. how sure it is
    of the scene), or maps of where the scores of a few of them come from."""

    time_limit: float | None = None
    """How long a run may take ('30m', '4h') before its worker is killed and it counts as failed;
    for a pre-training, from one epoch to the next. `--time-limit` replaces it."""

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
        if self.means and len(self.test) < 2:
            raise ValueError("means: a mean needs at least two test sets under 'test'")

    def _refuse_to_share(self) -> None:
        """A shared pre-training learns from whole training sides: not for tasks that grant less."""
        # The room of datasets brings numpy and pandas, which protocols can be read without.
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
        """The columns by fit: those of one tuple share what is learnt, the watched one first."""
        found: list[tuple[Task, ...]] = []
        for name in self.datasets:
            found += [(Task(train=name, test=name, **own),) for own in self._budgets(name)]
        for train, test in self.pairs:
            # All of the source is learnt: its own test side is not asked for.
            where: dict[str, Any] = {"train": train, "test": test, "learn": "all", "side": "whole"}
            found += [(Task(**where, **own),) for own in self._budgets(train)]
        for sources in self.source_lists():
            found += [self._suite(sources, own) for own in self._budgets(JOINT.join(sources))]
        return found

    def source_lists(self) -> list[tuple[str, ...]]:
        """The lists of databases that fits learn from together."""
        lists = [] if self.train is None else [self.train]
        return lists + list(self.trainings.values())

    def _suite(self, sources: tuple[str, ...], budget: dict[str, Any]) -> tuple[Task, ...]:
        own = {name.partition("@")[0] for name in sources}
        if not sources:
            budget = {"zero_shot": True}
        return tuple(
            Task(
                train=JOINT.join(sources),
                test=test,
                side="own" if test.partition("@")[0] in own else "whole",
                **budget,
            )
            for test in self.test
        )

    def _budgets(self, dataset: str) -> list[dict[str, Any]]:
        ratios = self.ratios.get(dataset, ()) if isinstance(self.ratios, dict) else self.ratios
        labels = self.labels.get(dataset, ()) if isinstance(self.labels, dict) else self.labels
        budgets: list[dict[str, Any]] = [{"labels": count} for count in labels]
        budgets += [{"ratio": ratio} for ratio in ratios]
        return budgets or [{"zero_shot": True} if self.zero_shot else {}]

    def split_rule(self) -> SplitRule:
        """How images are divided, as it enters a run's identity."""
        return SplitRule(
            scheme=self.split,
            seed=self.seed,
            test_fraction=self.test_fraction,
            validation=self.validation if self.selection == "val" else 0.0,
        )

    def demo_sets(self) -> tuple[str, ...]:
        """What `--datasets demo` stands for, as `--datasets` would name it."""
        return self.demo or (DEMO_PAIRS if self.pairs and not self.datasets else DEMO_SETS)

    def specs(self) -> list[str]:
        """All datasets it needs, each once, in order."""
        paired = [name for pair in self.pairs for name in pair]
        learnt = [name for sources in self.source_lists() for name in sources]
        return list(dict.fromkeys([*self.datasets, *paired, *learnt, *self.test]))


def available() -> dict[str, Path]:
    """Protocols that come with the project, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def find(text: str) -> Path:
    """The file for a path, or for the name of a protocol that comes with the project."""
    path = Path(text)
    if path.is_file():
        return path
    # `protocols/few_shot.yaml` works from any folder, as the documentation writes it.
    if path.stem in available() and str(path.parent) in (".", "protocols"):
        return available()[path.stem]
    if path.suffix in (".yaml", ".yml") and len(path.parts) > 1 and path.stem not in available():
        near = nearest(path.stem, available())
        hint = f" Did you mean '{near}'?" if near else ""
        raise UsageError(f"no protocol file '{text}'.{hint}")
    raise unknown("protocol", path.stem, available())


def load(text: str) -> Protocol:
    """Read and validate a protocol; every error names file, line and key, and what was meant."""
    return read(text).validated(Protocol)


def read(text: str) -> Document:
    """A protocol file as it stands, with what it inherits."""
    path = find(text)
    document = _merged(path, seen=())
    document.values.setdefault("name", path.stem)
    return document


def override(protocol: Protocol, changes: dict[str, Any]) -> Protocol:
    """The protocol with some fields replaced and checked again."""
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
    # What is wrong with an inherited key is to be mended in the file that it comes from.
    places = {key: at for key, at in inherited.places.items() if key[0] not in own.values}
    return Document(path, {**inherited.values, **own.values}, {**places, **own.places})


def parse_value(text: str) -> Any:
    """The value of `--set key=value`, as YAML: numbers, booleans, lists, text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"'{text}' is not a value: {error}") from error
