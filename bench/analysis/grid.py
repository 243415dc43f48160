"""Summary → a two-way table with any keys for rows and columns, ranked the way papers mark it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.metrics import BY, METRICS
from bench.metrics import metric as metric_of
from bench.stats.median import bounds
from bench.store.table import NOTE_BREAK
from bench.util.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

DIGITS = 3
"""Decimals of a correlation in tables; ties are judged as printed."""
MARKS = {"best_test": "‡", "contaminated": "†", "noted": "§"}
COMPETITION = ["protocol", "dataset", "labels", "selection", "metric"]
"""Cells with equal values in these columns are ranked together: methods on one task under one
selection."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class GridCell:
    """One cell as tables print it."""

    median: float
    low: float
    high: float
    coverage: float
    n: int
    expected: int
    rank: int | None
    """1 for the best and all values that print the same, 2 for the next; None: not ranked."""
    contaminated: bool
    selection: str
    noted: bool = False
    """Whether its runs have notes that a table must show (`table_notes`)."""
    published: str = ""
    """The published number of the same method and column, '' for none."""
    published_in: str = ""
    """Paper and table of that number."""
    difference: float = math.nan
    """Measured minus published, NaN where they are not comparable."""
    image_low: float = math.nan
    image_high: float = math.nan
    """Interval over images, NaN where there is none."""

    @property
    def measured(self) -> bool:
        """Whether this is a cell of a protocol here; otherwise it has a published number only."""
        return self.expected > 0

    @property
    def complete(self) -> bool:
        """Whether all of its runs count."""
        return self.n == self.expected > 0

    @property
    def marks(self) -> str:
        """'†' where the method had seen the test dataset's labels, '‡' for the best test epoch, '§'
        where a note stands below the table."""
        there = {
            "contaminated": self.contaminated,
            "best_test": self.selection == "best_test",
            "noted": self.noted,
        }
        return "".join(MARKS[name] for name, holds in there.items() if holds)

    def over_splits(self, digits: int = DIGITS, minus: str = "-") -> str:
        """'[low, high]' from six splits on, 'low to high' (a range) below, '' for one or none."""
        low, high = (number(value, digits, minus) for value in (self.low, self.high))
        return span(low, high, self.n)

    def over_images(self, digits: int = DIGITS, minus: str = "-") -> str:
        """'[low, high]' over images, '' where there is no such interval."""
        if not math.isfinite(self.image_low):
            return ""
        low, high = (number(value, digits, minus) for value in (self.image_low, self.image_high))
        return f"[{low}, {high}]"

    @property
    def count(self) -> str:
        """How many of the runs count, as 'n/N'."""
        return f"{self.n}/{self.expected}"


NOTHING = GridCell(math.nan, math.nan, math.nan, math.nan, 0, 0, None, False, "")
"""A cell without a measured value."""


@dataclass(frozen=True)
class Grid:
    """A two-way table."""

    row_keys: tuple[str, ...]
    column_keys: tuple[str, ...]
    rows: tuple[Key, ...]
    columns: tuple[Key, ...]
    cells: dict[tuple[Key, Key], GridCell]

    @cached_property
    def measured_rows(self) -> tuple[Key, ...]:
        """Rows with a measured cell."""
        found = {row for (row, _), cell in self.cells.items() if cell.measured}
        return tuple(row for row in self.rows if row in found)

    @cached_property
    def published_rows(self) -> tuple[Key, ...]:
        """Rows of published numbers alone."""
        return tuple(row for row in self.rows if row not in set(self.measured_rows))

    def row(self, key: Key) -> list[GridCell | None]:
        """The cells of a row, column by column."""
        return [self.cells.get((key, column)) for column in self.columns]

    def values(self, key: str) -> list[str]:
        """The different values of a row key, in order; none where it is no row key."""
        if key not in self.row_keys:
            return []
        position = self.row_keys.index(key)
        return list(dict.fromkeys(row[position] for row in self.measured_rows))

    def varying(self) -> list[int]:
        """Positions of column keys that tell columns apart; the others belong in the caption."""
        levels = range(len(self.column_keys))
        return [level for level in levels if len({key[level] for key in self.columns}) > 1]


def ranked(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary with a column `rank` among complete cells of equal `COMPETITION`; NaN elsewhere.

    Values that print the same number share a rank, and the next value gets the next rank: rank 2 is
    "second best" however many are best. A cell without a competitor is not ranked.
    """
    out = summary.copy()
    out["rank"] = math.nan
    for key, group in out[out["complete"]].groupby(COMPETITION, sort=False):
        if len(group) < 2:
            continue
        ascending = not metric_of(str(key[-1])).higher_is_better
        printed = group["median"].round(DIGITS)
        out.loc[group.index, "rank"] = printed.rank(method="dense", ascending=ascending)
    return out


def grid(
    summary: pd.DataFrame,
    rows: Sequence[str] = ("label", "selection"),
    columns: Sequence[str] = ("dataset", "labels", "metric"),
    printed: Sequence[Mapping[Hashable, Any]] = (),
) -> Grid:
    """Arrange a summary by any of its columns; rows and columns keep the order of the summary.

    `printed` are rows of published numbers alone (`bench.analysis.published.Printed.alone`);
    they come last and take part in no ranking.

    Raises `UsageError` for an unknown key, and when the keys leave two values for one cell.
    """
    table = ranked(summary)
    for key in (*rows, *columns):
        if key not in table.columns:
            raise unknown("table key", key, table.columns)
    cells: dict[tuple[Key, Key], GridCell] = {}
    items: list[Mapping[Hashable, Any]] = [*table.to_dict("records"), *printed]
    for item in items:
        place = _key(item, rows), _key(item, columns)
        if place in cells:
            raise UsageError(f"two values for one cell: {_difference(table, (*rows, *columns))}")
        cells[place] = _cell(item)
    return Grid(
        tuple(rows),
        tuple(columns),
        tuple(dict.fromkeys(row for row, _ in cells)),
        _grouped(list(dict.fromkeys(column for _, column in cells))),
        cells,
    )


def number(value: float, digits: int = DIGITS, minus: str = "-") -> str:
    """A value as tables print it: fixed decimals, '–' where there is none.

    >>> number(0.81249), number(-0.0004), number(float("nan")), number(-0.5, 1, minus="−")
    ('0.812', '0.000', '–', '−0.5')
    """
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    zero = not text.strip("-0.")
    return text.lstrip("-") if zero else text.replace("-", minus)


def span(low: str, high: str, n: int) -> str:
    """The bounds of `median_interval` over n splits as text: only from six on are they an interval.

    >>> span("0.79", "0.83", 10), span("0.79", "0.83", 3), span("0.8", "0.8", 1)
    ('[0.79, 0.83]', '0.79 to 0.83', '')
    """
    return {"interval": f"[{low}, {high}]", "range": f"{low} to {high}"}.get(bounds(n), "")


def signed(value: float, minus: str = "-") -> str:
    """A difference as tables print it, '' where there is none.

    >>> signed(0.0123), signed(-0.5, minus="−"), signed(-0.00001)
    ('+0.012', '−0.500', '0.000')
    """
    if not math.isfinite(value):
        return ""
    text = number(value, minus=minus)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def row_title(key: Key, keys: Sequence[str], several: bool) -> str:
    """The name of a row: its label, with the selection where a table has more than one."""
    parts = dict(zip(keys, key, strict=True))
    selection = parts.pop("selection", "last")
    title = " · ".join(parts.values())
    if not selection:  # a published row
        return title
    if selection == "best_test":
        return f"{title} {MARKS['best_test']}"
    return f"{title} ({selection})" if several else title


def table_notes(summary: pd.DataFrame) -> list[str]:
    """What '§' means in tables of a summary: a line for each row and note, with its datasets unless
    it holds for all.

    >>> import pandas as pd
    >>> table_notes(pd.DataFrame({"label": ["a", "a", "b"], "dataset": ["x", "y", "x"],
    ...                           "notes": ["no views", "", "from scratch"]}))
    ['a on x: no views', 'b: from scratch']
    """
    lines = []
    for label, rows in summary.groupby("label", sort=False):
        found: dict[str, list[str]] = {}
        for dataset, notes in zip(rows["dataset"], rows["notes"], strict=True):
            for note in filter(None, str(notes).split(NOTE_BREAK)):
                found.setdefault(note, []).append(str(dataset))
        everywhere = set(rows["dataset"])
        for note, datasets in found.items():
            part = ", ".join(dict.fromkeys(datasets))
            lines.append(f"{label}{'' if set(datasets) == everywhere else f' on {part}'}: {note}")
    return lines


def metric_title(name: str) -> str:
    """A metric as column headings write it."""
    return metric_of(name).title if name.partition(BY)[0] in METRICS else name


def _cell(item: Mapping[Hashable, Any]) -> GridCell:
    if "rank" not in item:
        return replace(NOTHING, published=item["published"], published_in=item["published_in"])
    rank = float(item["rank"])
    return GridCell(
        median=float(item["median"]),
        low=float(item["low"]),
        high=float(item["high"]),
        coverage=float(item["coverage"]),
        n=int(item["n"]),
        expected=int(item["expected"]),
        rank=int(rank) if math.isfinite(rank) else None,
        contaminated=bool(item["contaminated"]),
        selection=str(item["selection"]),
        noted=bool(item["notes"]),
        published=str(item["published"]),
        published_in=str(item["published_in"]),
        difference=float(item["difference"]),
        image_low=float(item["image_low"]),
        image_high=float(item["image_high"]),
    )


def _key(item: Mapping[Hashable, Any], keys: Sequence[str]) -> Key:
    # A published number has its task, metric and method, and no other key.
    return tuple(str(item.get(key, "")) for key in keys)


def _grouped(columns: list[Key]) -> tuple[Key, ...]:
    """Columns with equal outer keys side by side, so that headers can span them."""
    if not columns or len(columns[0]) < 2:
        return tuple(columns)
    outer = dict.fromkeys(column[0] for column in columns)
    return tuple(
        (head, *rest)
        for head in outer
        for rest in _grouped([column[1:] for column in columns if column[0] == head])
    )


def _difference(table: pd.DataFrame, keys: Sequence[str]) -> str:
    candidates = ["protocol", "label", "dataset", "labels", "selection", "metric"]
    left = [key for key in candidates if key not in keys and table[key].nunique() > 1]
    return f"add {', '.join(map(repr, left))} to the rows or columns" if left else "repeated rows"
