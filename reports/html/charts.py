"""Charts inside pages: drawn as in print (`bench.reports.drawing`), in the colours of the page."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from bench.analysis.compare import AcrossDatasets
from bench.analysis.curves import Cloud
from bench.reports import rank_diagram as diagrams
from bench.reports.drawing import (
    COLOURS,
    INK,
    MANY_IMAGES,
    STYLE,
    Axis,
    Numbered,
    draw_cloud,
    draw_lines,
)
from bench.reports.html.inline_svg import slim

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SOFT, RULE = "#5c5851", "#e3dfd6"
VARIABLES = {
    **{colour: f"var(--c{number})" for number, colour in enumerate(COLOURS)},
    INK: "var(--ink)",
    RULE: "var(--line)",
    SOFT: "var(--soft)",
}
"""Colours of a drawing -> those of the style sheet, which differ by theme."""
PAGE_STYLE: dict[Any, Any] = {
    **STYLE,
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 1,
    "axes.facecolor": "none",
    "axes.grid.axis": "y",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": RULE,
    "grid.linewidth": 1,
    "figure.facecolor": "none",
    "figure.dpi": 72,  # a point is a pixel
    "lines.linewidth": 2,
    "lines.markersize": 7,
    "xtick.major.size": 0,
    "xtick.major.pad": 5,
    "ytick.major.size": 0,
    "ytick.major.pad": 7,
    "svg.fonttype": "none",
    "svg.hashsalt": "iqa-bench",
}
NARROW, TALL, WIDE = (340, 230), (340, 250), (470, 270)
"""Width and height in pixels. Wide charts stand two in a row and the others three, so that text is
of one size everywhere."""
MARGINS = (46, 14, 12, 36)
"""Pixels at the left, right, top and bottom of the axes."""
RANKS_WIDTH, RANKS_EDGE, RANKS_UNIT = 640, 170, 40
"""Pixels: width of a diagram of ranks, room for names at either side, and its unit of height."""
TICKS = 5
"""Intervals between ticks at most."""
LONGEST_NAME = 22
"""Letters of a name in such a diagram."""


def line_chart(
    lines: Sequence[Numbered],
    name: str,
    axis: Axis,
    y_title: str,
    size: tuple[int, int] = NARROW,
    level: float | None = None,
) -> Markup:
    """Medians with their bands, and a thin line at `level`.

    `name` is what a screen reader says, here and below.
    """
    draw = partial(draw_lines, lines=lines, axis=axis, y_title=y_title, level=level)
    return _chart(draw, name, size)


def scatter(points: Cloud, name: str) -> Markup:
    """Prediction against quality with the fitted logistic; of many images every k-th."""
    step = -(-len(points.prediction) // MANY_IMAGES)
    thin = replace(points, prediction=points.prediction[::step], quality=points.quality[::step])
    return _chart(partial(draw_cloud, points=thin), name, TALL)


def rank_diagram(found: AcrossDatasets, name: str) -> Markup:
    """A critical-difference diagram."""
    draw = partial(diagrams.draw, found=found, longest=LONGEST_NAME)
    size = (RANKS_WIDTH, round(RANKS_UNIT * diagrams.diagram(found).height))
    return _chart(draw, name, size, (RANKS_EDGE, RANKS_EDGE, 0, 0), "chart ranks")


def _chart(
    draw: Callable[[Axes], None],
    name: str,
    size: tuple[int, int],
    margins: tuple[int, int, int, int] = MARGINS,
    kind: str = "chart",
) -> Markup:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    with mpl.rc_context(PAGE_STYLE):
        axes = _axes(size, margins)
        try:
            draw(axes)
            FigureCanvasSVG(axes.get_figure(root=True)).print_svg(text)
        except (ValueError, ArithmeticError) as error:
            # Finite values whose ticks are not: the rest of the page is whole.
            return Markup("<p>{}: no chart ({})</p>").format(name, error)
        finally:
            _clear(axes)  # other charts take the same axes
    return Markup(
        f'<svg class="{kind}" role="img" viewBox="0 0 {size[0]} {size[1]}">'
        f"<title>{escape(name)}</title>{slim(text.getvalue(), VARIABLES)}</svg>"
    )


@cache
def _axes(size: tuple[int, int], margins: tuple[int, int, int, int]) -> Axes:
    """Empty axes, one for all charts of a size: making them takes longer than drawing a chart."""
    from matplotlib.figure import Figure

    (width, height), (left, right, top, bottom) = size, margins
    across, up = width - left - right, height - top - bottom
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((left / width, bottom / height, across / width, up / height))
    # Titles at fixed places: finding places by the ticks takes long, too.
    axes.xaxis.set_label_coords(0.5, (16 - bottom) / up)
    axes.yaxis.set_label_coords((13 - left) / across, 0.5)
    axes.locator_params(nbins=TICKS)
    return axes


def _clear(axes: Axes) -> None:
    """Make axes as `_axes` gives them."""
    for artist in (*axes.lines, *axes.collections, *axes.texts):
        artist.remove()
    axes.set_xscale("linear")  # with ticks where they fall
    axes.locator_params(nbins=TICKS)
    axes.relim()
    axes.autoscale()
