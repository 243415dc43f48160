"""A competition in a terminal: one line a match and shown pair."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text


def table(document: dict[str, Any]) -> Table:
    """The widest pair of the worst and the best level of every match.

    `gap` is how far apart the two are to the attacker, `held` to the defender, as shares of their
    scores' ranges over the pool; `right` is who the labels agree with.
    """
    title = f"gMAD on {document['test']}, {document['images']:,} images"
    found = Table(
        title=title, title_justify="left", title_style="bold", header_style="", box=box.SIMPLE_HEAD
    )
    for name in ("attacker", "defender", "level"):
        found.add_column(name, no_wrap=True)
    found.add_column("best to attacker / worst", overflow="fold")
    for name in ("gap", "held"):
        found.add_column(name, justify="right", no_wrap=True)
    if document["labelled"]:
        found.add_column("right", no_wrap=True)
    for match in document["matches"]:
        for level in match["levels"]:
            if level["level"] in match["ends"]:
                found.add_row(*map(Text, _cells(document, match, level)))
    return found


def _cells(document: dict[str, Any], match: dict[str, Any], level: dict[str, Any]) -> list[str]:
    pair = level["pairs"][0]
    cells = [match["attacker"], match["defender"], f"{level['level']}/{document['levels']}"]
    cells.append(f"{pair['best']['image']}\n{pair['worst']['image']}")
    cells += [f"{pair['gap_share']:.0%}", f"{pair['held_share']:.1%}"]
    if document["labelled"]:
        cells.append(match.get(pair["right"], "neither"))
    return cells
