"""Summary → booktabs tables that look like the papers' own and compile as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from reports.grid import Cell, Grid, Key, grid, metric_title, number, row_title
from reports.latex_text import escape, label

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol import Protocol

PREAMBLE = r"""% Tables of iqa-bench; take them in with \input{table}. The preamble needs
%   \usepackage{booktabs,xcolor,adjustbox}
"""
WIDE = 6
"""Tables with more numbers in a row than this span both columns of a two-column page."""
NAMES = {"label": "Method", "labels": "Labels", "train": "Training", "test": "Testing"}


@dataclass(frozen=True)
class Published:
    """A row of numbers as a paper prints them: set in grey above ours, and not ranked."""

    label: str
    values: Mapping[Key, str]
    """Column key (dataset, labels, metric, as the table's columns have it) -> printed text."""


@dataclass(frozen=True)
class Style:
    """What a table shows and how."""

    rows: tuple[str, ...] = ("label", "selection")
    """Summary columns that name the rows."""
    columns: tuple[str, ...] = ("dataset", "labels", "metric")
    """Summary columns over the table, outermost first."""
    interval: bool = False
    """Whether the interval stands beside the median."""
    published: Sequence[Published] = field(default_factory=tuple)
    """Rows of printed numbers."""


def document(
    summary: pd.DataFrame, protocols: Sequence[Protocol], style: Style | None = None
) -> str:
    """One table a protocol, in one text to `\\input`."""
    parts = [PREAMBLE]
    for protocol in protocols:
        of_protocol = summary[summary["protocol"] == protocol.name]
        if len(of_protocol):
            title = protocol.title or protocol.name
            parts.append(table(of_protocol, title, label(protocol.name), style))
    return "\n".join(parts)


def table(summary: pd.DataFrame, title: str, name: str, style: Style | None = None) -> str:
    """The `table` environment of one protocol's summary; `name` is what `\\ref{tab:name}` finds."""
    style = style or Style()
    arranged = grid(summary, style.rows, style.columns)
    width = len(arranged.columns) * (2 if style.interval else 1)
    environment = "table*" if width > WIDE else "table"
    lines = [
        rf"\begin{{{environment}}}[t]",
        r"\centering",
        r"\begin{adjustbox}{max width=\linewidth}",
        rf"\begin{{tabular}}{{l{_alignment(arranged)}}}",
        r"\toprule",
        *_header(arranged),
        r"\midrule",
        *_published(arranged, style),
        *_body(arranged, style),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{adjustbox}",
        rf"\caption{{{caption(summary, title, arranged, style)}}}",
        rf"\label{{tab:{name}}}",
        rf"\end{{{environment}}}",
    ]
    return "\n".join(lines) + "\n"


def caption(summary: pd.DataFrame, title: str, arranged: Grid, style: Style) -> str:
    """Title, what is constant over the table, and what every mark in it means."""
    constant = _constant(arranged)
    parts = [escape(title) + (f" ({escape(constant)})" if constant else "") + "."]
    splits = sorted(set(summary["expected"]))
    runs = "--".join(str(count) for count in (splits[0], splits[-1])[: len(splits)])
    measured = "Median" + (" with its order-statistic interval" if style.interval else "")
    parts.append(f"{measured} over {runs} {'split' if runs == '1' else 'splits'}.")
    if any(cell.rank for cell in arranged.cells.values()):
        parts.append(r"Best in bold, second \underline{underlined}.")
    parts += [text for shown, text in _remarks(summary, style) if shown]
    return " ".join(parts)


def _remarks(summary: pd.DataFrame, style: Style) -> list[tuple[bool, str]]:
    incomplete = not summary["complete"].all()
    best_test = bool((summary["selection"] == "best_test").any())
    tiny = bool((summary["backbone"] == "tiny").any())
    demo = sorted(set(summary[summary["demo"]]["dataset"]))
    return [
        (incomplete, "Grey with n/N: only n of N runs count, not ranked."),
        (bool(style.published), "Grey rows: as published, on the authors' splits, not ranked."),
        (
            bool(summary["contaminated"].any()),
            r"$^\dagger$The method's weights had seen labels of the test set.",
        ),
        (best_test, r"$^\ddagger$Epoch chosen on the test set: an upper bound."),
        (
            bool(demo),
            f"Rendered demo data ({escape(', '.join(demo))}): for trying the harness, "
            "no reproduction.",
        ),
        (tiny, "Backbone \\emph{tiny}: results of a small demonstration network."),
    ]


def _levels(arranged: Grid) -> list[int]:
    """Header levels: the dataset always, others where they tell columns apart."""
    varying = arranged.varying()
    keys = arranged.column_keys
    return [level for level, key in enumerate(keys) if key == "dataset" or level in varying] or [0]


def _constant(arranged: Grid) -> str:
    if not arranged.columns:
        return ""
    shown = _levels(arranged)
    first = arranged.columns[0]
    return ", ".join(
        _shown(key, first[level])
        for level, key in enumerate(arranged.column_keys)
        if level not in shown
    )


def _shown(key: str, value: str) -> str:
    if key == "metric":
        return metric_title(value)
    return f"{value} labels" if key == "labels" and value.isdigit() else value


def _alignment(arranged: Grid) -> str:
    """Columns with a little more space between the outermost groups."""
    levels = _levels(arranged)
    groups = groupby(arranged.columns, key=lambda column: column[levels[0]])
    between = "@{\\hspace{1.2em}}" if len(levels) > 1 else ""
    return "".join(between + "c" * len(list(group)) for _, group in groups)


def _header(arranged: Grid) -> list[str]:
    levels = _levels(arranged)
    lines: list[str] = []
    for position, level in enumerate(levels):
        key = arranged.column_keys[level]
        spans = _spans(arranged, levels[: position + 1])
        values = {text for text, _ in spans}
        stub = _stub(key, values) if position else _corner(arranged)
        cells = [_span(_title(key, text, outermost=not position), size) for text, size in spans]
        lines.append(" & ".join([stub, *cells]) + r" \\")
        if position + 1 < len(levels):
            lines += _rules(spans)
    return lines


def _stub(key: str, values: set[str]) -> str:
    if key == "labels" and all(value.endswith("%") for value in values):
        return "Training ratio"
    return NAMES.get(key, "")


def _corner(arranged: Grid) -> str:
    keys = [key for key in arranged.row_keys if key != "selection"]
    return ", ".join(NAMES.get(key, key.capitalize()) for key in keys)


def _title(key: str, value: str, outermost: bool) -> str:
    # Under another header the row already says "Labels".
    return escape(_shown(key, value) if outermost or key == "metric" else value)


def _spans(arranged: Grid, levels: list[int]) -> list[tuple[str, int]]:
    grouped = groupby(arranged.columns, key=lambda column: [column[level] for level in levels])
    return [(names[-1], len(list(group))) for names, group in grouped]


def _span(text: str, size: int) -> str:
    return text if size == 1 else rf"\multicolumn{{{size}}}{{c}}{{{text}}}"


def _rules(spans: list[tuple[str, int]]) -> list[str]:
    if all(size == 1 for _, size in spans):
        return []
    rules, start = [], 2
    for _, size in spans:
        rules.append(rf"\cmidrule(lr){{{start}-{start + size - 1}}}")
        start += size
    return ["".join(rules)]


def _published(arranged: Grid, style: Style) -> list[str]:
    lines = [
        " & ".join(
            rf"\textcolor{{gray}}{{{escape(text)}}}"
            for text in (row.label, *(row.values.get(key, "–") for key in arranged.columns))
        )
        + r" \\"
        for row in style.published
    ]
    return [*lines, r"\midrule"] if lines else []


def _body(arranged: Grid, style: Style) -> list[str]:
    several = len(arranged.values("selection")) > 1
    lines = []
    for row in arranged.rows:
        title = escape(row_title(row, arranged.row_keys, several))
        cells = (arranged.cells.get((row, column)) for column in arranged.columns)
        lines.append(" & ".join([title, *(_cell(cell, style) for cell in cells)]) + r" \\")
    return lines


def _cell(cell: Cell | None, style: Style) -> str:
    if cell is None:
        return "--"
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
    if style.interval and cell.n:
        bounds = f"[{number(cell.low, minus='$-$')}, {number(cell.high, minus='$-$')}]"
        text += rf" {{\scriptsize {bounds}}}"
    if not cell.complete:
        return rf"\textcolor{{gray}}{{{text} {{\scriptsize {cell.count}}}}}"
    return text
