"""Checks, before anything runs, that a protocol names existing methods, datasets and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from bench import protocol as protocols
from bench import registry
from bench.api import NamesDataset
from bench.data import datasets
from bench.data.demo import DEMO_SETS
from bench.model.mixtures import unordered
from bench.model.records import JOINT
from bench.protocol import DEMO_SUITE, Protocol, published
from bench.util.errors import UsageError, hint, unknown

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from bench.api import Settings
    from bench.protocol.variants import Variant


def check_file(text: str, roots: Sequence[Path]) -> None:
    """Check the names in a protocol file. Errors name the line."""
    document = protocols.read(text)
    protocol = document.validated(Protocol)

    def placed(key: str, names: Iterable[str]) -> list[tuple[str, str]]:
        return [(name, document.place((key, index))) for index, name in enumerate(names)]

    _methods(placed("methods", (entry.method for entry in protocol.methods)))
    _metrics(placed("metrics", protocol.metrics))
    pairs = [placed("pairs", (pair[side] for pair in protocol.pairs)) for side in (0, 1)]
    own = [
        (part, document.place(("set_for", name)))
        for name in protocol.set_for
        for part in name.split(JOINT)
    ]
    for heading, names in protocol.parts.items():
        own += [(name, document.place(("parts", heading, i))) for i, name in enumerate(names)]
    for index, entry in enumerate(protocol.methods):
        place = document.place(("methods", index))
        own += [(part, place) for name in entry.set_for for part in name.split(JOINT)]
    _datasets([*placed("datasets", protocol.datasets), *pairs[0], *pairs[1], *own], roots)
    _datasets(
        [*placed("train", protocol.train or ()), *placed("test", protocol.test)]
        + [
            (name, document.place(("trainings", title, index)))
            for title, names in protocol.trainings.items()
            for index, name in enumerate(names)
        ],
        roots,
    )
    _budgets(protocol, lambda key, name: document.place((key, name)))
    _published(placed("published", protocol.published))
    _settings(protocol, lambda key: document.place(("settings", key)))
    _once(protocol, lambda key, index: document.place((key, index)))


def check(protocol: Protocol, roots: Sequence[Path]) -> None:
    """Check the names in a protocol that command-line options have changed."""
    _metrics((name, "") for name in protocol.metrics)
    _published((name, "") for name in protocol.published)
    _once(protocol, lambda key, index: "")
    _datasets(((name, "") for name in protocol.specs()), roots)
    for key, given in (("labels", protocol.labels), ("ratios", protocol.ratios)):
        if isinstance(given, dict):  # a name that does not exist would mean all labels
            _datasets([(part, key) for name in given for part in name.split(JOINT)], roots)
    _labels(protocol, roots)


def check_settings(variants: Iterable[Variant], roots: Sequence[Path]) -> None:
    """Check the datasets that settings of methods name (`bench.api.DatasetName`)."""
    for variant in variants:
        for settings in (variant.settings, *variant.settings_for.values()):
            for key, name in dataset_names(settings):
                _datasets([(name.partition("#")[0], f"{variant.method}.{key}")], roots)


def dataset_names(settings: Settings) -> list[tuple[str, str]]:
    """The settings that are marked as names of datasets, each with its values."""
    found = []
    for key, field in type(settings).model_fields.items():
        if any(isinstance(item, NamesDataset) for item in (*field.metadata, *_inside(field))):
            value = getattr(settings, key)
            values = [value] if isinstance(value, str) else value or ()
            found += [(key, str(one)) for one in values]
    return found


def _inside(field: FieldInfo) -> Iterator[Any]:
    """The annotations of a field's type and of all its parts: those of X in `tuple[X, ...]`,
    too."""
    todo: list[Any] = [field.annotation]
    while todo:
        kind = todo.pop()
        yield from getattr(kind, "__metadata__", ())
        todo += get_args(kind)


def _budgets(protocol: Protocol, place: Callable[[str, str], str]) -> None:
    """Refuse budgets for a dataset that the protocol does not learn from and that is not
    rendered."""
    learnt = {unordered(task.train): task.train for task in protocol.tasks()}
    rendered = {name for pair in (DEMO_SETS, DEMO_SUITE) for name in pair}
    for key, given in (("labels", protocol.labels), ("ratios", protocol.ratios)):
        for name in given if isinstance(given, dict) else ():
            if unordered(name) not in learnt and name.partition("@")[0] not in rendered:
                known = learnt.values()
                raise unknown("training dataset of this protocol", name, known, place(key, name))


def _published(names: Iterable[tuple[str, str]]) -> None:
    known = published.available()
    for name, where in names:
        if name not in known:
            raise unknown("published table", name, known, where)


def _settings(protocol: Protocol, place: Callable[[str], str]) -> None:
    """Refuse a shared setting that no method has, neither a row nor one that `--methods` may add.

    Keys of the form METHOD.KEY are for one of them.
    """
    if not protocol.settings:
        return
    own = [registry.split_name(registry.full_name(entry.method))[0] for entry in protocol.methods]
    rows = {key for name in own for key in registry.setting_names(registry.load(name))}
    for key in protocol.settings:
        owner, dot, name = key.rpartition(".")
        if dot:
            _methods([(owner, place(key))])
            names = registry.setting_names(registry.load(registry.split_name(owner)[0]))
        else:
            name = key
            names = [] if key in rows else _all_settings()
        if name not in names and name not in rows:
            meant = hint(name, rows or names)
            raise UsageError(f"{place(key)}: settings: no method has a setting '{key}'.{meant}")


def _all_settings() -> list[str]:
    every = (registry.load(name) for name, entry in registry.entries().items())
    return [key for cls in every for key in registry.setting_names(cls)]


def _once(protocol: Protocol, place: Callable[[str, int], str]) -> None:
    """Refuse a value that is listed twice, since a cell would then have two values."""
    for key in ("datasets", "pairs", "test", "metrics", "labels", "ratios", "means", "keep"):
        values = getattr(protocol, key)
        for index, value in enumerate(values if isinstance(values, tuple) else ()):
            if value in values[:index]:
                shown = ":".join(value) if isinstance(value, tuple) else value
                where = place(key, index)
                raise UsageError(f"{where}{': ' * bool(where)}{key}: '{shown}' is given twice")
    _each_mixture_once(protocol)


def _each_mixture_once(protocol: Protocol) -> None:
    """Refuse A+B beside B+A: they are the same databases, and one of them would have no effect."""
    given: dict[str, Any] = {key: getattr(protocol, key) for key in ("labels", "ratios", "set_for")}
    given |= {f"{entry.title}: set_for": entry.set_for for entry in protocol.methods}
    for key, values in given.items():
        names = list(values) if isinstance(values, dict) else []
        for index, name in enumerate(names):
            same = [other for other in names[:index] if unordered(other) == unordered(name)]
            if same:
                raise UsageError(f"{key}: '{same[0]}' and '{name}' are the same databases")


def _methods(names: Iterable[tuple[str, str]]) -> None:
    known = registry.entries()
    for name, where in names:
        if registry.split_name(name)[0] not in known:
            raise unknown("method", name, known, where)


def _metrics(names: Iterable[tuple[str, str]]) -> None:
    from bench.metrics import metric

    for name, where in names:
        metric(name, where)


def _datasets(names: Iterable[tuple[str, str]], roots: Sequence[Path]) -> None:
    known = datasets.names(roots)
    for name, where in names:
        if name.partition("@")[0] not in known:
            raise unknown("dataset", name, known, where)
        datasets.info(name, roots)


def _labels(protocol: Protocol, roots: Sequence[Path]) -> None:
    """Refuse a dataset without labels for training and for the selection of an epoch."""
    for task in protocol.tasks():
        for source in () if task.zero_shot else task.sources:
            if datasets.info(source, roots).labelled:
                continue
            raise UsageError(
                f"{source} has no labels to train on; it can only be tested on: by methods "
                f"trained on another one (pairs: [[livec, {source}]]) or with zero_shot: true"
            )
        if protocol.selection == "best_test" and not datasets.info(task.test, roots).labelled:
            raise UsageError(
                f"selection: best_test needs labels to choose by, and {task.test} has none; "
                "use last or val"
            )
