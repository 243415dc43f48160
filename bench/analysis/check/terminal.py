"""A check on a terminal."""

from __future__ import annotations

from rich.console import Console

from bench.analysis.check.verdict import CheckReport
from bench.analysis.check.writers import row
from bench.util.text_table import add_row, say, text_table

_STYLES = {
    "regression": "bold red",
    "incomplete": "yellow",
    "nothing": "yellow",
    "improved": "green",
}


def show(report: CheckReport, console: Console) -> None:
    """Print the table and the outcome; names are shown as they are, never as markup."""
    table = text_table(
        f"{report.metric}: {report.new} against {report.against}",
        left=("", "method", "task", "labels"),
        right=("runs", "before", "now", "change", "interval"),
    )
    for cell in report.cells:
        add_row(table, row(cell)[:-1], _STYLES.get(cell.verdict, ""))
    console.print(table)
    # Beside the numbers a reason would leave no room for them.
    for cell in report.cells:
        if cell.reason:
            where = f"{cell.label} on {cell.task}, {cell.budget}"
            say(console, f"{where}: {cell.reason}", _STYLES.get(cell.verdict, ""))
    for problem in report.problems:
        say(console, f"set aside: {problem}", "yellow")
    say(console, report.summary)
