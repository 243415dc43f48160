"""Figures of predictions against quality."""

from __future__ import annotations

from functools import partial

from bench.analysis.curves import Cloud, cloud
from bench.analysis.results import CellResult
from bench.reports.drawing import draw_cloud
from bench.reports.figures.sheet import (
    FigureData,
    LeftOut,
    Panel,
    Sheet,
    cell_title,
    key,
    quality_title,
)
from bench.util.errors import StoreError


def scatter(data: FigureData) -> Sheet:
    """A panel a row and dataset, under the largest budget: the run nearest the median."""
    last = {(*key(cell), cell.entry.task.title): cell for cell in data.cells}
    found = [(cell, _points(data, cell)) for cell in last.values()]
    panels = [
        Panel(
            cell_title(cell),
            partial(draw_cloud, points=points, y_title=quality_title(cell.entry.task.test)),
        )
        for cell, points in found
        if points is not None
    ]
    if not panels:
        raise LeftOut("no run has predictions with labels")
    caption = "The run nearest the median of its splits; the line is the fitted logistic."
    return Sheet(data.cut(panels, "scatter"), caption=caption)


def _points(data: FigureData, cell: CellResult) -> Cloud | None:
    run = None if cell.unlabelled else cell.typical(data.metric)
    try:
        return cloud(data.results, run) if run is not None else None
    except (StoreError, ValueError, KeyError) as error:
        data.notes.append(f"{cell.entry.label} on {cell.entry.task.title}: no scatter: {error}")
        return None
