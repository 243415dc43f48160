"""How figures look: one style, series told apart by colour, marker and dash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.curves import Cloud, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
"""Okabe and Ito's palette, without the yellow that vanishes in print."""
MARKERS = "osD^vPX*"
DASHES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    # Editable text, and fonts that publishers' checks accept.
    "pdf.fonttype": 42,
    "savefig.dpi": 160,
    # A dollar sign in a name starts no formula.
    "text.parse_math": False,
}

Numbered = tuple[int, Line]
"""A line with the number of its series."""


def series_look(number: int) -> dict[str, Any]:
    """Colour, marker and dash of a series: any one of them tells it apart."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number % len(DASHES)],
    }


def handle(number: int, name: str) -> Line2D:
    """A series' entry in the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=name, **series_look(number))


def draw_lines(
    axes: Axes, lines: Sequence[Numbered], x_title: str, y_title: str, budgets: bool
) -> None:
    """Medians with their bands; `budgets` has a log scale with a tick at every budget."""
    for number, line in lines:
        look = series_look(number)
        axes.fill_between(line.x, line.low, line.high, color=look["color"], alpha=0.15, lw=0)
        if len(line.x) > 12:
            look["markevery"] = len(line.x) // 6
        axes.plot(line.x, line.y, **look)
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    if budgets:
        ticks = sorted({x for _, line in lines for x in line.x})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    if "angle" in y_title:
        axes.axhline(90, color="0.4", lw=0.7)


def draw_cloud(axes: Axes, points: Cloud) -> None:
    """Predictions of one run against quality, with the fitted logistic."""
    axes.scatter(
        points.prediction, points.quality, s=7, color=COLOURS[0], alpha=0.55, lw=0, rasterized=True
    )
    if points.curve is not None:
        axes.plot(*points.curve, color=COLOURS[1])
    axes.set_xlabel("prediction")
    axes.set_ylabel("MOS")
