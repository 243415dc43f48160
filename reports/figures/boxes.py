"""Figures of spreads: the same method from several random starts (GRMP-IQA, Fig. 2)."""

from __future__ import annotations

from functools import partial

from bench.analysis.grid import metric_title
from bench.model.titles import budget_title
from bench.reports.drawing import draw_boxes, handle
from bench.reports.figures.sheet import FigureData, LeftOut, Panel, Sheet
from bench.reports.sweeps import LEAST, interval
from bench.reports.sweeps import starts as groups_of

Boxes = dict[str, list[tuple[str, list[float]]]]


def starts(data: FigureData) -> Sheet:
    """Medians over splits of each random start, by label budget; a panel a dataset."""
    panels: dict[str, Boxes] = {}
    for group in groups_of(data.cells):
        found = [interval(cell, data.metric) for cell in group.cells]
        medians = [item.median for item in found if item is not None]
        if len(medians) >= LEAST:
            boxes = panels.setdefault(group.task.title, {}).setdefault(group.name, [])
            boxes.append((budget_title(group.task.budget), medians))
    if not panels:
        raise LeftOut("no three complete rows differ in their random start alone (prompt_seed)")
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    title = metric_title(data.metric)
    drawn = [
        Panel(dataset, partial(draw_boxes, series=_numbered(series, names), y_title=title))
        for dataset, series in panels.items()
    ]
    legend = [handle(number, name) for number, name in enumerate(names)]
    caption = (
        "Every dot is the median over splits of one random start; whiskers reach the extremes."
    )
    return Sheet(data.cut(drawn, "spread over starts"), legend, caption, panel_size=(3.0, 2.2))


def _numbered(series: Boxes, names: list[str]) -> list[tuple[int, list[tuple[str, list[float]]]]]:
    return [(names.index(name), boxes) for name, boxes in series.items()]
