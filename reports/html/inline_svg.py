"""Pieces of SVG that stand in a page by the dozen: paths in short steps, texts without styles."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
from markupsafe import escape

Point = tuple[float, float]
"""Across and down, pixels."""
Anchor = Literal["", "x", "y"]
"""Which part of a text lies at its place: its start, middle ('x') or end ('y'); classes of
`style.css`."""


def path(points: Iterable[Point], closed: bool = False) -> str:
    """Path data of straight lines between points, to a tenth of a pixel.

    Steps instead of places, which are half as long; taken between rounded places, so that rounding
    does not add up.

    >>> path([(0, 0), (10.04, 5), (10.04, 2.5)], closed=True)
    'M0 0l10 5 0-2.5z'

    Raises `ValueError` or `OverflowError` for a place that is no finite number.
    """
    places = [(round(10 * x), round(10 * y)) for x, y in points]
    steps = [
        f"{(x - from_x) / 10:g} {(y - from_y) / 10:g}"
        for (from_x, from_y), (x, y) in pairwise(places)
    ]
    start = "".join(f"M{x / 10:g} {y / 10:g}" for x, y in places[:1])
    line = f"l{' '.join(steps)}" if steps else ""
    return f"{start}{line}{'z' * closed}".replace(" -", "-")


def dots(points: Iterable[Point]) -> str:
    """Path data of round dots: lines of no length, whose caps are round."""
    return "".join(f"M{x:.0f} {y:.0f}h0" for x, y in points)


def shape(style: str, data: str) -> str:
    """A path in a style."""
    return f'<path style="{style}" d="{data}"/>'


def text(content: str, x: float, y: float, anchor: Anchor = "", more: str = "") -> str:
    """A text on its baseline at (x, y); `more` are further attributes."""
    kind = f' class="{anchor}"' if anchor else ""
    return f'<text{kind} x="{x:.0f}" y="{y:.0f}"{more}>{escape(content)}</text>'


@cache
def marker(name: str, size: float) -> tuple[Point, ...]:
    """Corners of one of matplotlib's markers around (0, 0), `size` pixels large; none of a dot."""
    from matplotlib.markers import MarkerStyle

    if name == "o":
        return ()
    style = MarkerStyle(name)
    outline = style.get_path().transformed(style.get_transform())
    corners = np.asarray(outline.to_polygons()[0], dtype=np.float64).tolist()
    # Upwards in matplotlib is downwards here; the last corner is the first again.
    return tuple((size * x, -size * y) for x, y in corners[:-1])
