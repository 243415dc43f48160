"""What stands over a LaTeX table: headers that span their columns, with rules between them."""

from __future__ import annotations

from itertools import groupby

from bench.analysis.grid import Grid
from reports.latex_text import escape
from reports.latex_titles import levels, shown

NAMES = {"label": "Method", "labels": "Labels", "train": "Training", "test": "Testing"}


def alignment(arranged: Grid) -> str:
    """Columns with a little more space between the outermost groups."""
    there = levels(arranged)
    groups = groupby(arranged.columns, key=lambda column: column[there[0]])
    between = "@{\\hspace{1.2em}}" if len(there) > 1 else ""
    return "".join(between + "c" * len(list(group)) for _, group in groups)


def header(arranged: Grid) -> list[str]:
    """Header rows, outermost first; 'Method' stands in the last one that has no name of its own."""
    there = levels(arranged)
    spans = [_spans(arranged, there[: position + 1]) for position in range(len(there))]
    keys = [arranged.column_keys[level] for level in there]
    names = [stub(key, {text for text, _ in row}) for key, row in zip(keys, spans, strict=True)]
    if "" in names:
        names[len(names) - 1 - names[::-1].index("")] = _corner(arranged)
    lines: list[str] = []
    for position, (key, row) in enumerate(zip(keys, spans, strict=True)):
        cells = [span(_title(key, text, outermost=not position), size) for text, size in row]
        lines.append(" & ".join([names[position], *cells]) + r" \\")
        if position + 1 < len(there):
            lines += _rules(row)
    return lines


def stub(key: str, values: set[str]) -> str:
    """What a row of headers is called."""
    if key == "labels" and all(value.endswith("%") for value in values):
        return "Training ratio"
    return "" if key == "label" else NAMES.get(key, "")


def _corner(arranged: Grid) -> str:
    keys = [key for key in arranged.row_keys if key != "selection"]
    return ", ".join(NAMES.get(key, key.capitalize()) for key in keys)


def _title(key: str, value: str, outermost: bool) -> str:
    # Under another header the row already says "Labels".
    return escape(value if key == "labels" and not outermost else shown(key, value))


def _spans(arranged: Grid, levels: list[int]) -> list[tuple[str, int]]:
    grouped = groupby(arranged.columns, key=lambda column: [column[level] for level in levels])
    return [(names[-1], len(list(group))) for names, group in grouped]


def span(text: str, size: int) -> str:
    """A header over `size` columns."""
    return text if size == 1 else rf"\multicolumn{{{size}}}{{c}}{{{text}}}"


def _rules(spans: list[tuple[str, int]]) -> list[str]:
    if all(size == 1 for _, size in spans):
        return []
    rules, start = [], 2
    for _, size in spans:
        rules.append(rf"\cmidrule(lr){{{start}-{start + size - 1}}}")
        start += size
    return ["".join(rules)]
