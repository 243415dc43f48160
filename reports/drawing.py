"""The style of charts, in print and on pages: series differ in colour, marker and dash."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bench.analysis.curves import Cloud, Line
from bench.util.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
"""Okabe and Ito's palette, without the yellow that vanishes in print."""
INK = "#1d1c1a"
"""Lines and text that belong to no series."""
GREY = "0.72"
"""Colour of everything that is not distinguished."""
INTERVAL_MAP = "viridis"
"""Colours of score intervals, dark to light: ordered without colour too."""
KEY = "Comment"
"""Name of the PNG field with the key of its data."""
HEAT_MAP = "inferno"
FINEST = 100
"""Cells of a heat map on its longer side, about."""
MARKERS = "osD^vPX*"
DASHES = ("-", "--", "-.", ":")
MANY_EPOCHS = 12
"""A line with more points carries a marker at some of them only."""
MANY_IMAGES = 600
"""A scatter with more points is a bitmap in a PDF: as shapes it would be slow to show."""
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    # Editable text, and fonts that publishers' checks accept.
    "pdf.fonttype": 42,
    "figure.dpi": 160,
    # A dollar sign in a name starts no formula.
    "text.parse_math": False,
}

FloatArray = npt.NDArray[np.float64]
Numbered = tuple[int, Line]
"""A line with the number of its series."""


def series_marks(number: int) -> tuple[int, int]:
    """Places of a series' colour in `COLOURS` and of its marker in `MARKERS`."""
    # From the ninth series on, colours meet other markers and dashes than before.
    return number % len(COLOURS), (number + 3 * (number // len(COLOURS))) % len(MARKERS)


def series_dash(number: int) -> str:
    """Which of `DASHES` a series has."""
    return DASHES[(number + number // len(COLOURS)) % len(DASHES)]


def series_look(number: int) -> dict[str, Any]:
    """Colour, marker and dash of a series: among eight, any one of the first two tells it apart."""
    colour, marker = series_marks(number)
    return {
        "color": COLOURS[colour],
        "marker": MARKERS[marker],
        "linestyle": series_dash(number),
    }


def class_look(number: int) -> dict[str, Any]:
    """Colour and marker of a class: a series' without the grey that stands for no class."""
    grey = COLOURS.index("#999999")
    return series_look(number + (number >= grey)) | {"linestyle": "none"}


def shortened(text: str, longest: int) -> str:
    """A text of at most `longest` letters.

    >>> shortened("GRMP-IQA", 8), shortened("GRMP-IQA", 6)
    ('GRMP-IQA', 'GRMP-…')
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


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
    y_range: tuple[float, float] | None = None,
) -> None:
    """Medians with their bands; `level` is a horizontal line to compare with, `y_range` what the
    panel shares with others."""
    axes.set_xlabel(axis.title)
    axes.set_ylabel(y_title)
    for number, line in lines:
        look = series_look(number)
        if len(line.x) > MANY_EPOCHS:
            look["markevery"] = len(line.x) // 6
        axes.plot(line.x, line.y, markeredgewidth=0, **look)
        axes.fill_between(line.x, line.low, line.high, color=look["color"], alpha=0.15, lw=0)
    if axis.scale == "log":
        axes.set_xscale("log")
    if axis.ticks:
        ticks = sorted({x for _, line in lines for x in line.x})
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    elif axis.scale == "linear":
        axes.locator_params("x", integer=True)
    if level is not None:
        axes.axhline(level, color="0.4", lw=0.7, zorder=1)
    if y_range is not None:
        axes.set_ylim(*y_range)


def draw_cloud(axes: Axes, points: Cloud, y_title: str = "MOS") -> None:
    """Predictions of one run against quality, with the fitted logistic."""
    import matplotlib as mpl

    x, y = points.prediction, points.quality
    many = len(x) > MANY_IMAGES
    size = (0.66 * mpl.rcParams["lines.markersize"]) ** 2
    axes.scatter(x, y, size, color=COLOURS[0], alpha=0.55, lw=0, rasterized=many)
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
    import pandas as pd
    import seaborn

    rows = [
        (group, value, number)
        for number, boxes in series
        for group, values in boxes
        for value in values
    ]
    table = pd.DataFrame(rows, columns=["group", "value", "series"])
    numbers = [number for number, _ in series]
    shared: dict[str, Any] = {
        "x": "group",
        "y": "value",
        "hue": "series",
        "hue_order": numbers,
        "order": list(dict.fromkeys(table["group"])),
        "palette": [series_look(number)["color"] for number in numbers],
        "legend": False,
        "ax": axes,
    }
    seaborn.boxplot(
        table,
        **shared,
        fill=False,
        gap=0.2,
        whis=(0, 100),
        linewidth=1.0,
        medianprops={"linewidth": 2},
    )
    for number in numbers:
        own, marker = table[table["series"] == number], series_look(number)["marker"]
        seaborn.stripplot(own, **shared, marker=marker, size=3, alpha=0.6, dodge=True, jitter=False)
    axes.grid(False, axis="x")
    axes.set(xlabel="", ylabel=y_title)


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
    import seaborn
    from scipy import ndimage

    # Cells too small to be seen, an odd number for each of the map's, so that its values stay.
    finer = (FINEST // max(heat.shape)) | 1
    fine = ndimage.zoom(heat, finer, order=1, mode="nearest", grid_mode=True)
    rows, columns = fine.shape
    seaborn.heatmap(
        fine, cmap=HEAT_MAP, vmin=0, vmax=1, alpha=0.6, cbar=False, rasterized=True, ax=axes
    )
    height, width = image.shape[:2]
    extent = (0, columns, rows, 0)
    grey = image.mean(axis=2)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, zorder=0, aspect="auto")
    axes.set_aspect(height / width * columns / rows)
    _plane(axes)
    axes.set_xlabel(text)
    axes.set_ylabel(side)


def _plane(axes: Axes) -> None:
    """Neither axis means anything by itself."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def save(figure: Figure, stem: Path, key: str = "") -> tuple[Path, Path]:
    """Write a figure as `stem`.png and `stem`.pdf, and empty it; equal figures give equal files.

    The PNG carries the `key`, by which `key_of` tells what it was drawn from.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    png, pdf = (stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "pdf"))
    # A canvas draws once; `Figure.savefig` would draw everything twice.
    with replacing(png) as temporary:
        FigureCanvasAgg(figure).print_png(temporary, metadata={KEY: key})
    # The first drawing has worked out the layout.
    figure.set_layout_engine("none")
    with replacing(pdf) as temporary:
        FigureCanvasPdf(figure).print_pdf(temporary, metadata={"CreationDate": None})
    # Figures are full of cycles; this one is found at once, since all of it is young.
    figure.clear()
    gc.collect(0)
    return png, pdf


def key_of(png: Path) -> str:
    """The key that a figure was saved with; '' for any other file, and where there is none."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(png) as image:
            return str(image.info.get(KEY, ""))
    except (OSError, UnidentifiedImageError):
        return ""
