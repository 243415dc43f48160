"""Summary → booktabs tables that look like the papers' own and compile as they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from bench.analysis.grid import Grid, GridCell, Key, grid, number, row_title, signed
from bench.analysis.published import NOTHING, Printed, mark
from reports.latex_caption import caption, notes
from reports.latex_header import alignment, header, span, stub
from reports.latex_style import Style, fitting
from reports.latex_text import escape, label
from reports.latex_titles import shown
from reports.parts import parts

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol import Protocol

PREAMBLE = r"""% Tables of iqa-bench; take them in with \input{table}. The preamble needs
%   \usepackage{booktabs,xcolor,adjustbox}
"""
WIDE = 6
"""Tables with more numbers in a row than this span both columns of a two-column page."""
WIDEST = 16
"""Tables with more numbers in a row than this are set as one table a metric."""
DASH = "--"


def document(
    summary: pd.DataFrame,
    protocols: Sequence[Protocol],
    style: Style | None = None,
    printed: Printed = NOTHING,
    *,
    excluded: Collection[str] = (),
) -> str:
    """All tables in one text to `\\input`: one a protocol, one a metric where that is too wide.

    `excluded` are the protocols that contaminated cells were left out of.
    """
    texts = [PREAMBLE]
    for protocol in protocols:
        mine = summary[summary["protocol"] == protocol.name]
        without = protocol.name in excluded

        def styled(part: pd.DataFrame, without: bool = without) -> Style:
            return replace(style or fitting(part), without_contaminated=without)

        if len(mine):
            texts += of_protocol(mine, protocol, styled, printed)
    return "\n".join(texts)


def of_protocol(
    summary: pd.DataFrame,
    protocol: Protocol,
    styled: Callable[[pd.DataFrame], Style],
    printed: Printed,
    title: str = "",
    name: str = "",
) -> list[str]:
    """The tables of one protocol, one for each of its parts in the style that suits the part.

    `title` and `name` are for the caption and `\\ref`, in place of the protocol's own.
    """
    title, name = title or protocol.title or protocol.name, label(name or protocol.name)
    texts: list[str] = []
    for at, (heading, part) in enumerate(parts(summary, protocol)):
        whole = f"{title}: {heading}" if heading else title
        own = f"{name}-part{at + 1}" if at else name
        texts += tables(part, whole, own, styled(part), printed)
    return texts


def tables(
    summary: pd.DataFrame,
    title: str,
    name: str,
    style: Style | None = None,
    printed: Printed = NOTHING,
) -> list[str]:
    """One protocol's table, or several where one would be too wide; see `table`."""
    style = style or fitting(summary)
    metrics = list(dict.fromkeys(summary["metric"]))
    wide = len(grid(summary, style.rows, style.columns).columns) > WIDEST
    if style.blocks or not wide or "metric" not in style.columns or len(metrics) < 2:
        return [table(summary, title, name, style, printed)]
    return [
        table(
            summary[summary["metric"] == metric],
            title,
            name if metric == metrics[0] else f"{name}-{label(metric)}",
            style,
            printed,
        )
        for metric in metrics
    ]


def table(
    summary: pd.DataFrame,
    title: str,
    name: str,
    style: Style | None = None,
    printed: Printed = NOTHING,
) -> str:
    """The `table` environment of one protocol's summary; `name` is what `\\ref{tab:name}` finds.

    Published numbers stand in grey: those beside a row of ours under it with the difference, the
    others above ours.
    """
    style = style or Style()
    arranged = grid(summary, style.rows, style.columns, _printed(summary, printed))
    blocks = _blocks(arranged, style)
    outer = blocks[0][1]
    protocols = list(dict.fromkeys(summary["protocol"]))
    letters = {k: v for each in protocols for k, v in printed.letters(each).items()}
    width = len(outer.columns) * (2 if style.interval else 1)
    environment = "table*" if width > WIDE else "table"
    body = [line for head, block in blocks for line in _block(head, block, style, letters)]
    remarks = notes(arranged, protocols, printed)
    return "\n".join(
        [
            *(f"% {remark}" for remark in remarks if not style.notes),
            rf"\begin{{{environment}}}[t]",
            r"\centering",
            r"\begin{adjustbox}{max width=\linewidth}",
            rf"\begin{{tabular}}{{l{alignment(outer)}}}",
            r"\toprule",
            *header(outer),
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{adjustbox}",
            rf"\caption{{{caption(summary, title, arranged, style, printed)}}}",
            rf"\label{{tab:{name}}}",
            *(_note(remark) for remark in remarks if style.notes),
            rf"\end{{{environment}}}",
            "",
        ]
    )


def _printed(summary: pd.DataFrame, printed: Printed) -> list[Mapping[Hashable, object]]:
    """Numbers without a run that fall into the table's columns."""
    names = ("dataset", "labels", "metric")
    there = set(zip(*(summary[name] for name in names), strict=True))
    rows = [row for name in dict.fromkeys(summary["protocol"]) for row in printed.alone(name)]
    return [row for row in rows if tuple(row[name] for name in names) in there]


def _note(text: str) -> str:
    return rf"\par\smallskip{{\scriptsize\raggedright {escape(text)}\par}}"


def _blocks(arranged: Grid, style: Style) -> list[tuple[list[str], Grid]]:
    """The blocks of rows, each with what stands over its columns; one without a head by default."""
    if style.blocks not in arranged.column_keys:
        return [([], arranged)]
    at = arranged.column_keys.index(style.blocks)
    budgets: dict[Key, list[str]] = {}
    for column in arranged.columns:
        budgets.setdefault((*column[:at], *column[at + 1 :]), []).append(column[at])
    keys = (*arranged.column_keys[:at], *arranged.column_keys[at + 1 :])
    blocks = []
    for position in range(max(map(len, budgets.values()))):
        head = {c: found[position] for c, found in budgets.items() if position < len(found)}
        cells = {
            (row, column): cell
            for row in arranged.rows
            for column, budget in head.items()
            if (cell := arranged.cells.get((row, (*column[:at], budget, *column[at:]))))
        }
        rows = tuple(row for row in arranged.rows if any(row == found for found, _ in cells))
        block = replace(arranged, column_keys=keys, columns=tuple(budgets), rows=rows, cells=cells)
        blocks.append(([head.get(column, "") for column in budgets], block))
    return blocks


def _block(head: list[str], block: Grid, style: Style, letters: Mapping[str, str]) -> list[str]:
    """A block of rows: published ones in grey, and below them ours."""
    lines = [r"\midrule"]
    if head:
        lines += [_budgets(head, block, style), r"\midrule"]
    above = [_grey_row(block, row, letters) for row in block.published_rows]
    ours = [line for row in block.measured_rows for line in _rows(block, row, style, letters)]
    return [*lines, *above, *([r"\midrule"] if above and ours else []), *ours]


def _budgets(head: list[str], block: Grid, style: Style) -> str:
    groups = groupby(zip(block.columns, head, strict=True), key=lambda pair: (pair[0][0], pair[1]))
    cells = [span(escape(text) or DASH, len(list(group))) for (_, text), group in groups]
    return " & ".join([stub(style.blocks, {text for text in head if text}), *cells]) + r" \\"


def _rows(arranged: Grid, row: Key, style: Style, letters: Mapping[str, str]) -> list[str]:
    """What we measured, and under it what is published for the same and the difference."""
    several = len(arranged.values("selection")) > 1
    cells = arranged.row(row)
    title = _title(arranged, row, several)
    stacked = style.interval and len(arranged.columns) > WIDE
    shown_cells = (_cell(cell, style, style.interval and not stacked) for cell in cells)
    lines = [" & ".join([title, *shown_cells]) + r" \\"]
    if stacked:
        lines.append(" & ".join(["", *map(_interval, cells)]) + r" \\")
    if any(cell and cell.published for cell in cells):
        lines.append(_grey([rf"\quad published{_mark(cells, letters)}", *map(_text, cells)]))
    differences = [signed(cell.difference, minus="$-$") if cell else "" for cell in cells]
    if any(differences):
        lines.append(_grey([r"\quad difference", *differences]))
    return lines


def _grey_row(arranged: Grid, row: Key, letters: Mapping[str, str]) -> str:
    cells = arranged.row(row)
    title = _title(arranged, row, several=False)
    return _grey([title + _mark(cells, letters), *(_text(cell) or DASH for cell in cells)])


def _title(arranged: Grid, row: Key, several: bool) -> str:
    named = tuple(shown(key, text) for key, text in zip(arranged.row_keys, row, strict=True))
    return escape(row_title(named, arranged.row_keys, several))


def _grey(texts: Sequence[str]) -> str:
    cells = [rf"\textcolor{{gray}}{{{text}}}" if text else "" for text in texts]
    return " & ".join(cells) + r" \\"


def _text(cell: GridCell | None) -> str:
    return cell.published.replace("-", "$-$") if cell else ""


def _mark(cells: Sequence[GridCell | None], letters: Mapping[str, str]) -> str:
    found = mark(letters, (cell.published_in for cell in cells if cell))
    return f"$^{{{found}}}$" if found else ""


def _cell(cell: GridCell | None, style: Style, interval: bool) -> str:
    if cell is None or not cell.measured:
        return DASH
    text = number(cell.median, minus="$-$").replace("–", "--")
    if cell.rank == 1:
        text = rf"\textbf{{{text}}}"
    if cell.rank == 2:
        text = rf"\underline{{{text}}}"
    if cell.contaminated:
        text += r"$^\dagger$"
    # Where rows are told apart by selection, the mark stands beside their name.
    if cell.selection == "best_test" and "selection" not in style.rows:
        text += r"$^\ddagger$"
    if cell.noted:
        text += r"$^\S$"
    if interval and cell.n:
        text += f" {_interval(cell)}"
    if not cell.complete:
        return rf"\textcolor{{gray}}{{{text} {{\scriptsize {cell.count}}}}}"
    return text


def _interval(cell: GridCell | None) -> str:
    if cell is None or not cell.n:
        return ""
    low, high = (number(value, minus="$-$") for value in (cell.low, cell.high))
    return rf"{{\scriptsize [{low}, {high}]}}"
