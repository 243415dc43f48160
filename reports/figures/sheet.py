"""What a figure is before it is drawn: panels with their titles, a legend, a caption."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from bench import analysis, metrics, stats
from bench.analysis.grid import row_title
from bench.analysis.results import CellResult, Results
from bench.data import datasets
from bench.model.records import Record, Task
from bench.model.titles import budget_title
from bench.protocol import Protocol
from bench.util.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from bench.data.data_cache import DataCache

ACROSS = 3
"""Panels side by side."""
MOST_PANELS = 12
"""Larger figures are cut, and say so."""
LETTER, HANDLE = 0.09, 0.6
"""Inches that a letter of a legend takes, and the line or marker in front of it."""
LINE = 0.2
"""Inches that a line of a legend takes."""


@dataclass(frozen=True)
class DrawnFigure:
    """A figure on disk, or a contact sheet."""

    title: str
    caption: str
    png: Path
    pdf: Path


class LeftOut(Exception):
    """Why a figure cannot be drawn, for the reader of the report."""


@dataclass(frozen=True)
class Panel:
    """One plot of a figure."""

    title: str
    draw: Callable[[Axes], None]


@dataclass(frozen=True)
class Sheet:
    """A figure, ready to be drawn."""

    panels: Sequence[Panel | None]
    """Row by row; None leaves a place empty."""
    legend: Sequence[Line2D] = ()
    caption: str = ""
    """What a reader has to know beside the title."""
    across: int = ACROSS
    panel_size: tuple[float, float] = (2.5, 2.0)
    """Width and height of a panel, inches."""

    @property
    def key(self) -> str:
        """A name of all that is drawn and of the code that draws it; '' where it has none.

        Sheets of the same key give the same figure; the same figure may have several keys.
        """
        looks = [
            (line.get_label(), line.get_color(), line.get_marker(), line.get_linestyle())
            for line in self.legend
        ]
        try:
            content = pickle.dumps((self.panels, looks, self.across, self.panel_size))
        except (pickle.PicklingError, AttributeError, TypeError):
            return ""
        return hashlib.sha256(content + drawing_code()).hexdigest()


@dataclass(frozen=True)
class FigureData:
    """What the figures of one protocol are made from."""

    results: Results
    protocol: Protocol
    summary: pd.DataFrame
    """All protocols' rows (`bench.analysis.summary`)."""
    data_cache: DataCache | None = None
    """The datasets, for figures that show images; None where none is on this machine."""
    notes: list[str] = field(default_factory=list)
    """What a figure had to leave out in part."""

    @property
    def cells(self) -> list[CellResult]:
        """The protocol's cells."""
        return self.results.of(self.protocol)

    @property
    def metric(self) -> str:
        """The metric that ranks."""
        return self.protocol.metrics[0]

    @property
    def rows(self) -> pd.DataFrame:
        """The protocol's rows of the summary under that metric."""
        table = self.summary
        return table[(table["protocol"] == self.protocol.name) & (table["metric"] == self.metric)]

    def names(self) -> list[tuple[tuple[str, str], str]]:
        """(label, selection) of every row and what a legend calls it."""
        keys = list(dict.fromkeys(map(key, self.cells)))
        several = len({selection for _, selection in keys}) > 1
        return [(one, row_title(one, ("label", "selection"), several)) for one in keys]

    def tasks(self) -> list[Task]:
        """The columns; each dataset under its largest budget only, where there are many."""
        found = list(dict.fromkeys(cell.entry.task for cell in self.cells))
        if len(found) <= MOST_PANELS:
            return found
        return list({task.title: task for task in found}.values())

    def cut(self, panels: list[Panel], what: str) -> list[Panel]:
        """As many panels as one figure holds, with a note where that is not all."""
        if len(panels) > MOST_PANELS:
            self.notes.append(
                f"{self.protocol.name}: {what} of the first {MOST_PANELS} of {len(panels)} cells"
            )
        return panels[:MOST_PANELS]


@cache
def drawing_code() -> bytes:
    """What figures depend on beside their numbers: our code, and libraries by their versions.

    Some numbers are worked out while a figure is drawn (`bench.analysis.costs.front`), so that the
    rooms that drawing may call count as a whole.
    """
    here = Path(__file__).parent
    rooms = [here, here.parent, *(Path(*room.__path__) for room in (analysis, metrics, stats))]
    files = [file for room in rooms for file in sorted(room.glob("*.py"))]
    versions = [metadata.version(name) for name in ("matplotlib", "seaborn", "scipy")]
    return b"".join(map(Path.read_bytes, files)) + " ".join(versions).encode()


def key(cell: CellResult) -> tuple[str, str]:
    """What tells rows apart."""
    return cell.entry.label, cell.entry.selection


def panel_title(task: Task) -> str:
    """A task as titles of panels say it."""
    return f"{task.title}, {budget_title(task.budget)}"


def cell_title(cell: CellResult) -> str:
    """A row and its task, in two lines."""
    return f"{cell.entry.label}\n{panel_title(cell.entry.task)}"


def quality_title(spec: str) -> str:
    """What the quality labels of a dataset are: MOS, DMOS with its sign turned, or 'quality'."""
    try:
        label = datasets.info(spec).label
    except UsageError:
        return "quality"
    return {"mos": "MOS", "dmos": "-DMOS"}.get(label, "quality")


def together(
    cells: Iterable[CellResult], has: Callable[[Record], bool]
) -> list[tuple[CellResult, Record]]:
    """One run of every cell that has one, all of the first repeat that they share.

    Within a task they are then runs on the same test images. Where no repeat is shared each cell
    gives its own first one.
    """
    able = []
    for cell in cells:
        runs = {run.spec.repeat: run for run in cell.done if has(run)}
        if runs:
            able.append((cell, runs))
    shared = set.intersection(*(set(runs) for _, runs in able)) if able else set()
    return [(cell, runs[min(shared or runs)]) for cell, runs in able]


def compose(sheet: Sheet) -> Figure:
    """Draw a sheet. Needs the style in force (`bench.reports.drawing.STYLE`)."""
    from matplotlib.figure import Figure

    across = min(sheet.across, len(sheet.panels))
    down = -(-len(sheet.panels) // across)
    width, height = sheet.panel_size
    names = [str(handle.get_label()) for handle in sheet.legend]
    longest = HANDLE + LETTER * max(map(len, names), default=0)
    wide = max(width * across + 0.3, longest)
    columns = max(1, min(4, len(names), int(wide / longest)))
    lines = max(1, -(-len(names) // columns))
    figure = Figure(figsize=(wide, height * down + 0.15 + LINE * lines), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).flat
    for axes, panel in zip_longest(grid, sheet.panels):
        if panel is None:
            axes.set_visible(False)
            continue
        axes.set_title(panel.title)
        panel.draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
    if sheet.legend:
        figure.legend(handles=list(sheet.legend), loc="outside lower center", ncols=columns)
    return figure
