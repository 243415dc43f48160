"""Tables and lines on a terminal with plain texts, since rich reads `[red]` as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def text_table(
    title: str = "", left: Sequence[str] = (), right: Sequence[str] = (), **options: Any
) -> Table:
    """A table without a frame: columns of text at the `left`, of numbers at the `right`.

    In a narrow terminal texts are folded and numbers are not, since a cut number would be
    wrong. `options` are those of rich's `Table`.
    """
    table = Table(
        title=Text(title, "bold") if title else None,
        title_justify="left",
        header_style="",
        box=box.SIMPLE_HEAD,
        **options,
    )
    for name in left:
        table.add_column(Text(name), overflow="fold")
    for name in right:
        table.add_column(Text(name), justify="right", no_wrap=True)
    return table


def add_row(table: Table, texts: Iterable[str | Text], style: str = "") -> None:
    """Add a row of plain texts."""
    cells = (Text(text) if isinstance(text, str) else text for text in texts)
    table.add_row(*cells, style=style)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a text; the terminal wraps it, so that it can be copied whole."""
    console.print(Text(text, style), soft_wrap=True)
