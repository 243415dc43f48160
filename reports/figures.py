"""Figures for papers, as PDF and PNG in one style, from stored records alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.atomic import replacing
from bench.errors import StoreError
from bench.protocol import Protocol
from bench.records import Task
from bench.store import slug
from reports.curves import (
    Cloud,
    Line,
    Reading,
    cloud,
    diagnostic,
    on_test,
    over_budgets,
    over_epochs,
)
from reports.drawing import STYLE, Numbered, draw_cloud, draw_lines, handle
from reports.grid import metric_title, row_title
from reports.results import CellResult, Results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ACROSS = 3
"""Panels side by side."""
MOST_PANELS = 12
"""Protocols with more tasks show each dataset under its largest budget only."""
TITLES = {
    "few-shot": "few-shot curves",
    "epochs": "over training",
    "angle": "angle between the gradients of quality and semantics",
    "scatter": "prediction against MOS",
}
"""Kinds of figures; the key is part of the file's name."""


@dataclass(frozen=True)
class Figure:
    """One drawn figure."""

    title: str
    png: Path
    pdf: Path


@dataclass
class Gallery:
    """Draws all figures of a results folder into one folder."""

    results: Results
    summary: pd.DataFrame
    folder: Path
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Figures that were left out, each with its reason."""

    def draw(self) -> None:
        """Draw what the records allow."""
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            for protocol in self.results.protocols:
                self._budgets(protocol)
                self._epochs(protocol)
                self._angles(protocol)
                self._scatter(protocol)

    def links(self, root: Path) -> list[tuple[str, str, str]]:
        """Title, PNG and PDF of every figure, as paths under `root`."""
        return [
            (
                item.title,
                item.png.relative_to(root).as_posix(),
                item.pdf.relative_to(root).as_posix(),
            )
            for item in self.figures
        ]

    def _budgets(self, protocol: Protocol) -> None:
        metric = protocol.metrics[0]
        table = self.summary
        table = table[(table["protocol"] == protocol.name) & (table["metric"] == metric)]
        panels = []
        for dataset in dict.fromkeys(table["dataset"]):
            rows = table[table["dataset"] == dataset]
            lines = [
                (number, over_budgets(name, rows[_is(rows, key)]))
                for number, (key, name) in enumerate(_names(self.results.of(protocol)))
            ]
            panels.append((dataset, _drawn(lines)))
        reason = "no method has complete cells for two label budgets"
        self._lines(protocol, "few-shot", "labels", metric_title(metric), panels, reason)

    def _epochs(self, protocol: Protocol) -> None:
        metric = protocol.metrics[0]
        panels = self._trained(protocol, on_test(metric))
        reason = "no run was evaluated at two epochs"
        self._lines(protocol, "epochs", "epoch", metric_title(metric), panels, reason)

    def _angles(self, protocol: Protocol) -> None:
        panels = self._trained(protocol, diagnostic("angle"))
        reason = "no method reports the angle between its gradients"
        self._lines(protocol, "angle", "epoch", "gradient angle (degrees)", panels, reason)

    def _trained(self, protocol: Protocol, reading: Reading) -> list[tuple[str, list[Numbered]]]:
        cells = self.results.of(protocol)
        names = _names(cells)
        panels = []
        for task in _tasks(cells):
            lines = [
                (number, over_epochs(name, self.results.trained(cell), reading))
                for number, (key, name) in enumerate(names)
                for cell in cells
                if cell.entry.task == task and _key(cell) == key
            ]
            panels.append((f"{task.title}, {_budget(task)}", _drawn(lines)))
        return panels

    def _scatter(self, protocol: Protocol) -> None:
        cells = self.results.of(protocol)
        last = {(*_key(cell), cell.entry.task.title): cell for cell in cells}
        panels = [
            (f"{cell.entry.label}\n{cell.entry.task.title}, {_budget(cell.entry.task)}", points)
            for cell in last.values()
            if (points := self._points(cell)) is not None
        ]
        if len(panels) > MOST_PANELS:
            self.notes.append(
                f"{protocol.name}: scatter of the first {MOST_PANELS} of {len(panels)} cells; the "
                "others are on the methods' pages"
            )
        if panels:
            self._save(protocol, "scatter", panels[:MOST_PANELS], draw_cloud, [])
        else:
            self.notes.append(f"{protocol.name}: no scatter: no run has predictions with labels")

    def _points(self, cell: CellResult) -> Cloud | None:
        run = None if cell.unlabelled else cell.typical(cell.protocol.metrics[0])
        try:
            return cloud(self.results, run) if run is not None else None
        except (StoreError, ValueError, KeyError) as error:
            self.notes.append(f"{cell.entry.label} on {cell.entry.task.title}: no scatter: {error}")
            return None

    def _lines(
        self,
        protocol: Protocol,
        kind: str,
        x_title: str,
        y_title: str,
        panels: list[tuple[str, list[Numbered]]],
        reason: str,
    ) -> None:
        panels = [(title, lines) for title, lines in panels if lines]
        if not panels:
            self.notes.append(f"{protocol.name}: no figure '{kind}': {reason}")
            return

        def draw(axes: Axes, lines: list[Numbered]) -> None:
            draw_lines(axes, lines, x_title, y_title, budgets=kind == "few-shot")

        named = {number: line.title for _, lines in panels for number, line in lines}
        self._save(protocol, kind, panels, draw, sorted(named.items()))

    def _save(
        self,
        protocol: Protocol,
        kind: str,
        panels: Sequence[tuple[str, Any]],
        draw: Callable[[Axes, Any], None],
        legend: Sequence[tuple[int, str]],
    ) -> None:
        from matplotlib.figure import Figure as Canvas

        across = min(ACROSS, len(panels))
        down = -(-len(panels) // across)
        canvas = Canvas(figsize=(2.5 * across + 0.3, 2.0 * down + 0.35), layout="constrained")
        grid = list(canvas.subplots(down, across, squeeze=False).flat)
        for axes, (title, content) in zip(grid, panels, strict=False):
            axes.set_title(title)
            draw(axes, content)
            axes.spines[["top", "right"]].set_visible(False)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        if legend:
            handles = [handle(number, name) for number, name in legend]
            canvas.legend(handles=handles, loc="outside lower center", ncols=min(4, len(legend)))
        stem = self.folder / f"{slug(protocol.name)}-{kind}"
        paths = {suffix: stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "pdf")}
        # The layout is worked out once, not anew for every format.
        canvas.draw_without_rendering()
        canvas.set_layout_engine("none")
        for suffix, path in paths.items():
            with replacing(path) as temporary:
                # Without a date the same records give the same file.
                date = {"CreationDate": None} if suffix == "pdf" else {}
                canvas.savefig(temporary, format=suffix, metadata=date)
        title = f"{protocol.title or protocol.name}: {TITLES[kind]}"
        self.figures.append(Figure(title, paths["png"], paths["pdf"]))


TITLES = {
    "few-shot": "few-shot curves",
    "epochs": "over training",
    "angle": "angle between the gradients of quality and semantics",
    "scatter": "prediction against MOS",
}


def _names(cells: Sequence[CellResult]) -> list[tuple[tuple[str, str], str]]:
    """(label, selection) and what the legend calls it."""
    keys = list(dict.fromkeys(map(_key, cells)))
    several = len({selection for _, selection in keys}) > 1
    return [(key, row_title(key, ("label", "selection"), several)) for key in keys]


def _key(cell: CellResult) -> tuple[str, str]:
    return cell.entry.label, cell.entry.selection


def _is(rows: pd.DataFrame, key: tuple[str, str]) -> pd.Series:
    return (rows["label"] == key[0]) & (rows["selection"] == key[1])


def _tasks(cells: Sequence[CellResult]) -> list[Task]:
    tasks = list(dict.fromkeys(cell.entry.task for cell in cells))
    return (
        tasks if len(tasks) <= MOST_PANELS else list({task.title: task for task in tasks}.values())
    )


def _budget(task: Task) -> str:
    return f"{task.budget} labels" if task.labels is not None else task.budget


def _drawn(lines: Sequence[tuple[int, Line | None]]) -> list[Numbered]:
    return [(number, line) for number, line in lines if line is not None]
