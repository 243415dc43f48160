"""A competition in a terminal: one line a match and shown pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.util.text_table import add_row, text_table

if TYPE_CHECKING:
    from rich.table import Table


def table(document: dict[str, Any]) -> Table:
    """The widest pair of the worst and the best level of every match.

    `gap` is how far apart the two are to the attacker, `held` to the defender, as shares of their
    scores' ranges over the pool; `right` is who the labels agree with.
    """
    found = text_table(
        f"gMAD on {document['test']}, {document['images']:,} images",
        left=("attacker", "defender", "level", "best to attacker / worst"),
        right=("gap", "held", *(["right"] if document["labelled"] else [])),
    )
    for match in document["matches"]:
        for level in match["levels"]:
            if level["level"] in match["ends"]:
                add_row(found, _cells(document, match, level))
    return found


def _cells(document: dict[str, Any], match: dict[str, Any], level: dict[str, Any]) -> list[str]:
    pair = level["pairs"][0]
    cells = [match["attacker"], match["defender"], f"{level['level']}/{document['levels']}"]
    cells.append(f"{pair['best']['image']}\n{pair['worst']['image']}")
    cells += [f"{pair['gap_share']:.0%}", f"{pair['held_share']:.1%}"]
    if document["labelled"]:
        cells.append(match.get(pair["right"], "neither"))
    return cells
