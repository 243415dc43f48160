"""Checks, before anything runs, that a protocol names existing methods, datasets and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import protocol as protocols
from bench import registry
from bench.data import datasets
from bench.protocol import Protocol
from bench.util.errors import UsageError, unknown


def check_file(text: str, roots: Sequence[Path]) -> None:
    """Check the names in a protocol file. Errors name the line."""
    document = protocols.read(text)
    protocol = document.validated(Protocol)

    def placed(key: str, names: Iterable[str]) -> list[tuple[str, str]]:
        return [(name, document.place((key, index))) for index, name in enumerate(names)]

    _methods(placed("methods", (entry.method for entry in protocol.methods)))
    _metrics(placed("metrics", protocol.metrics))
    pairs = [placed("pairs", (pair[side] for pair in protocol.pairs)) for side in (0, 1)]
    own = [(name, document.place(("set_for", name))) for name in protocol.set_for]
    for index, entry in enumerate(protocol.methods):
        own += [(name, document.place(("methods", index))) for name in entry.set_for]
    _datasets([*placed("datasets", protocol.datasets), *pairs[0], *pairs[1], *own], roots)


def check(protocol: Protocol, roots: Sequence[Path]) -> None:
    """Check the names in a protocol that command-line options have changed."""
    _metrics((name, "") for name in protocol.metrics)
    _datasets(((name, "") for name in protocol.specs()), roots)
    _labels(protocol, roots)


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
