"""Summary → booktabs tables in the style of the papers, which compile as they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, groupby, pairwise
from typing import TYPE_CHECKING, Literal

from bench.analysis.grid import Grid, GridCell, Key, grid, number, row_title, signed
from bench.analysis.published import NOTHING, Printed, mark
from bench.reports.latex_text import ARROW, caption, escape, label, levels, notes, titled
from bench.reports.sections import sections

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.formats.style import Styler

    from bench.protocol import Protocol

PREAMBLE = r"""% Tables of iqa-bench; take them in with \input{table}. The preamble needs
%   \usepackage{booktabs,xcolor,adjustbox}
"""
WIDE = 6
"""Tables with more numbers in a row than this span both columns of a two-column page."""
WIDEST = 16
"""Tables with more numbers in a row than this are set as one table a metric."""
DASH = "--"
GREY = "textcolor: {gray}--rwrap"
"""Grey text, as pandas' Styler writes LaTeX commands."""
Interval = Literal["splits", "images", "none"]
STUBS = {"label": "Method", "labels": "Labels", "train": "Training", "test": "Testing"}
"""What stands beside a row of headers, by its key."""


@dataclass(frozen=True)
class Style:
    """What a table shows and how."""

    rows: tuple[str, ...] = ("label", "selection")
    """Summary columns that name the rows."""
    columns: tuple[str, ...] = ("dataset", "labels", "metric")
    """Summary columns over the table, outermost first."""
    blocks: str = ""
    """The one of `columns` whose values stand over blocks of rows: with 'labels' every column's
    first budget heads the first block, its second the second (GRMP-IQA, Table 2)."""
    interval: Interval = "none"
    """Which interval stands beside the median, or below it in a table of many columns: over splits
    (a range below six of them), over images, or none."""
    notes: bool = False
    """Whether notes on published numbers stand under the table; otherwise they are comments."""
    without_contaminated: bool = False
    """Whether the caption says that contaminated cells are left out."""


def fitting(summary: pd.DataFrame) -> Style:
    """The style that papers would give one protocol's summary.

    Pairs of databases stand under 'Training' and 'Testing' (GRMP-IQA, Table 3); training ratios
    head blocks of rows (Table 2), label budgets columns (Table 1).
    """
    # A suite has one column a test set, and one a mean: their titles say all.
    pairs = bool(summary["dataset"].str.contains(ARROW, regex=False).any())
    columns = ("train", "test", "labels", "metric") if pairs else Style.columns
    ratios = set(summary["labels"])
    blocks = "labels" if len(ratios) > 1 and all(text.endswith("%") for text in ratios) else ""
    return Style(columns=columns, blocks=blocks)


def document(
    summary: pd.DataFrame,
    protocols: Sequence[Protocol],
    style: Callable[[pd.DataFrame], Style] = fitting,
    printed: Printed = NOTHING,
    *,
    excluded: Collection[str] = (),
    title: str = "",
    name: str = "",
) -> str:
    """All tables in one text to `\\input`: one for each section of a protocol,
    or one for each metric where that would be too wide.

    `style` gives the style of a section. `excluded` are the protocols that contaminated cells were
    left out of. `title` and `name` are for the caption and `\\ref`, in place of the protocol's own.
    """
    texts = [PREAMBLE]
    for protocol in protocols:
        heads = title or protocol.title or protocol.name
        names = label(name or protocol.name)
        mine = summary[summary["protocol"] == protocol.name]
        for at, (heading, part) in enumerate(sections(mine, protocol)):
            chosen = replace(style(part), without_contaminated=protocol.name in excluded)
            whole = f"{heads}: {heading}" if heading else heads
            texts += tables(part, whole, f"{names}-part{at + 1}" if at else names, chosen, printed)
    return "\n".join(texts)


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
    protocols = list(dict.fromkeys(summary["protocol"]))
    letters = {k: v for each in protocols for k, v in printed.letters(each).items()}
    blocks = _blocks(arranged, style)
    outer = blocks[0][1]
    rows = [row for head, block in blocks for row in _block(head, block, style, letters)]
    width = len(outer.columns) * (1 if style.interval == "none" else 2)
    environment = "table*" if width > WIDE else "table"
    remarks = notes(arranged, protocols, printed)
    return "\n".join(
        [
            *(f"% {remark}" for remark in remarks if not style.notes),
            rf"\begin{{{environment}}}[t]",
            r"\centering",
            r"\begin{adjustbox}{max width=\linewidth}",
            *_tabular(rows, outer),
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


@dataclass(frozen=True)
class _TableRow:
    """A row of a table, as LaTeX."""

    title: str
    cells: Sequence[str]
    grey: bool = False
    above: Sequence[str] = ()
    """Rules and headers between the last row and this one."""


def _tabular(rows: Sequence[_TableRow], outer: Grid) -> list[str]:
    """The `tabular` environment, line by line; `outer` says what stands over its columns."""
    there = levels(outer)
    keys = [outer.column_keys[level] for level in there]
    shown = [tuple(column[level] for level in there) for column in outer.columns]
    sizes = [_spans(shown, depth + 1) for depth in range(len(keys))]
    # A little more space between the outermost groups.
    between = r"@{\hspace{1.2em}}" if len(keys) > 1 else ""
    aligned = "l" + "".join(between + "c" * size for size in sizes[0])
    styler = _styled(rows, keys, shown, _stubs(outer, keys, shown))
    text = styler.to_latex(column_format=aligned, multicol_align="c", hrules=True)
    begin, top, *lines = text.splitlines()
    found = [begin, top]
    for depth, line in enumerate(lines[: len(keys)]):
        found += [line, *(_rules(sizes[depth]) if depth + 1 < len(keys) else [])]
    # Below the headers every block has a rule of its own, in place of pandas'.
    for row, line in zip(rows, lines[len(keys) + 1 :], strict=False):
        found += [*row.above, line]
    return [*found, *lines[-2:]]


def _styled(
    rows: Sequence[_TableRow], keys: Sequence[str], columns: Sequence[Key], stubs: list[str]
) -> Styler:
    """The rows under headers of these keys, each row of headers with what stands beside it."""
    import pandas as pd

    heads = (
        pd.MultiIndex.from_tuples(columns, names=stubs)
        if len(keys) > 1  # pandas has no use for a single level
        else pd.Index([value for (value,) in columns], name=stubs[0])
    )
    styler = pd.DataFrame([row.cells for row in rows], columns=heads).style
    titles: dict[object, str] = {at: row.title for at, row in enumerate(rows)}
    styler.format_index(titles.__getitem__)
    for depth, key in enumerate(keys):
        # Under another header the row already says "Labels".
        bare = key == "labels" and depth
        styler.format_index(partial(_head, "" if bare else key), axis=1, level=depth)
    greys = {at for at, row in enumerate(rows) if row.grey}
    styler.apply(lambda row: [GREY if row.name in greys and text else "" for text in row], axis=1)
    return styler.apply_index(lambda index: [GREY if at in greys else "" for at in index])


def _spans(columns: Sequence[Key], depth: int) -> list[int]:
    """How many columns each header spans in row `depth` of the headers, from 1."""
    return [len(list(group)) for _, group in groupby(columns, key=lambda column: column[:depth])]


def _rules(sizes: Sequence[int]) -> list[str]:
    """Rules below headers of these sizes."""
    if set(sizes) == {1}:
        return []
    ends = list(accumulate(sizes, initial=1))
    return ["".join(rf"\cmidrule(lr){{{start + 1}-{end}}}" for start, end in pairwise(ends))]


def _stubs(outer: Grid, keys: Sequence[str], columns: Sequence[Key]) -> list[str]:
    """What the rows of headers are called; 'Method' stands in the last that has no other name."""
    names = [
        _stub(key, set(values))
        for key, values in zip(keys, zip(*columns, strict=True), strict=True)
    ]
    if "" in names:
        rows = [key for key in outer.row_keys if key != "selection"]
        last = len(names) - 1 - names[::-1].index("")
        names[last] = ", ".join(STUBS.get(key, key.capitalize()) for key in rows)
    return names


def _stub(key: str, values: Collection[str]) -> str:
    if key == "labels" and all(value.endswith("%") for value in values):
        return "Training ratio"
    return "" if key == "label" else STUBS.get(key, "")


def _head(key: str, value: str) -> str:
    return escape(titled(key, value))


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


def _block(
    head: Sequence[str], block: Grid, style: Style, letters: Mapping[str, str]
) -> list[_TableRow]:
    """A block of rows: published ones in grey, and below them ours."""
    above = [r"\midrule"]
    if head:
        above += [_budgets(head, block, style), r"\midrule"]
    grey = [_grey_row(block, row, letters) for row in block.published_rows]
    ours = [line for row in block.measured_rows for line in _rows(block, row, style, letters)]
    if grey and ours:
        ours[0] = replace(ours[0], above=[r"\midrule"])
    first, *others = [*grey, *ours]
    return [replace(first, above=above), *others]


def _budgets(head: Sequence[str], block: Grid, style: Style) -> str:
    groups = groupby(zip(block.columns, head, strict=True), key=lambda pair: (pair[0][0], pair[1]))
    cells = [_stub(style.blocks, {text for text in head if text})]
    for (_, text), group in groups:
        size = len(list(group))
        head_text = escape(text) or DASH
        cells.append(head_text if size == 1 else rf"\multicolumn{{{size}}}{{c}}{{{head_text}}}")
    return " & ".join(cells) + r" \\"


def _rows(arranged: Grid, row: Key, style: Style, letters: Mapping[str, str]) -> list[_TableRow]:
    """What we measured, and under it what is published for the same and the difference."""
    several = len(arranged.values("selection")) > 1
    cells = arranged.row(row)
    with_interval = style.interval != "none"
    stacked = with_interval and len(arranged.columns) > WIDE
    own = [_cell(cell, style, with_interval and not stacked) for cell in cells]
    lines = [_TableRow(_title(arranged, row, several), own)]
    if stacked:
        lines.append(_TableRow("", [_interval(cell, style) for cell in cells]))
    if any(cell and cell.published for cell in cells):
        title = rf"\quad published{_mark(cells, letters)}"
        lines.append(_TableRow(title, [_text(cell) for cell in cells], grey=True))
    differences = [signed(cell.difference, minus="$-$") if cell else "" for cell in cells]
    if any(differences):
        lines.append(_TableRow(r"\quad difference", differences, grey=True))
    return lines


def _grey_row(arranged: Grid, row: Key, letters: Mapping[str, str]) -> _TableRow:
    cells = arranged.row(row)
    title = _title(arranged, row, several=False) + _mark(cells, letters)
    return _TableRow(title, [_text(cell) or DASH for cell in cells], grey=True)


def _title(arranged: Grid, row: Key, several: bool) -> str:
    named = tuple(titled(key, text) for key, text in zip(arranged.row_keys, row, strict=True))
    return escape(row_title(named, arranged.row_keys, several))


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
    if interval and (beside := _interval(cell, style)):
        text += f" {beside}"
    if not cell.complete:
        return rf"\textcolor{{gray}}{{{text} {{\scriptsize {cell.count}}}}}"
    return text


def _interval(cell: GridCell | None, style: Style) -> str:
    if cell is None:
        return ""
    over = cell.over_images if style.interval == "images" else cell.over_splits
    text = over(minus="$-$")
    return rf"{{\scriptsize {text}}}" if text else ""
