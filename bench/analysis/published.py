"""Published numbers beside measured ones: which of them a report shows, and with which differences.

A number is shown where a protocol names its table and the report has a column of its dataset (or
pair), budget and metric. It is subtracted only from the median of the row that its table names as
the same method. Rendered data, the tiny backbone and another test fraction measure something else:
there the number gets a row of its own.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from bench.model.titles import task_title
from bench.protocol import Protocol, published
from bench.util.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol.published import PublishedTable

BETWEEN = "; "
"""Separates the names of tables that print the same number."""
TINY = "No difference is given for the tiny backbone."
FRACTION = "No difference is given: the papers test on 20 % of a database, this protocol does not."

Column = tuple[str, str, str, str]
"""Train, test, budget and metric."""


@dataclass(frozen=True)
class PublishedSource:
    """A published table that a report takes numbers from."""

    title: str
    """Paper and table."""
    statistic: str
    """Mean or median, as the paper states it."""
    notes: tuple[str, ...]
    """Oddities of the printed table."""


@dataclass(frozen=True)
class PublishedNumber:
    """A published number that a report shows."""

    protocol: str
    name: str
    """The method as printed."""
    ours: str
    """The measured row that is the same method, '' for none."""
    train: str
    test: str
    labels: str
    metric: str
    text: str
    """The number as printed."""
    source: str
    """Its table, or tables."""
    label: str = ""
    """The measured row that it is shown with; '' if it has a separate row."""
    selection: str = ""
    """That row's selection."""
    measured: bool = False
    """Whether there is a comparable measured cell, complete or not."""
    median: float = math.nan
    """Of that cell, NaN where none of its runs counts."""
    difference: float = math.nan
    """Measured minus published, NaN unless the cell is complete."""

    @property
    def place(self) -> Column:
        """Its column in the report."""
        return self.train, self.test, self.labels, self.metric

    @property
    def dataset(self) -> str:
        """Its dataset as column headings write it."""
        return task_title(self.train, self.test)

    def item(self) -> dict[Hashable, Any]:
        """The number as a row of the summary that has no measurement."""
        return {
            "protocol": self.protocol,
            "label": self.label or self.name,
            "method": "",
            "backbone": "",
            "train": self.train,
            "test": self.test,
            "dataset": self.dataset,
            "labels": self.labels,
            "selection": self.selection,
            "metric": self.metric,
            "published": self.text,
            "published_in": self.source,
        }


@dataclass(frozen=True)
class Printed:
    """All published numbers of a report."""

    numbers: tuple[PublishedNumber, ...] = ()
    """Those beside measured cells, and those in separate rows."""
    known: Mapping[str, tuple[PublishedSource, ...]] = field(default_factory=dict)
    """Protocol -> the tables that numbers come from."""
    withheld: Mapping[str, str] = field(default_factory=dict)
    """Protocol -> why no differences are given."""
    problems: tuple[str, ...] = ()
    """Tables that could not be read, each with its reason."""

    def alone(self, protocol: str, metric: str = "") -> list[dict[Hashable, Any]]:
        """Rows of a summary for numbers without a measured cell, of one metric or of all."""
        return [
            number.item()
            for number in self.numbers
            if number.protocol == protocol and not number.measured and metric in ("", number.metric)
        ]

    def sources(self, protocol: str) -> tuple[PublishedSource, ...]:
        """The tables that a protocol's numbers come from."""
        return self.known.get(protocol, ())

    def letters(self, protocol: str) -> dict[str, str]:
        """Table -> the letter that marks its rows; {} where there is only one."""
        titles = [source.title for source in self.sources(protocol)]
        return dict(zip(titles, ascii_lowercase, strict=False)) if len(titles) > 1 else {}

    def caveat(self, protocol: str) -> str:
        """Why no differences are given, '' where they are."""
        return self.withheld.get(protocol, "")


NOTHING = Printed()
"""A report without published numbers."""


def mark(letters: Mapping[str, str], sources: Iterable[str]) -> str:
    """The letters of a row's tables, e.g. 'a' or 'a,b'."""
    titles = {title for source in sources for title in source.split(BETWEEN)}
    return ",".join(letter for title, letter in letters.items() if title in titles)


def beside(summary: pd.DataFrame, protocols: Sequence[Protocol]) -> tuple[pd.DataFrame, Printed]:
    """The summary with `published`, `published_in` and `difference` filled in, and all numbers.

    `difference` is measured minus published, NaN where a cell is incomplete.
    """
    filled = summary.copy()
    numbers: list[PublishedNumber] = []
    stands: dict[Any, PublishedNumber] = {}
    known: dict[str, tuple[PublishedSource, ...]] = {}
    withheld: dict[str, str] = {}
    problems: list[str] = []
    for protocol in protocols:
        tables, lost = _tables(protocol)
        problems += lost
        mine = filled[filled["protocol"] == protocol.name]
        fair = _comparable(mine, protocol)
        found = _shown(tables, mine, protocol)
        for number, index in (pair for item in found for pair in _place(item, mine, fair)):
            numbers.append(number)
            if number.measured:
                stands[index] = number
        titles = {title for number in found for title in number.source.split(BETWEEN)}
        known[protocol.name] = tuple(
            PublishedSource(table.source, _statistic(table), table.notes)
            for table in tables
            if table.source in titles
        )
        if found:
            withheld[protocol.name] = _withheld(mine, protocol)
    cells = [stands.get(index) for index in filled.index]
    filled["published"] = [cell.text if cell else "" for cell in cells]
    filled["published_in"] = [cell.source if cell else "" for cell in cells]
    filled["difference"] = [cell.difference if cell else math.nan for cell in cells]
    return filled, Printed(tuple(numbers), known, withheld, tuple(problems))


def frame(printed: Printed) -> pd.DataFrame:
    """Every published number of the report as a row: the content of `published.csv`."""
    import pandas as pd

    identity = ["protocol", "published_in", "name", "label", "selection"]
    task = ["train", "test", "dataset", "labels", "metric"]
    rows = [
        {**number.item(), "label": number.label, "name": number.name}
        | {"median": number.median, "difference": number.difference}
        for number in printed.numbers
    ]
    return pd.DataFrame(rows, columns=[*identity, *task, "published", "median", "difference"])


def _tables(protocol: Protocol) -> tuple[list[PublishedTable], list[str]]:
    tables, lost = [], []
    for name in protocol.published:
        try:
            tables.append(published.load(name))
        except BenchError as error:
            lost.append(f"{protocol.name}: no published numbers: {error}")
    return tables, lost


def _statistic(table: PublishedTable) -> str:
    unsaid = table.statistic == "not stated"
    return "mean or median not stated" if unsaid else table.statistic


def _comparable(mine: pd.DataFrame, protocol: Protocol) -> pd.Series:
    within = mine["train"] == mine["test"]
    same = protocol.test_fraction == published.TEST_FRACTION
    return ~mine["demo"] & (mine["backbone"] != "tiny") & (same | ~within)


def _withheld(mine: pd.DataFrame, protocol: Protocol) -> str:
    real = mine[~mine["demo"]]
    if (real["backbone"] == "tiny").any():
        return TINY
    return "" if _comparable(real, protocol).all() else FRACTION


def _shown(
    tables: Sequence[PublishedTable], mine: pd.DataFrame, protocol: Protocol
) -> list[PublishedNumber]:
    """Numbers that have a column in the report; one that two tables print is listed once."""
    places = _places(mine)
    merged: dict[tuple[str, Column], PublishedNumber] = {}
    for table in tables:
        for number in _numbers(table, protocol):
            if number.place not in places:
                continue
            key = (number.ours or number.name, number.place)
            first = merged.setdefault(key, number)
            if first is number:
                continue
            if first.text == number.text:
                merged[key] = replace(first, source=f"{first.source}{BETWEEN}{number.source}")
                continue
            other = f"{number.name} ({number.source})"
            merged[other, number.place] = replace(number, name=other, ours="")
    return list(merged.values())


def _numbers(table: PublishedTable, protocol: Protocol) -> Iterable[PublishedNumber]:
    for cell in table.cells():
        # A standard deviation is not a score, and an average over datasets has no column.
        if cell.kind != "value" or published.AVERAGE in (cell.train, cell.test):
            continue
        zero_shot = bool(protocol.test) and cell.budget == "zero-shot"
        for test in (cell.test, *cell.versions):
            within = "" if zero_shot else test  # a suite that learns nothing has no training set
            yield PublishedNumber(
                protocol=protocol.name,
                name=cell.title,
                ours=cell.ours,
                train=within if cell.train == cell.test else cell.train,
                test=test,
                labels=cell.budget,
                metric=cell.metric,
                text=cell.text,
                source=table.source,
            )


def _place(
    number: PublishedNumber, mine: pd.DataFrame, fair: pd.Series
) -> list[tuple[PublishedNumber, Any]]:
    """The number beside each cell of its method, with the cell's index; else in its own row."""
    label = _owner(number.ours, mine[fair])
    there = mine[_at(mine, number) & (mine["label"] == label)]
    cells = there[fair[there.index]]
    if len(cells):
        return [(_measured(number, cell), index) for index, cell in cells.iterrows()]
    if label is not None and there.empty:
        selection = mine[fair & (mine["label"] == label)]["selection"].iloc[0]
        return [(replace(number, label=label, selection=str(selection)), None)]
    taken = number.name in set(mine["label"])
    return [(replace(number, name=f"{number.name} (published)") if taken else number, None)]


def _at(mine: pd.DataFrame, number: PublishedNumber) -> pd.Series:
    train, test, labels, metric = number.place
    tasks = (mine["train"] == train) & (mine["test"] == test) & (mine["labels"] == labels)
    return tasks & (mine["metric"] == metric)


def _measured(number: PublishedNumber, cell: pd.Series) -> PublishedNumber:
    median = float(cell["median"])
    return replace(
        number,
        label=str(cell["label"]),
        selection=str(cell["selection"]),
        measured=True,
        median=median,
        difference=median - float(number.text) if cell["complete"] else math.nan,
    )


def _owner(ours: str, fair: pd.DataFrame) -> str | None:
    """The label of the row that `ours` names: a label, or a method that only one row has."""
    if not ours:
        return None
    if (fair["label"] == ours).any():
        return ours
    labels = set(fair[fair["method"] == ours]["label"])
    return str(labels.pop()) if len(labels) == 1 else None


def _places(mine: pd.DataFrame) -> set[Column]:
    columns = (mine[name] for name in ("train", "test", "labels", "metric"))
    return {(str(a), str(b), str(c), str(d)) for a, b, c, d in zip(*columns, strict=True)}
