"""Cells that only differ in one setting: results by the values of this setting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.curves import Line
from bench.analysis.results import CellResult
from bench.model.identity import canonical
from bench.model.records import Selection, Task
from bench.stats.median import MedianInterval, median_interval

LEAST = 3
"""Values that make a curve, and random starts that make a spread."""


@dataclass(frozen=True)
class ParameterSweep:
    """Cells of one method on one task whose settings agree in all but one."""

    setting: str
    method: str
    task: Task
    selection: Selection
    fixed: dict[str, Any]
    """The settings that they share."""
    cells: tuple[tuple[float, CellResult], ...]
    """Each value once, in ascending order."""


@dataclass(frozen=True)
class Starts:
    """Cells of one method on one task that differ in their random start alone."""

    name: str
    """What their labels have in common, or the method's name."""
    task: Task
    cells: tuple[CellResult, ...]


def sweeps(cells: Iterable[CellResult]) -> list[ParameterSweep]:
    """Every numeric setting with at least three values under otherwise equal settings.

    Seeds are no settings in this sense (`starts`).
    """
    known = [(cell, values) for cell in cells if (values := settings_of(cell))]
    names = dict.fromkeys(name for _, values in known for name in values if not is_seed(name))
    found = []
    for name in names:
        groups: dict[str, dict[float, CellResult]] = {}
        shared: dict[str, dict[str, Any]] = {}
        for cell, values in known:
            value = values.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            fixed = {other: values[other] for other in values if other != name}
            group = _place(cell, fixed)
            groups.setdefault(group, {}).setdefault(float(value), cell)
            shared[group] = fixed
        found += [
            _sweep(name, shared[group], members)
            for group, members in groups.items()
            if len(members) >= LEAST
        ]
    return found


def starts(cells: Iterable[CellResult]) -> list[Starts]:
    """Groups of at least three cells that differ in settings called seed alone."""
    groups: dict[str, dict[str, CellResult]] = {}
    for cell in cells:
        values = settings_of(cell)
        seeds = {name: values[name] for name in values if is_seed(name)}
        if not seeds:
            continue
        fixed = {name: values[name] for name in values if name not in seeds}
        groups.setdefault(_place(cell, fixed), {}).setdefault(canonical(seeds), cell)
    return [
        Starts(_common_name(list(members.values())), cell.entry.task, tuple(members.values()))
        for members in groups.values()
        if len(members) >= LEAST
        for cell in [next(iter(members.values()))]
    ]


def over_values(sweep: ParameterSweep, metric: str) -> Line | None:
    """Median and interval by value, of complete cells; None with fewer than three of them."""
    points = [(value, interval(cell, metric)) for value, cell in sweep.cells]
    known = [(value, found) for value, found in points if found is not None]
    if len(known) < LEAST:
        return None
    return Line(
        sweep.setting,
        [value for value, _ in known],
        [found.median for _, found in known],
        [found.low for _, found in known],
        [found.high for _, found in known],
    )


def interval(cell: CellResult, metric: str) -> MedianInterval | None:
    """The cell's median with its interval; None where not all of its runs count."""
    values = cell.values(metric)
    return median_interval(values) if values and len(values) == len(cell.runs) else None


def settings_of(cell: CellResult) -> dict[str, Any]:
    """The settings of a cell's runs; {} without a record."""
    return next((run.spec.fit.settings for run in cell.records), {})


def is_seed(name: str) -> bool:
    """Whether a setting only says which random start."""
    return name == "seed" or name.endswith("_seed")


def _place(cell: CellResult, fixed: dict[str, Any]) -> str:
    entry = cell.entry
    spec = next(run.spec for run in cell.records)
    task = entry.task.model_dump(mode="json")
    return canonical([entry.method, entry.selection, task, spec.fit.weights, fixed])


def _sweep(name: str, fixed: dict[str, Any], members: dict[float, CellResult]) -> ParameterSweep:
    first = next(iter(members.values())).entry
    ordered = tuple(sorted(members.items(), key=lambda item: item[0]))
    return ParameterSweep(name, first.method, first.task, first.selection, fixed, ordered)


def _common_name(cells: Sequence[CellResult]) -> str:
    labels = [cell.entry.label for cell in cells]
    first, last = min(labels), max(labels)
    size = next((i for i, letter in enumerate(first) if letter != last[i]), len(first))
    return first[:size].rstrip(" -_=:,([") or cells[0].entry.method
