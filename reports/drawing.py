"""How figures look: one style, series told apart by colour, marker and dash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bench.analysis.curves import Cloud, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
"""Okabe and Ito's palette, without the yellow that vanishes in print."""
GREY = "0.72"
"""What is not told apart."""
INTERVAL_MAP = "viridis"
"""Colours of score intervals, dark to light: ordered without colour too."""
HEAT_MAP = "inferno"
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

FloatArray = npt.NDArray[np.float64]
Numbered = tuple[int, Line]
"""A line with the number of its series."""


def series_look(number: int) -> dict[str, Any]:
    """Colour, marker and dash of a series: among eight, any one of the first two tells it apart."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        # From the ninth series on, colours meet other markers and dashes than before.
        "marker": MARKERS[(number + 3 * (number // len(COLOURS))) % len(MARKERS)],
        "linestyle": DASHES[(number + number // len(COLOURS)) % len(DASHES)],
    }


def class_look(number: int) -> dict[str, Any]:
    """Colour and marker of a class: a series' without the grey that stands for no class."""
    grey = COLOURS.index("#999999")
    return series_look(number + (number >= grey)) | {"linestyle": "none"}


def handle(number: int, name: str) -> Line2D:
    """A series' entry in the legend."""
    return _entry(name, series_look(number))


def class_handles(names: Sequence[str], others: str = "") -> list[Line2D]:
    """The legend of `draw_classes`; `others` is what images of no class are called, if any are."""
    found = [_entry(name, class_look(number)) for number, name in enumerate(names)]
    unclassed = {"color": GREY, "marker": ".", "linestyle": "none"}
    return [*found, _entry(others, unclassed)] if others else found


def _entry(name: str, look: dict[str, Any]) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=name, **look)


def marked_handles() -> list[Line2D]:
    """The legend of `draw_marked`."""
    looks = ((GREY, "other images"), ("black", "sure of semantics, wrong in quality"))
    return [
        _entry(name, {"color": colour, "marker": "o", "linestyle": "none"})
        for colour, name in looks
    ]


@dataclass(frozen=True)
class Axis:
    """What runs along x."""

    title: str
    scale: Literal["linear", "log"] = "linear"
    ticks: bool = False
    """A tick at every value, and no other."""


def draw_lines(
    axes: Axes,
    lines: Sequence[Numbered],
    axis: Axis,
    y_title: str,
    level: float | None = None,
) -> None:
    """Medians with their bands; `level` is a horizontal line to compare with."""
    for number, line in lines:
        look = series_look(number)
        axes.fill_between(line.x, line.low, line.high, color=look["color"], alpha=0.15, lw=0)
        if len(line.x) > 12:
            look["markevery"] = len(line.x) // 6
        axes.plot(line.x, line.y, **look)
    axes.set_xlabel(axis.title)
    axes.set_ylabel(y_title)
    axes.set_xscale(axis.scale)
    if axis.ticks:
        ticks = sorted({x for _, line in lines for x in line.x})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    if level is not None:
        axes.axhline(level, color="0.4", lw=0.7, zorder=1)


def draw_cloud(axes: Axes, points: Cloud, y_title: str = "MOS") -> None:
    """Predictions of one run against quality, with the fitted logistic."""
    axes.scatter(
        points.prediction, points.quality, s=7, color=COLOURS[0], alpha=0.55, lw=0, rasterized=True
    )
    if points.curve is not None:
        axes.plot(*points.curve, color=COLOURS[1])
    axes.set_xlabel("prediction")
    axes.set_ylabel(y_title)


def draw_boxes(
    axes: Axes, series: Sequence[tuple[int, Sequence[tuple[str, Sequence[float]]]]], y_title: str
) -> None:
    """Boxes with every value as a dot: for each series its values by group along x.

    The whiskers reach the smallest and the largest value.
    """
    groups = list(dict.fromkeys(group for _, boxes in series for group, _ in boxes))
    width = 0.8 / max(len(series), 1)
    for place, (number, boxes) in enumerate(series):
        look = series_look(number)
        for group, values in boxes:
            x = groups.index(group) + (place - (len(series) - 1) / 2) * width
            drawn = axes.boxplot(
                [list(values)],
                positions=[x],
                widths=width * 0.8,
                whis=(0, 100),
                showfliers=False,
                patch_artist=True,
                manage_ticks=False,
                boxprops={"facecolor": "white", "edgecolor": look["color"]},
                whiskerprops={"color": look["color"]},
                capprops={"color": look["color"]},
                medianprops={"color": look["color"], "lw": 1.8},
            )
            drawn["medians"][0].set_gid(f"median {number} {group}")
            dots = np.full(len(values), x)
            axes.plot(dots, list(values), look["marker"], color=look["color"], ms=3, alpha=0.6)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.grid(False, axis="x")
    axes.set_ylabel(y_title)


def draw_intervals(
    axes: Axes, points: FloatArray, values: FloatArray, bounds: FloatArray, title: str
) -> None:
    """Points (n, 2), coloured by the interval between `bounds` that their value (n,) lies in."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    colours = colormaps[INTERVAL_MAP].resampled(len(bounds) - 1)
    norm = BoundaryNorm(bounds, colours.N)
    drawn = axes.scatter(points[:, 0], points[:, 1], c=values, cmap=colours, norm=norm, s=11, lw=0)
    bar = axes.figure.colorbar(drawn, ax=axes, ticks=bounds[::2], pad=0.02, aspect=25)
    bar.ax.set_yticklabels([f"{bound:.3g}" for bound in bounds[::2]])
    bar.set_label(title)
    bar.outline.set_visible(False)
    _plane(axes)


def draw_classes(
    axes: Axes, points: FloatArray, classes: Sequence[str], names: Sequence[str]
) -> None:
    """Points (n, 2) by class: those of `names` with colours and markers, others grey."""
    every = np.array(classes)
    others = ~np.isin(every, names)
    axes.scatter(points[others, 0], points[others, 1], s=9, color=GREY, marker=".", label="")
    for number, name in enumerate(names):
        look, own = class_look(number), every == name
        axes.scatter(
            points[own, 0],
            points[own, 1],
            s=13,
            color=look["color"],
            marker=look["marker"],
            lw=0,
            label=name,
        )
    _plane(axes)


def draw_marked(axes: Axes, points: FloatArray, marked: npt.NDArray[np.bool_], text: str) -> None:
    """Points (n, 2), the `marked` (n,) ones black and on top; `text` stands below."""
    axes.scatter(points[~marked, 0], points[~marked, 1], s=11, color=GREY, lw=0)
    axes.scatter(points[marked, 0], points[marked, 1], s=14, color="black", lw=0)
    _plane(axes)
    axes.set_xlabel(text)


def draw_image(axes: Axes, image: npt.NDArray[np.uint8], text: str, side: str = "") -> None:
    """An image (H, W, 3), with a line of text below and one on its left side."""
    axes.imshow(image)
    _plane(axes)
    axes.set_xlabel(text)
    axes.set_ylabel(side)


def draw_overlay(
    axes: Axes,
    image: npt.NDArray[np.uint8],
    heat: npt.NDArray[np.floating[Any]],
    text: str,
    side: str = "",
) -> None:
    """A map (h, w) in 0-1 stretched over an image (H, W, 3), which is shown in grey below it."""
    height, width = image.shape[:2]
    axes.imshow(image.mean(axis=2), cmap="gray", vmin=0, vmax=255)
    axes.imshow(
        heat,
        cmap=HEAT_MAP,
        vmin=0,
        vmax=1,
        alpha=0.6,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="bilinear",
    )
    _plane(axes)
    axes.set_xlabel(text)
    axes.set_ylabel(side)


def _plane(axes: Axes) -> None:
    """Neither axis means anything by itself."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
