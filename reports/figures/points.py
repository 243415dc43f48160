"""Figures of predictions against quality."""

from __future__ import annotations

from functools import partial

from bench.analysis.curves import Cloud, cloud
from bench.analysis.results import CellResult
from bench.util.errors import StoreError
from reports.drawing import draw_cloud
from reports.figures.sheet import LeftOut, Panel, Sheet, View, budget, key, quality_title


def scatter(view: View) -> Sheet:
    """A panel a row and dataset, under the largest budget: the run nearest the median."""
    last = {(*key(cell), cell.entry.task.title): cell for cell in view.cells}
    found = [(cell, _points(view, cell)) for cell in last.values()]
    panels = [
        Panel(
            f"{cell.entry.label}\n{cell.entry.task.title}, {budget(cell.entry.task)}",
            partial(draw_cloud, points=points, y_title=quality_title(cell.entry.task.test)),
        )
        for cell, points in found
        if points is not None
    ]
    if not panels:
        raise LeftOut("no run has predictions with labels")
    caption = "The run nearest the median of its splits; the line is the fitted logistic."
    return Sheet(view.cut(panels, "scatter"), caption=caption)


def _points(view: View, cell: CellResult) -> Cloud | None:
    run = None if cell.unlabelled else cell.typical(view.metric)
    try:
        return cloud(view.results, run) if run is not None else None
    except (StoreError, ValueError, KeyError) as error:
        view.notes.append(f"{cell.entry.label} on {cell.entry.task.title}: no scatter: {error}")
        return None
