"""A check on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.analysis.check.verdict import CheckReport
from bench.analysis.check.writers import row

_STYLES = {
    "regression": "bold red",
    "incomplete": "yellow",
    "nothing": "yellow",
    "improved": "green",
}


def show(report: CheckReport, console: Console) -> None:
    """Print the table and the outcome; names are shown as they are, never as markup."""
    heads = ("", "method", "task", "labels", "runs", "before", "now", "change", "interval", "")
    table = Table(*heads, title=Text(f"{report.metric}: {report.new} against {report.against}"))
    for cell in report.cells:
        style = _STYLES.get(cell.verdict, "")
        table.add_row(*(Text(text, style=style) for text in row(cell)))
    console.print(table)
    for problem in report.problems:
        console.print(f"set aside: {problem}", markup=False, highlight=False, style="yellow")
    console.print(report.summary, markup=False, highlight=False)
