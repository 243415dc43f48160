"""A critical-difference diagram: where its names, lines and bars go, and how it is drawn.

Demsar, JMLR 7, 2006, Figure 1: methods on an axis of average ranks, best on the left; a bar joins
methods of which no two differ significantly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis.compare import AcrossDatasets
from bench.reports.drawing import INK, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EDGE, REACH = 0.04, 0.012
"""Room beside the axis, and how far a bar reaches beyond its ranks: shares of the axis."""
ABOVE, TICK, NUMBER, BAR, ROW = 0.8, 0.12, 0.2, 0.3, 0.55
"""Units of height: above the axis, of a tick, from the axis up to its number, from bar to bar, and
from name to name."""
LONGEST = 100
"""Letters of a name in print."""
WHAT = (
    "Average ranks across datasets, 1 is best; a bar joins methods that Wilcoxon with Holm cannot "
    "tell apart."
)


@dataclass(frozen=True)
class Name:
    """A method and the line that leads to it."""

    text: str
    rank: float
    left: bool
    """Whether its name stands at the left edge."""
    row: int
    """Line of text below the axis, from 0."""


@dataclass(frozen=True)
class Bar:
    """Methods that cannot be told apart."""

    low: float
    high: float
    row: int
    """From 0, next to the axis; bars that overlap lie in different rows."""
    members: tuple[float, ...]
    """Ranks to mark on the bar: those of its methods, where others lie between them."""


@dataclass(frozen=True)
class Diagram:
    """Everything that is drawn, in units of ranks across and rows down."""

    names: tuple[Name, ...]
    bars: tuple[Bar, ...]
    last: int
    """The worst possible rank: the number of methods."""

    @property
    def bar_rows(self) -> int:
        """Rows that bars take."""
        return 1 + max((bar.row for bar in self.bars), default=-1)

    @property
    def name_rows(self) -> int:
        """Rows that names take."""
        return 1 + max(name.row for name in self.names)

    @property
    def first(self) -> float:
        """Depth of the first row of names below the axis."""
        return 0.55 + BAR * self.bar_rows

    @property
    def height(self) -> float:
        """From the top of the ticks' numbers to below the last name."""
        return ABOVE + self.first + ROW * self.name_rows


def diagram(found: AcrossDatasets) -> Diagram:
    """Names of the better half at the left, of the worse half at the right, nearest outermost."""
    ranks, texts = found.result.ranks, found.result.names
    half = -(-len(ranks) // 2)
    names = [
        Name(text, rank, i < half, i if i < half else len(ranks) - 1 - i)
        for i, (text, rank) in enumerate(zip(texts, ranks, strict=True))
    ]
    return Diagram(tuple(names), tuple(_bars(found)), len(ranks))


def _bars(found: AcrossDatasets) -> list[Bar]:
    bars: list[Bar] = []
    for group in found.result.groups:
        ranks = tuple(found.result.ranks[i] for i in group.members)
        low, high = min(ranks), max(ranks)
        taken = {bar.row for bar in bars if bar.low <= high and low <= bar.high}
        row = next(row for row in range(len(bars) + 1) if row not in taken)
        bars.append(Bar(low, high, row, () if group.contiguous else ranks))
    return bars


def caption(found: AcrossDatasets) -> str:
    """What the diagram shows and how far it can be trusted, in a sentence or two."""
    result = found.result
    text = f"Average ranks over {len(found.datasets)} datasets"
    if result.friedman is not None:
        text += f"; Friedman p = {result.friedman.p_value:.2g}"
    text += f". A bar joins methods that Wilcoxon with Holm cannot tell apart at {result.alpha:g}."
    if result.pairwise.smallest_holm >= result.alpha:
        least = f"{result.pairwise.smallest_holm:.2g}"
        text += f" With so few datasets no pair can be: the smallest possible p is {least}."
    return text


def draw(axes: Axes, found: AcrossDatasets) -> None:
    """Draw the diagram; names beyond `LONGEST` letters are cut."""
    shape = diagram(found)
    edge = EDGE * (shape.last - 1)
    axes.set_axis_off()
    axes.set_xlim(1 - edge, shape.last + edge)
    axes.set_ylim(shape.height - ABOVE, -ABOVE)
    line: dict[str, Any] = {"color": INK, "lw": 0.8, "clip_on": False}
    axes.plot([1, shape.last], [0, 0], **line)
    for tick in range(1, shape.last + 1):
        axes.plot([tick, tick], [0, -TICK], **line)
        axes.text(tick, -NUMBER, str(tick), ha="center", va="bottom", color=INK)
    for name in shape.names:
        down = shape.first + ROW * name.row
        end = 1 - edge if name.left else shape.last + edge
        axes.plot([name.rank, name.rank, end], [0, down, down], **line)
        axes.annotate(
            f"{shortened(name.text, LONGEST)} ({name.rank:.2f})",
            (end, down),
            (-3 if name.left else 3, 0),
            textcoords="offset points",
            ha="right" if name.left else "left",
            va="center",
            color=INK,
        )
    for bar in shape.bars:
        down = BAR * (1 + bar.row)
        reach = REACH * (shape.last - 1)
        axes.plot([bar.low - reach, bar.high + reach], [down, down], color=INK, lw=2.6)
        axes.plot(bar.members, [down] * len(bar.members), "o", color=INK, ms=3.5)
