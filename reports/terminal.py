"""The leaderboard in a terminal: one table a protocol and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.analysis.embedding import RULE
from bench.analysis.grid import (
    Grid,
    GridCell,
    Key,
    grid,
    metric_title,
    number,
    row_title,
    signed,
    span,
    table_notes,
)
from bench.analysis.published import NOTHING, Printed, mark
from bench.model.titles import budget_title
from bench.reports import bounds
from bench.util.text_table import add_row, text_table

if TYPE_CHECKING:
    import pandas as pd


WIDE = 21
"""Width of a column with '0.812 [0.79, 0.83]' and its padding."""
NARROW = 15
"""Width of a column with '0.812' above '[0.79, 0.83]' and its padding."""


def leaderboard(summary: pd.DataFrame, console: Console, printed: Printed = NOTHING) -> None:
    """Print the summary: best in bold, incomplete cells grey with the number of runs that count.

    Published numbers are grey: beside a row of ours under it, with the difference in brackets, the
    others in rows of their own below.
    """
    for protocol in summary["protocol"].unique():
        of_protocol = summary[summary["protocol"] == protocol]
        for metric in of_protocol["metric"].unique():
            shown = of_protocol[of_protocol["metric"] == metric]
            alone = printed.alone(protocol, metric)
            arranged = grid(shown, columns=("dataset", "labels"), printed=alone)
            _print(arranged, protocol, metric, console, printed.letters(protocol))
        for line in (*_noise(of_protocol), *_legend(of_protocol), *_sources(protocol, printed)):
            console.print(Text(line, style="dim"))
        console.print()


def _print(
    arranged: Grid, protocol: str, metric: str, console: Console, letters: Mapping[str, str]
) -> None:
    title = f"{protocol} · {metric_title(metric)}"
    stub = max((len(row[0]) for row in arranged.rows), default=0) + 6
    room = console.width - stub
    stacked = _width(arranged.columns, WIDE) > room
    for part in _parts(arranged.columns, room, NARROW if stacked else WIDE):
        console.print(_table(arranged, part, title, stacked, letters))


def _width(columns: Sequence[Key], least: int) -> int:
    return sum(max(least, len(dataset) + 2) for dataset, _ in columns)


def _parts(columns: Sequence[Key], room: int, least: int) -> list[list[Key]]:
    """Columns that fit side by side; a dataset is torn apart only where it does not fit alone."""
    parts: list[list[Key]] = [[]]
    for column in columns:
        own = [other for other in columns if other[0] == column[0]]
        whole = column == own[0] and _width(own, least) <= room
        wanted = own if whole else [column]
        if parts[-1] and _width([*parts[-1], *wanted], least) > room:
            parts.append([])
        parts[-1].append(column)
    return parts


def _table(
    arranged: Grid, columns: list[Key], title: str, stacked: bool, letters: Mapping[str, str]
) -> Table:
    table = text_table(title, left=("method",))
    for dataset, labels in columns:
        header = Text(f"{dataset}\n{budget_title(labels)}")
        table.add_column(header, justify="right", overflow="fold")
    several = len(arranged.values("selection")) > 1
    for row in arranged.measured_rows:
        cells = [arranged.cells.get((row, column)) for column in columns]
        title = row_title(row, arranged.row_keys, several)
        add_row(table, [title, *(_text(cell, stacked) for cell in cells)])
        if any(cell and cell.published for cell in cells):
            add_row(table, [f"  published{_mark(cells, letters)}", *map(_published, cells)], "dim")
    table.add_section()
    for row in arranged.published_rows:
        cells = [arranged.cells.get((row, column)) for column in columns]
        if any(cells):
            title = row_title(row, arranged.row_keys, several=False) + _mark(cells, letters)
            add_row(table, [title, *map(_published, cells)], "dim")
    return table


def _published(cell: GridCell | None) -> str:
    if cell is None:
        return ""
    difference = signed(cell.difference)
    return f"{cell.published} ({difference})" if difference else cell.published


def _mark(cells: Sequence[GridCell | None], letters: Mapping[str, str]) -> str:
    found = mark(letters, (cell.published_in for cell in cells if cell))
    return f" ({found})" if found else ""


def _sources(protocol: str, printed: Printed) -> list[str]:
    """Where grey numbers come from, and what is odd about them."""
    letters = printed.letters(protocol)
    lines = []
    for source in printed.sources(protocol):
        letter = f"({letters[source.title]}) " if letters else ""
        lines.append(f"{letter}published: {source.title}, {source.statistic}")
        lines += [f"  {note.strip()}" for note in source.notes]
    if lines:
        lines.append("published rows are not ranked; in brackets: ours - published")
    caveat = printed.caveat(protocol)
    return [*lines, caveat] if caveat else lines


def _text(cell: GridCell | None, stacked: bool) -> Text:
    if cell is None or not cell.measured:
        return Text("")
    head = number(cell.median) + cell.marks.replace("‡", "")  # ‡ stands beside the row's name
    tail = [text] if (text := cell.over_splits(2)) else []
    tail += [] if cell.complete else [cell.count]
    text = ("\n" if stacked else " ").join([head, *tail])
    return Text(text, style="bold" if cell.rank == 1 else "" if cell.complete else "dim")


def _noise(summary: pd.DataFrame) -> list[str]:
    """How many test images are semantic noise, a line a cell that can say."""
    shown = summary[(summary["noise_n"] > 0) & (summary["metric"] == summary["metric"].iloc[0])]
    lines = [
        f"  {row['label']} on {row['dataset']}, {budget_title(row['labels'])}: {row['noise']:g} "
        f"{span(format(row['noise_low'], 'g'), format(row['noise_high'], 'g'), row['noise_n'])} "
        f"{row['noise_n']}/{row['expected']}"
        for row in shown.to_dict("records")
    ]
    return [f"semantic noise, test images ({RULE}):", *lines] if lines else []


def _legend(summary: pd.DataFrame) -> list[str]:
    lines = [f"median; {text}" for text in bounds.over_splits(summary)]
    if summary["image_low"].notna().any():
        lines.append("intervals over images stand in summary.csv and on the pages")
    if not summary["complete"].all():
        lines.append("grey n/N: only n of N runs count; such cells are not ranked")
    if summary["contaminated"].any():
        lines.append("† the method's weights had seen labels of the test dataset")
    if (summary["selection"] == "best_test").any():
        lines.append("‡ best epoch chosen on the test set: an upper bound, not a result")
    lines += [f"§ {note}" for note in table_notes(summary)]
    if summary["demo"].any():
        lines.append("demo sets are rendered: for trying the harness, no reproduction")
    return lines
