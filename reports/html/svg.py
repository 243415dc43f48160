"""Small charts as inline SVG: colours and type come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from bench.analysis.curves import Cloud, Line

MARKERS = ("circle", "square", "diamond", "triangle")
COLOURS = 8
"""Series colours of the style sheet, c0 to c7."""
MOST_POINTS = 600
"""A larger scatter shows every k-th image: more would only be ink."""


@dataclass(frozen=True)
class Frame:
    """The plot area of a chart and the scales that map data into it."""

    x: tuple[float, float]
    y: tuple[float, float]
    log_x: bool = False
    width: int = 340
    height: int = 230
    left: int = 46
    bottom: int = 36
    top: int = 12
    right: int = 14

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Data → pixels."""
        low, high, value = (math.log(v) if self.log_x else v for v in (*self.x, x))
        across = (value - low) / (high - low)
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        inner_w = self.width - self.left - self.right
        inner_h = self.height - self.top - self.bottom
        return self.left + across * inner_w, self.top + (1 - up) * inner_h


def line_chart(
    numbered: Sequence[tuple[int, Line]],
    name: str,
    x_title: str,
    y_title: str,
    budgets: bool = False,
) -> Markup:
    """Lines with bands, each with the number of its colour and marker.

    `budgets` puts x on a log scale with a tick at every point.
    """
    lines = [line for _, line in numbered]
    x = [value for line in lines for value in line.x]
    y = [value for line in lines for value in (*line.low, *line.high)]
    # The larger size suits the index page's two columns: text then is of one size everywhere.
    width, height = (470, 270) if budgets else (340, 230)
    frame = Frame(_padded(x, 0.0), _padded(y, 0.06), budgets, width, height)
    x_ticks = sorted(set(x)) if budgets else [t for t in ticks(*frame.x) if t == int(t)]
    body = [_axes(frame, x_ticks, x_title, y_title)]
    body += [_band(frame, line, number) for number, line in numbered]
    body += [_line(frame, line, number) for number, line in numbered]
    return _figure(frame, name, body)


def scatter(cloud: Cloud, name: str) -> Markup:
    """Prediction against quality with the fitted logistic."""
    step = -(-len(cloud.prediction) // MOST_POINTS)
    x, y = cloud.prediction[::step], cloud.quality[::step]
    frame = Frame(_padded(cloud.prediction, 0.04), _padded(cloud.quality, 0.05), height=250)
    places = (frame.at(a, b) for a, b in zip(x, y, strict=True))
    # A stroke of no length with round caps is a dot: a tenth of the size of <circle> elements.
    dots = "".join(f"M{a:.0f} {b:.0f}h0" for a, b in places)
    body = [_axes(frame, ticks(*frame.x), "prediction", "MOS")]
    body.append(f'<path class="dots" d="{dots}"/>')
    if cloud.curve is not None:
        body.append(f'<path class="fit" d="{_path(frame, *cloud.curve)}"/>')
    return _figure(frame, name, body)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within [low, high], about as many as asked for.

    >>> ticks(0.31, 0.92)
    [0.4, 0.6, 0.8]
    >>> ticks(1, 20)
    [5.0, 10.0, 15.0, 20.0]
    """
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _padded(values: Sequence[float] | np.ndarray, share: float) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    room = (high - low) * share or (0.0 if high > low else max(abs(high), 1.0) * 0.05)
    return low - room, high + room


def _axes(frame: Frame, x_ticks: Sequence[float], x_title: str, y_title: str) -> str:
    base, across = frame.height - frame.bottom, frame.width - frame.left - frame.right
    heights = {tick: frame.at(frame.x[0], tick)[1] for tick in ticks(*frame.y, about=4)}
    grid = "".join(f"M{frame.left} {_short(round(y, 1))}h{across}" for y in heights.values())
    parts = [f'<path class="grid" d="{grid}"/>']
    for tick, y in heights.items():
        parts.append(
            f'<text class="y" x="{frame.left - 7}" y="{y + 3.5:.0f}">{_short(tick)}</text>'
        )
    for tick in x_ticks:
        x, _ = frame.at(tick, frame.y[0])
        parts.append(f'<text class="x" x="{x:.0f}" y="{base + 15}">{_short(tick)}</text>')
    parts.append(f'<path class="axis" d="M{frame.left} {base}H{frame.width - frame.right}"/>')
    middle = (frame.left + frame.width - frame.right) / 2
    parts.append(_title(f'x="{middle:.0f}" y="{frame.height - 4}"', x_title))
    height = (frame.top + base) / 2
    parts.append(_title(f'transform="translate(11 {height:.0f}) rotate(-90)"', y_title))
    return "".join(parts)


def _title(place: str, text: str) -> str:
    return f'<text class="x t" {place}>{escape(text)}</text>'


def _short(value: float) -> str:
    text = f"{value:.6g}"
    return text.replace("-", "−")


def _band(frame: Frame, line: Line, number: int) -> str:
    x = [*line.x, *line.x[::-1]]
    around = _path(frame, x, [*line.high, *line.low[::-1]])
    return f'<path class="band c{number % COLOURS}" d="{around}Z"/>'


def _line(frame: Frame, line: Line, number: int) -> str:
    colour = number % COLOURS
    path = f'<path class="line c{colour}" d="{_path(frame, line.x, line.y)}"/>'
    if len(line.x) > 12:
        return path
    places = (frame.at(x, y) for x, y in zip(line.x, line.y, strict=True))
    marks = "".join(marker(x, y, number) for x, y in places)
    return path + f'<path class="mark c{colour}" d="{marks}"/>'


def marker(x: float, y: float, number: int, size: float = 3.6) -> str:
    """Path data of a series' marker: shape tells series apart where colour does not."""
    r = size
    return {
        "circle": f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0",
        "square": f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z",
        "diamond": f"M{x:.1f} {y - 1.3 * r:.1f}l{1.3 * r:.1f} {1.3 * r:.1f}l{-1.3 * r:.1f} "
        f"{1.3 * r:.1f}l{-1.3 * r:.1f} {-1.3 * r:.1f}z",
        "triangle": f"M{x:.1f} {y - 1.2 * r:.1f}l{1.2 * r:.1f} {2.1 * r:.1f}h{-2.4 * r:.1f}z",
    }[MARKERS[number % len(MARKERS)]]


def _path(frame: Frame, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> str:
    """Path data of a polygon, to a tenth of a pixel.

    Steps instead of places, which are half as long; taken between rounded places, so that rounding
    does not add up.
    """
    places = [frame.at(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    tenths = np.rint(np.array(places) * 10).astype(int)
    steps = (f"{_tenths(dx)} {_tenths(dy)}" for dx, dy in np.diff(tenths, axis=0))
    first = f"M{_tenths(tenths[0][0])} {_tenths(tenths[0][1])}"
    return f"{first}l{' '.join(steps)}".replace(" -", "-") if len(tenths) > 1 else first


def _tenths(value: int) -> str:
    return f"{value / 10:g}"


def _figure(frame: Frame, name: str, body: Sequence[str]) -> Markup:
    inside = "".join(body)
    return Markup(
        f'<svg class="chart" role="img" viewBox="0 0 {frame.width} {frame.height}">'
        f"<title>{escape(name)}</title>{inside}</svg>"
    )
