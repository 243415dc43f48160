"""Charts inside pages: they look as in print (`bench.reports.drawing`), in the page's colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from markupsafe import Markup, escape

from bench.analysis.compare import AcrossDatasets
from bench.analysis.curves import Cloud, Line
from bench.reports import rank_diagram as diagrams
from bench.reports.drawing import (
    DASHES,
    MANY_EPOCHS,
    MANY_IMAGES,
    MARKERS,
    Axis,
    Numbered,
    series_dash,
    series_marks,
    shortened,
)
from bench.reports.html.frame import Frame, at_values, linear
from bench.reports.html.inline_svg import Anchor, Point, dots, marker, path, shape, text

INK, SOFT, RULE = "var(--ink)", "var(--soft)", "var(--line)"
"""Colours of the style sheet, which differ by theme."""
NARROW, TALL, WIDE = (340, 230), (340, 250), (470, 270)
"""Width and height in pixels. Wide charts stand two in a row and the others three, so that text is
of one size everywhere."""
MARGINS = (46, 14, 12, 36)
"""Pixels at the left, right, top and bottom of the axes."""
THICK, MARKER, DOT = 2, 7, 4.6
"""Pixels: width of a line, size of its markers, and size of an image in a scatter."""
BAND, FAINT = 0.15, 0.55
"""Opacity of a band, and of an image in a scatter."""
DASH_ARRAYS = dict(zip(DASHES, ("", "7.4,3.2", "12.8,3.2,2,3.2", "2,3.3"), strict=True))
RANKS_WIDTH, RANKS_EDGE, RANKS_UNIT = 640, 170, 40
"""Pixels: width of a diagram of ranks, room for names at either side, and its unit of height."""
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

    def draw() -> str:
        x = [value for _, line in lines for value in line.x]
        y = chain.from_iterable((*line.y, *line.low, *line.high) for _, line in lines)
        levels = [] if level is None else [level]
        exact = axis.ticks or axis.scale == "log"
        across = at_values(x, axis.scale) if exact else linear(x, whole=True)
        frame = Frame(size, MARGINS, across, linear([*y, *levels]))
        thin = [shape("stroke:#666666;stroke-width:0.7", path(frame.level(one))) for one in levels]
        series = chain.from_iterable(_line(frame, *numbered) for numbered in lines)
        bands = [_band(frame, *numbered) for numbered in lines]
        return _framed(frame, [*bands, *thin, *series], axis.title, y_title)

    return _chart(draw, name, size)


def scatter(points: Cloud, name: str) -> Markup:
    """Prediction against quality with the fitted logistic; of many images every k-th."""
    step = -(-len(points.prediction) // MANY_IMAGES)
    x, y = points.prediction[::step].tolist(), points.quality[::step].tolist()
    curve_x, curve_y = (part.tolist() for part in points.curve) if points.curve else ([], [])

    def draw() -> str:
        frame = Frame(TALL, MARGINS, linear([*x, *curve_x]), linear([*y, *curve_y]))
        images = f"{_dot(0, DOT)};stroke-opacity:{FAINT}"
        parts = [shape(images, dots(frame.places(x, y)))]
        if curve_x:
            fitted = f"stroke:var(--c1);stroke-width:{THICK}"
            parts.append(shape(fitted, path(frame.places(curve_x, curve_y))))
        return _framed(frame, parts, "prediction", "MOS")

    return _chart(draw, name, TALL)


def rank_diagram(found: AcrossDatasets, name: str) -> Markup:
    """A critical-difference diagram."""
    diagram = diagrams.diagram(found)
    size = (RANKS_WIDTH, round(RANKS_UNIT * diagram.height))
    return _chart(lambda: _ranks(diagram), name, size, "chart ranks")


def _ranks(diagram: diagrams.Diagram) -> str:
    """Lines, bars and names, as `bench.reports.rank_diagram.draw` has them."""
    last, edge = diagram.last, diagrams.EDGE * (diagram.last - 1)
    reach = diagrams.REACH * (last - 1)
    unit = (RANKS_WIDTH - 2 * RANKS_EDGE) / ((last - 1 + 2 * edge) or 1)

    def at(rank: float, down: float) -> Point:
        return RANKS_EDGE + unit * (rank - 1 + edge), RANKS_UNIT * (down + diagrams.ABOVE)

    thin = [[at(1, 0), at(last, 0)]]
    thin += [[at(tick, 0), at(tick, -diagrams.TICK)] for tick in range(1, last + 1)]
    texts = [
        text(str(tick), *at(tick, -diagrams.NUMBER), "x", f' style="fill:{INK}"')
        for tick in range(1, last + 1)
    ]
    for one in diagram.names:
        down = diagram.first + diagrams.ROW * one.row
        end = 1 - edge if one.left else last + edge
        thin.append([at(one.rank, 0), at(one.rank, down), at(end, down)])
        x, y = at(end, down)
        label = f"{shortened(one.text, LONGEST_NAME)} ({one.rank:.2f})"
        anchor: Anchor = "y" if one.left else ""
        away = -3 if one.left else 3
        texts.append(text(label, x + away, y + 4, anchor, f' style="fill:{INK}"'))
    bars, members = [], []
    for bar in diagram.bars:
        down = diagrams.BAR * (1 + bar.row)
        bars.append([at(bar.low - reach, down), at(bar.high + reach, down)])
        members += [at(rank, down) for rank in bar.members]
    shapes = [
        shape(f"stroke:{INK};stroke-width:0.8", "".join(map(path, thin))),
        shape(f"stroke:{INK};stroke-width:2.6", "".join(map(path, bars))),
        shape(f"stroke:{INK};stroke-width:3.5;stroke-linecap:round", dots(members)),
    ]
    return "".join([*shapes, *texts])


def _chart(
    draw: Callable[[], str], name: str, size: tuple[int, int], kind: str = "chart"
) -> Markup:
    try:
        drawn = draw()
    except (ValueError, ArithmeticError) as error:
        # Finite values whose range is not: the rest of the page is whole.
        return Markup("<p>{}: no chart ({})</p>").format(name, error)
    return Markup(
        f'<svg class="{kind}" role="img" viewBox="0 0 {size[0]} {size[1]}">'
        f"<title>{escape(name)}</title>{drawn}</svg>"
    )


def _framed(frame: Frame, shapes: Sequence[str], x_title: str, y_title: str) -> str:
    """Shapes between grid and axis; texts come last, above all shapes."""
    around = (frame.grid(f"stroke:{RULE}"), frame.foot(f"stroke:{SOFT}"))
    texts = frame.texts(x_title, y_title, f"fill:{INK}")
    return "".join([around[0], *shapes, around[1], texts])


def _line(frame: Frame, number: int, line: Line) -> Iterator[str]:
    """A median, and its markers: at some points only where there are many."""
    places = frame.places(line.x, line.y)
    yield shape(_stroke(number), path(places))
    step = len(places) // 6 if len(places) > MANY_EPOCHS else 1
    colour, form = series_marks(number)
    corners, marked = marker(MARKERS[form], MARKER), places[::step]
    if not corners:
        yield shape(_dot(colour, MARKER), dots(marked))
        return
    outlines = ([(x + dx, y + dy) for dx, dy in corners] for x, y in marked)
    yield shape(f"fill:var(--c{colour})", "".join(path(one, closed=True) for one in outlines))


def _band(frame: Frame, number: int, line: Line) -> str:
    forth, back = frame.places(line.x, line.low), frame.places(line.x, line.high)
    style = f"fill:var(--c{series_marks(number)[0]});fill-opacity:{BAND}"
    return shape(style, path([*forth, *reversed(back)], closed=True))


def _stroke(number: int) -> str:
    dash = DASH_ARRAYS[series_dash(number)]
    lead = f"stroke-dasharray:{dash};" if dash else ""
    return f"{lead}stroke:var(--c{series_marks(number)[0]});stroke-width:{THICK}"


def _dot(colour: int, size: float) -> str:
    return f"stroke:var(--c{colour});stroke-width:{size};stroke-linecap:round"
