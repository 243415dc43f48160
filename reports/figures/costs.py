"""Quality against cost."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from bench.analysis import costs
from bench.analysis.grid import metric_title
from bench.reports.drawing import INK, handle, series_look
from bench.reports.figures.sheet import FigureData, LeftOut, Panel, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AXES = (("gmacs", "multiply-adds an image, 10⁹"), ("ms", "milliseconds an image"))
Point = tuple[int, float, float]
"""Number of the series, cost, score."""


def tradeoff(data: FigureData) -> Sheet:
    """The median over datasets against multiply-adds and time; a line joins the Pareto front."""
    own = data.summary[
        (data.summary["protocol"] == data.protocol.name)
        & (data.summary["metric"] == data.metric)
        & data.summary["complete"]
    ]
    scores = own.groupby("label", sort=False)["median"].mean()
    rows = costs.rows(data.results)
    known = {row["label"]: row for row in rows if row["protocol"] == data.protocol.name}
    panels, named = [], set()
    for column, title in AXES:
        points = [
            (number, float(known[str(label)][column]), float(score))
            for number, (label, score) in enumerate(scores.items())
            if str(label) in known
        ]
        points = [one for one in points if one[1] > 0 and not math.isnan(one[1] + one[2])]
        if len(points) > 1:
            y_title = f"{metric_title(data.metric)}, mean of medians"
            panels.append(Panel("", partial(_draw, points=points, x=title, y=y_title)))
            named |= {number for number, _, _ in points}
    if not panels:
        raise LeftOut("fewer than two rows have measured costs")
    legend = [handle(number, label) for number, label in enumerate(scores.index) if number in named]
    caption = "The line joins rows that no other one beats at a lower cost; costs are logarithmic."
    return Sheet(panels, legend, caption, across=2, panel_size=(3.2, 2.4))


def _draw(axes: Axes, points: list[Point], x: str, y: str) -> None:
    best = [points[place] for place in costs.front([(cost, score) for _, cost, score in points])]
    axes.plot([p[1] for p in best], [p[2] for p in best], color=INK, linewidth=0.8, zorder=1)
    for number, cost, score in points:
        axes.plot([cost], [score], **{**series_look(number), "linestyle": "none"})
    axes.set_xscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
