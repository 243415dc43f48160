"""Figures of lines with bands: over label budgets, over epochs, over a setting's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from bench.analysis.curves import Line, Reading, diagnostic, on_test, over_budgets, over_epochs
from bench.analysis.grid import metric_title
from bench.analysis.results import CellResult
from bench.model.records import Task
from bench.model.titles import budget_title
from bench.reports.drawing import Axis, Numbered, draw_lines, handle
from bench.reports.figures.sheet import FigureData, LeftOut, Panel, Sheet, key, panel_title
from bench.reports.sweeps import ParameterSweep, over_values, sweeps

BAND = (
    "Median over splits; the band is its order-statistic interval, or the range of fewer than six "
    "splits."
)
CEILING = " The thin line is the noise ceiling: what a perfect predictor reaches."
RIGHT_ANGLE = 90.0

Trained = list[tuple[str, list[tuple[int, Line | None]]]]
"""Title of each panel, and its lines with the numbers of their series."""


def few_shot(data: FigureData) -> Sheet:
    """The first metric by number of labels, a panel a dataset."""
    reason = "no method has complete cells for two label budgets"
    return _budgets(data, Axis("labels", "log", ticks=True), "", reason)


def ratios(data: FigureData) -> Sheet:
    """The first metric by training ratio (MP-IQE, Table 5), a panel a dataset."""
    reason = "no method has complete cells for two training ratios"
    return _budgets(data, Axis("training images (% of all)", ticks=True), "%", reason)


def epochs(data: FigureData) -> Sheet:
    """The first metric on the test images over training, a panel a task."""
    panels = _trained(data, on_test(data.metric))
    reason = "no run was evaluated at two epochs"
    return _sheet(panels, Axis("epoch"), metric_title(data.metric), reason)


def angle(data: FigureData) -> Sheet:
    """The angle between the gradients of quality and semantics (GRMP-IQA, Fig. 4b)."""
    panels = _trained(data, diagnostic("angle"))
    reason = "no method reports the angle between its gradients"
    axis, y_title = Axis("epoch"), "gradient angle (degrees)"
    return _sheet(panels, axis, y_title, reason, RIGHT_ANGLE, _shared(data, panels))


def _shared(data: FigureData, panels: Trained) -> dict[str, tuple[float, float]]:
    """One range of y for all panels of a dataset, so that their heights compare: by panel."""
    values: dict[str, list[float]] = {}
    names = {panel_title(task): task.title for task in data.tasks()}
    for title, lines in panels:
        for _, line in lines:
            found = [] if line is None else [*line.low, *line.high, RIGHT_ANGLE]
            values.setdefault(names[title], []).extend(found)
    room = {name: (max(found) - min(found)) / 20 or 1 for name, found in values.items() if found}
    return {
        title: (min(values[name]) - room[name], max(values[name]) + room[name])
        for title, name in names.items()
        if name in room
    }


def settings(data: FigureData) -> Sheet:
    """The first metric by each setting that takes several values, a panel a dataset and setting."""
    found = sweeps(data.cells)
    lines = [(sweep, over_values(sweep, data.metric)) for sweep in found]
    drawn = [(sweep, line) for sweep, line in lines if line is not None]
    if not drawn:
        raise LeftOut(
            "no numeric setting takes three values with complete results while all others stay "
            "the same"
        )
    name = partial(_sweep_name, [sweep for sweep, _ in drawn])
    names = list(dict.fromkeys(name(sweep) for sweep, _ in drawn))
    places = list(dict.fromkeys((sweep.task.title, sweep.setting) for sweep, _ in drawn))
    panels = []
    for dataset, setting in places:
        own = [
            (names.index(name(sweep)), line)
            for sweep, line in drawn
            if (sweep.task.title, sweep.setting) == (dataset, setting)
        ]
        scale = _scale([x for _, line in own for x in line.x])
        axis = Axis(_setting_title(setting), scale, ticks=True)
        draw = partial(draw_lines, lines=own, axis=axis, y_title=metric_title(data.metric))
        panels.append(Panel(dataset, draw))
    legend = [handle(number, text) for number, text in enumerate(names)] if any(names) else []
    return Sheet(data.cut(panels, "results by setting"), legend, BAND)


def _budgets(data: FigureData, axis: Axis, unit: str, reason: str) -> Sheet:
    table = data.rows
    panels = []
    names = data.names()
    for dataset, rows in table.groupby("dataset", sort=False):
        of_row = dict(list(rows.groupby(["label", "selection"], sort=False)))
        lines = [
            (number, over_budgets(name, of_row[own], unit))
            for number, (own, name) in enumerate(names)
            if own in of_row
        ]
        panels.append((str(dataset), lines))
    known = table.dropna(subset=["ceiling"]).drop_duplicates("dataset")
    ceilings = dict(zip(known["dataset"], known["ceiling"], strict=True))
    return _sheet(panels, axis, metric_title(data.metric), reason, levels=ceilings)


def _trained(data: FigureData, reading: Reading) -> Trained:
    names = data.names()
    of_row: dict[tuple[Task, tuple[str, str]], list[CellResult]] = {}
    for cell in data.cells:
        of_row.setdefault((cell.entry.task, key(cell)), []).append(cell)
    panels = []
    for task in data.tasks():
        lines = [
            (number, over_epochs(name, data.results.trained(cell), reading))
            for number, (own, name) in enumerate(names)
            for cell in of_row.get((task, own), [])
        ]
        panels.append((panel_title(task), lines))
    return panels


def _sheet(
    panels: Sequence[tuple[str, Sequence[tuple[int, Line | None]]]],
    axis: Axis,
    y_title: str,
    reason: str,
    level: float | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    levels: Mapping[str, float] | None = None,
) -> Sheet:
    """`level` is a thin line in all panels, `levels` one in the panel of each title."""
    found: list[tuple[str, list[Numbered]]] = [
        (title, [(number, line) for number, line in lines if line is not None])
        for title, lines in panels
    ]
    drawn = [(title, lines) for title, lines in found if lines]
    if not drawn:
        raise LeftOut(reason)
    named = {number: line.title for _, lines in drawn for number, line in lines}
    return Sheet(
        [
            Panel(
                title,
                partial(
                    draw_lines,
                    lines=lines,
                    axis=axis,
                    y_title=y_title,
                    level=(levels or {}).get(title, level),
                    y_range=(ranges or {}).get(title),
                ),
            )
            for title, lines in drawn
        ],
        [handle(number, name) for number, name in sorted(named.items())],
        BAND + (CEILING if levels and any(title in levels for title, _ in drawn) else ""),
    )


def _sweep_name(every: Sequence[ParameterSweep], sweep: ParameterSweep) -> str:
    """What tells a sweep from the others: its budget, method and fixed settings, where they do."""
    parts = []
    if len({other.task.budget for other in every}) > 1:
        parts.append(budget_title(sweep.task.budget))
    if len({(other.method, other.selection) for other in every}) > 1:
        parts.append(sweep.method)
    rivals = [
        other
        for other in every
        if (other.setting, other.method, other.task) == (sweep.setting, sweep.method, sweep.task)
    ]
    for name, value in sweep.fixed.items():
        if any(other.fixed.get(name) != value for other in rivals):
            parts.append(f"{_setting_title(name)} = {value}")
    return ", ".join(parts)


def _setting_title(name: str) -> str:
    """A setting as an axis calls it: `lam` is λ, an underscore a space."""
    words = name.strip("_").split("_")
    return " ".join("λ" if word in ("lambda", "lam") else word for word in words)


def _scale(values: Sequence[float]) -> Literal["linear", "log"]:
    """Logarithmic where values span a factor of eight, e.g. 2, 4, 8, 16."""
    return "log" if min(values) > 0 and max(values) / min(values) >= 8 else "linear"
