"""The axes of a chart in a page: which values they span, their ticks, and where values lie.

Ranges and ticks are those of matplotlib, whose locators and formatters work them out, so that a
chart on a page says what the figure in print says. Drawing a chart with it takes fifty times as
long as writing the few lines of SVG that a page shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.reports.html.inline_svg import Point, path, shape, text

if TYPE_CHECKING:
    from matplotlib.ticker import MaxNLocator

MARGIN = 0.05
"""Room beside the outermost values, as a share of their range."""
TICKS = 5
"""Intervals between ticks at most."""
BELOW, BEFORE, MIDDLE = 13, 7, 4.2
"""Pixels from the axes to the baseline of a number below, to the end of one at the left, and from
a tick to the baseline of its number."""


@dataclass(frozen=True)
class Scale:
    """One axis: the values it spans, and its ticks with their texts."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    offset: str = ""
    """What all numbers are to be multiplied with, or what is to be added: '1e6', '+1e6'."""
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the lower end and 1 at the upper one."""
        if self.log:
            value = math.log10(value)
        return (value - self.low) / (self.high - self.low)


def linear(values: Iterable[float], whole: bool = False) -> Scale:
    """An axis over some values; ticks at `whole` numbers alone where that is asked for.

    Raises `ValueError` where its range is no finite number.
    """
    from matplotlib.ticker import ScalarFormatter

    low, high = _range(values)
    inside = [float(tick) for tick in _locator(whole).tick_values(low, high) if low <= tick <= high]
    formatter = ScalarFormatter()
    formatter.create_dummy_axis()
    assert formatter.axis is not None
    formatter.axis.set_view_interval(low, high)
    texts = formatter.format_ticks(inside)
    return Scale(low, high, tuple(zip(inside, texts, strict=True)), formatter.get_offset())


def at_values(values: Sequence[float], kind: Literal["linear", "log"]) -> Scale:
    """An axis with a tick at every value and no other."""
    log = kind == "log"
    low, high = _range(map(math.log10, values) if log else values)
    ticks = tuple((value, f"{value:g}") for value in sorted(set(values)))
    return Scale(low, high, ticks, log=log)


def _range(values: Iterable[float]) -> tuple[float, float]:
    """The values' range with its margins; around a single value as matplotlib has it."""
    found = list(values)
    low, high = _locator(whole=False).nonsingular(min(found), max(found))
    room = MARGIN * (high - low)
    if not math.isfinite(low - room) or not math.isfinite(high + room) or not room:
        raise ValueError(f"values from {min(found):g} to {max(found):g} span no range")
    return low - room, high + room


def _locator(whole: bool) -> MaxNLocator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(TICKS, steps=[1, 2, 2.5, 5, 10], integer=whole)


@dataclass(frozen=True)
class Frame:
    """A plot's axes on a drawing of (width, height) pixels."""

    size: tuple[int, int]
    margins: tuple[int, int, int, int]
    """Pixels at the left, right, top and bottom of the axes."""
    x: Scale
    y: Scale

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """The axes' left, right, upper and lower edge."""
        (width, height), (left, right, top, bottom) = self.size, self.margins
        return left, width - right, top, height - bottom

    def places(self, x: Iterable[float], y: Iterable[float]) -> list[Point]:
        """Where points lie on the drawing."""
        left, right, top, bottom = self.edges
        return [
            (
                left + (right - left) * self.x.share(float(one)),
                bottom - (bottom - top) * self.y.share(float(other)),
            )
            for one, other in zip(x, y, strict=True)
        ]

    def level(self, y: float) -> list[Point]:
        """A line from side to side."""
        left, right, top, bottom = self.edges
        down = bottom - (bottom - top) * self.y.share(y)
        return [(left, down), (right, down)]

    def grid(self, style: str) -> str:
        """A line at every tick of y."""
        return shape(style, "".join(path(self.level(tick)) for tick, _ in self.y.ticks))

    def foot(self, style: str) -> str:
        """The axis of x."""
        left, right, _, bottom = self.edges
        return shape(style, path([(left, bottom), (right, bottom)]))

    def texts(self, x_title: str, y_title: str, ink: str) -> str:
        """Numbers at the ticks, and both titles, in the style `ink`."""
        left, right, top, bottom = self.edges
        height = self.size[1]
        across, up = (left + right) / 2, (top + bottom) / 2
        base = self.y.low
        parts = [
            text(label, self.places([tick], [base])[0][0], bottom + BELOW, "x")
            for tick, label in self.x.ticks
        ]
        parts.append(text(x_title, across, height - 8, "x", f' style="{ink}"'))
        if self.x.offset:
            parts.append(text(self.x.offset, right, height - 9, "y"))
        parts += [
            text(label, left - BEFORE, self.level(tick)[0][1] + MIDDLE, "y")
            for tick, label in self.y.ticks
        ]
        turned = f' transform="rotate(-90 10 {up:.0f})" style="{ink}"'
        parts.append(text(y_title, 10, up, "x", turned))
        if self.y.offset:
            parts.append(text(self.y.offset, left, top - 3))
        return "".join(parts)
