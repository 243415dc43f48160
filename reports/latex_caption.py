"""What stands under a LaTeX table: its caption, which explains every mark, and its notes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.analysis.grid import Grid, table_notes
from bench.analysis.published import BETWEEN, Printed, PublishedSource
from reports.latex_text import escape
from reports.latex_titles import dataset_title, levels, shown

if TYPE_CHECKING:
    import pandas as pd

    from reports.latex_style import Style


def caption(
    summary: pd.DataFrame, title: str, arranged: Grid, style: Style, printed: Printed
) -> str:
    """Title, what is constant over the table, and what every mark in it means."""
    constant = _constant(arranged, style)
    parts = [escape(title.rstrip(".")) + (f" ({escape(constant)})" if constant else "") + "."]
    splits = sorted(set(summary["expected"]))
    runs = "--".join(str(count) for count in (splits[0], splits[-1])[: len(splits)])
    measured = "Median" + (" with its order-statistic interval" if style.interval else "")
    parts.append(f"{measured} over {runs} {'split' if runs == '1' else 'splits'}.")
    if any(cell.rank for cell in arranged.cells.values()):
        parts.append(r"Best in bold, second \underline{underlined}.")
    parts += _remarks(summary, style)
    return " ".join([*parts, *_published(summary, arranged, printed)])


def notes(arranged: Grid, protocols: Sequence[str], printed: Printed) -> list[str]:
    """What the papers say of their numbers and what is odd about them, one text a table."""
    found = (source for name in protocols for source in sources(arranged, name, printed))
    texts = [" ".join([f"{item.title}: {item.statistic}.", *item.notes]) for item in found]
    return [" ".join(text.split()) for text in dict.fromkeys(texts)]


def sources(arranged: Grid, protocol: str, printed: Printed) -> list[PublishedSource]:
    """The tables that numbers of this table come from."""
    there = {
        title for cell in arranged.cells.values() for title in cell.published_in.split(BETWEEN)
    }
    return [source for source in printed.sources(protocol) if source.title in there]


def _constant(arranged: Grid, style: Style) -> str:
    if not arranged.columns:
        return ""
    there = levels(arranged)
    first = arranged.columns[0]
    return ", ".join(
        shown(key, first[level])
        for level, key in enumerate(arranged.column_keys)
        if level not in there and key != style.blocks
    )


def _remarks(summary: pd.DataFrame, style: Style) -> list[str]:
    demo = escape(", ".join(map(dataset_title, sorted(set(summary[summary["demo"]]["dataset"])))))
    remarks = [
        (not summary["complete"].all(), "Grey with n/N: only n of N runs count, not ranked."),
        (
            summary["contaminated"].any(),
            r"$^\dagger$The method's weights had seen labels of the test set.",
        ),
        (
            style.without_contaminated,
            "Cells whose test set the method's weights had seen labels of are left out.",
        ),
        (
            (summary["selection"] == "best_test").any(),
            r"$^\ddagger$Epoch chosen on the test set: an upper bound.",
        ),
        (
            bool(demo),
            f"Rendered demo data ({demo}): for trying the harness, no reproduction.",
        ),
        (
            (summary["backbone"] == "tiny").any(),
            r"Backbone \emph{tiny}: results of a small demonstration network.",
        ),
    ]
    texts = [text for there, text in remarks if there]
    return [*texts, *(rf"$^\S${escape(note.rstrip('.'))}." for note in table_notes(summary))]


def _published(summary: pd.DataFrame, arranged: Grid, printed: Printed) -> list[str]:
    protocols = list(dict.fromkeys(summary["protocol"]))
    named = []
    for name in protocols:
        letters = printed.letters(name)
        for source in sources(arranged, name, printed):
            letter = letters.get(source.title, "")
            named.append((f"$^{{{letter}}}$" if letter else "") + escape(source.title))
    if not named:
        return []
    text = f"Grey rows: as published ({'; '.join(named)}), on the authors' splits, not ranked."
    if any(math.isfinite(cell.difference) for cell in arranged.cells.values()):
        text += " Difference: ours minus published."
    caveats = dict.fromkeys(printed.caveat(name) for name in protocols)
    return [text, *(escape(caveat) for caveat in caveats if caveat)]
