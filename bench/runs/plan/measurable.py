"""Checks which metrics a protocol's tables can have, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bench.data.datasets.base import Dataset
from bench.metrics import NEEDS, metric
from bench.metrics.known import Known, Need
from bench.model.records import Task
from bench.protocol import Protocol
from bench.util.errors import UsageError

WAYS_OUT: dict[str, str] = {
    "ratings": "leave it out, or name the columns `spread` and `raters` of a database of your own",
    "five levels": "leave it out: its constants hold for no other scale",
    "validation": "set `selection: val` and test on a database that is learnt from, or take the "
    "metric without `_val`, whose curve is fitted on the test images",
}
"""Need of a metric -> advice if no task of a protocol meets it."""
Databases = Callable[[str], Dataset]


def check(protocol: Protocol, planned: Sequence[Task], dataset: Databases) -> list[str]:
    """A line for each metric and planned task on which the metric cannot have a value.

    Raises `UsageError` with advice for a metric that no task of the protocol can have.
    """
    tasks = [task for task in planned if dataset(task.test).info.labelled]
    lines: list[str] = []
    for name in protocol.metrics if tasks else ():
        _refuse_groups(name, tasks, dataset)
        reasons = {task: next(_lacking(name, protocol, task, dataset), None) for task in tasks}
        lacking = {task: need for task, need in reasons.items() if need is not None}
        if len(lacking) == len(tasks):
            need = lacking[tasks[0]]
            where = ", ".join(dict.fromkeys(task.test for task in tasks))
            raise UsageError(
                f"metrics: {name} needs {NEEDS[need]}, and no test set of this protocol has them "
                f"({where}): {WAYS_OUT[need]}"
            )
        lines += [
            f"no {name} on {task.title}: it needs {NEEDS[need]}" for task, need in lacking.items()
        ]
    return list(dict.fromkeys(lines))


def _refuse_groups(name: str, tasks: list[Task], dataset: Databases) -> None:
    column = metric(name).by
    if column and not any(column in dataset(task.test).groupings for task in tasks):
        where = ", ".join(dict.fromkeys(task.test for task in tasks))
        raise UsageError(
            f"metrics: {name}: no test set names a {column} of several images ({where})"
        )


def _lacking(name: str, protocol: Protocol, task: Task, dataset: Databases) -> Iterator[Need]:
    """The needs of a metric that a task does not meet."""
    known = dataset(task.test).known()
    for need in metric(name).needs:
        there = _validates(protocol, task) if need == "validation" else _has(known, need)
        if not there:
            yield need


def _has(known: Known, need: Need) -> bool:
    """Whether some test images have it; a run has a value if all of its test images do."""
    if need != "ratings" or known.std is None or known.raters is None:
        return known.has(need)
    return bool(((known.raters >= 2) & np.isfinite(known.std)).any())


def _validates(protocol: Protocol, task: Task) -> bool:
    """Whether a task has validation images of its test database."""
    return protocol.selection == "val" and not task.zero_shot and task.test in task.sources
