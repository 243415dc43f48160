"""Contact sheets: two methods, both roles, the worst and the best level, as papers print them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.reports.drawing import COLOURS, STYLE, save, shortened
from bench.reports.figures.sheet import DrawnFigure
from bench.reports.pictures import Album
from bench.util.filenames import slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.16
"""Inches: the width of a two-column page."""
PIXELS = 480
"""Longer side of an image in the sheet: some 270 pixels an inch over four columns."""
CAPTIONS = 0.5
"""Inches of text that an image has above and below it."""
LONGEST = 24
"""Letters of a method's label."""
MOST_ROWS = 4
"""Pairs a column; the page shows the others."""

CAPTION = (
    "The fixed method takes the two images of a column for equally good; the other one chose them "
    "as the best and the worst of that level."
)

Column = dict[str, Any]


def duels(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs of methods that met in at least one role, each once, in the order of the document."""
    met = [(match["attacker"], match["defender"]) for match in document["matches"]]
    return [pair for n, pair in enumerate(met) if pair[::-1] not in met[:n]]


def columns(document: dict[str, Any], one: str, other: str) -> list[Column]:
    """What the sheet of two methods shows: each role, its worst and its best level with pairs."""
    return [
        {
            "attacker": match["attacker"],
            "defender": match["defender"],
            "end": "low" if level["level"] == match["ends"][0] else "high",
            **level,
        }
        for attacker, defender in ((one, other), (other, one))
        for match in document["matches"]
        if (match["attacker"], match["defender"]) == (attacker, defender)
        for level in match["levels"]
        if level["level"] in match["ends"]
    ]


def write(
    document: dict[str, Any], album: Album, folder: Path, prefix: str
) -> tuple[list[DrawnFigure], list[str]]:
    """Write a sheet for each two methods; returns the sheets and why there are no others.

    Raises `DataError` where an image cannot be decoded.
    """
    import matplotlib as mpl

    sheets, notes = [], []
    for duel in duels(document):
        one, other = duel
        shown = columns(document, one, other)
        if not shown:
            notes.append(f"gMAD sheet of {one} and {other}: neither finds a pair")
            continue
        with mpl.rc_context({**STYLE, "font.size": 7, "figure.dpi": 250}):
            stem = folder / f"{prefix}-{slug(one, other)}"
            drawn = save(_draw(shown, document["levels"], album), stem)
        title = f"gMAD on {document['test']}: {one} and {other}"
        sheets.append(DrawnFigure(title, CAPTION, *drawn))
    return sheets, notes


def _draw(shown: list[Column], levels: int, album: Album) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = min(MOST_ROWS, max(len(column["pairs"]) for column in shown))
    width = WIDTH * max(len(shown), 2) / 4
    engine = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, compress=True)
    height = WIDTH / 4 * _tallest(shown, rows, album) + CAPTIONS
    canvas = Figure(figsize=(width, 0.3 + 2 * rows * height), layout=engine)
    grid = canvas.subplots(2 * rows, len(shown), squeeze=False)
    for position, column in enumerate(shown):
        for axes in grid[:, position]:
            axes.set_axis_off()
        for rank, pair in enumerate(column["pairs"][:rows]):
            _show(grid[2 * rank][position], album, column, pair, "best")
            _show(grid[2 * rank + 1][position], album, column, pair, "worst")
        head = f"({'abcd'[position]}) Fixed {_short(column['defender'])}"
        place = f"{column['end']} quality (level {column['level']}/{levels})"
        grid[0][position].set_title(f"{head}\n{place}\n{_caption(column, 'best')}", fontsize=7)
    return canvas


def _tallest(shown: list[Column], rows: int, album: Album) -> float:
    """Height over width of the tallest image."""
    names = {
        pair[side]["image"]
        for column in shown
        for pair in column["pairs"][:rows]
        for side in ("best", "worst")
    }
    shapes = [album.pixels(name, PIXELS).shape for name in names]
    return float(max(height / width for height, width, _ in shapes))


def _show(axes: Axes, album: Album, column: Column, pair: dict[str, Any], side: str) -> None:
    image = pair[side]
    axes.imshow(album.pixels(image["image"], PIXELS), interpolation="none")
    axes.set_title(_caption(column, side), fontsize=7)
    text = f"{_short(column['attacker'])} {_score(image['attacker'])}\n"
    text += f"{_short(column['defender'])} {_score(image['defender'])}"
    if "quality" in image:
        text += f" · label {_score(image['quality'])}"
    _below(axes, text, 2, "black")
    if "right" in pair and side == "worst":
        colour = {"attacker": COLOURS[1], "defender": COLOURS[0]}.get(pair["right"], "0.4")
        right = _short(column.get(pair["right"], "neither"))
        _below(axes, f"right by labels: {right}", 17, colour)


def _below(axes: Axes, text: str, points: int, colour: str) -> None:
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure(root=True)
    assert figure is not None
    # A text is given room by the layout; an annotation is not.
    moved = axes.transAxes + ScaledTranslation(0, -points / 72, figure.dpi_scale_trans)
    axes.text(0.5, 0, text, transform=moved, ha="center", va="top", fontsize=5.5, color=colour)


def _caption(column: Column, side: str) -> str:
    return f"{side.capitalize()} {_short(column['attacker'])}"


def _short(label: str) -> str:
    """A label that fits above a quarter of the page; pages have it whole."""
    return shortened(label, LONGEST)


def _score(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
