"""Numbers that papers print, as data: `protocols/published/*.yaml` in, cells out.

A file holds one table. Reports show its rows in grey beside ours, with the difference.

    >>> table = load("grmp_table1")
    >>> table.source, len(table.cells())
    ('GRMP-IQA, Table 1', 153)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bench.util.errors import unknown
from bench.util.listing import listed
from bench.util.strict import StrictModel
from bench.util.yaml_files import load_yaml

FOLDER = Path(__file__).parents[1] / "protocols" / "published"

AVERAGE = "average"
"""Stands in place of a dataset for a printed average over several."""

TEST_FRACTION = 0.2
"""Share of a database that all three papers test on (GRMP-IQA 4.1, PromptIQA 4.1, MP-IQE 4.1)."""

Paper = Literal["GRMP-IQA", "PromptIQA", "MP-IQE", "pyiqa"]
Metric = Literal["srcc", "plcc"]
Kind = Literal["value", "std"]

_OURS = re.compile(r"\s*\(ours\)$|^ours$", re.IGNORECASE)
_BUDGET = re.compile(r"[1-9]\d*|[1-9]\d?(\.\d+)?%|all|zero-shot")


def _budget(given: Any) -> str:
    text = str(given)
    if not _BUDGET.fullmatch(text):
        raise ValueError(f"'{text}' is not a budget: a number, a share as in 20%, all or zero-shot")
    return text


Budget = Annotated[str, BeforeValidator(_budget)]
Budgets = tuple[Budget, ...]


@dataclass(frozen=True)
class PublishedCell:
    """One printed number."""

    paper: str
    """The paper's short name, e.g. 'GRMP-IQA'."""
    table: int | None
    """The table's number in the paper, None for the benchmark of a library."""
    method: str
    """The row's name as printed, without its citation."""
    ours: str
    """Our row that measures the same, by its label or its method's name; '' for none."""
    train: str
    """Dataset trained on; 'average' where the number is a mean over datasets."""
    test: str
    """Dataset tested on, as NAME or NAME@VERSION; 'average' as above."""
    budget: str
    """As `Task.budget` gives it: '50', '20%', 'all' or 'zero-shot'."""
    metric: str
    """srcc or plcc."""
    value: float
    """The number."""
    kind: str
    """'value', or 'std' for a standard deviation."""
    decimals: int
    """Decimals that are printed."""
    versions: tuple[str, ...] = ()
    """Other versions of the dataset whose columns show the number as well."""

    @property
    def text(self) -> str:
        """The number as printed."""
        return f"{self.value:.{self.decimals}f}"

    @property
    def title(self) -> str:
        """The row's name outside its paper, where 'Ours' would be ambiguous."""
        return _OURS.sub("", self.method) or self.paper


class Column(StrictModel):
    """One dataset, pair or average, under one or several budgets."""

    dataset: str = ""
    """Dataset tested on; a text in place of a column means this key."""
    train: str = ""
    """Dataset trained on, where it is another one."""
    average: tuple[str, ...] = ()
    """In place of `dataset`: the datasets that the printed average is over."""
    versions: tuple[str, ...] = ()
    """Other versions of the dataset (NAME@VERSION) whose columns show the numbers as well."""
    budgets: Budgets = ()
    """Budgets of this column; the block's by default."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"dataset": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.dataset) == bool(self.average):
            raise ValueError("a column has either a 'dataset' or an 'average'")
        return self


class Row(StrictModel):
    """One printed row; a list in place of a row means its values."""

    values: tuple[float | None, ...]
    """Numbers in the columns' order: every dataset, within it every budget, then every metric. A
    cell that is empty or a dash in print is '~'."""
    ours: str = ""
    """Our row that measures the same: its label, or its method's name."""
    budget: Budget = ""
    """Budget of this row, where it is not the columns'."""
    kind: Kind = "value"
    """'std' for a row of standard deviations."""

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return {"values": given} if isinstance(given, list | tuple) else given

    @field_validator("values")
    @classmethod
    def _correlations(cls, values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        if any(value is not None and abs(value) > 1 for value in values):
            raise ValueError("correlations lie between -1 and 1")
        return values


class Block(StrictModel):
    """Rows that share their columns; most tables have one block."""

    part: str = ""
    """Heading inside the table."""
    budgets: Budgets = ("all",)
    """Budgets of columns that name none."""
    columns: tuple[Column, ...] = Field(min_length=1)
    """The column heads."""
    rows: dict[str, Row] = Field(min_length=1)
    """Printed name -> row."""


class PublishedTable(StrictModel):
    """One table of a paper."""

    paper: Paper
    """The paper's short name."""
    table: int | None = Field(default=None, ge=1)
    """The table's number; left out for the benchmark of a library."""
    title: str
    """What it shows, in our words."""
    statistic: str
    """Mean or median, as the paper states it and where."""
    metrics: tuple[Metric, ...] = Field(min_length=1)
    """The metrics under every column, in the order printed."""
    decimals: int = Field(ge=1, le=6)
    """Decimals that are printed."""
    notes: tuple[str, ...] = ()
    """Oddities of the printed table, and how they were interpreted."""
    blocks: tuple[Block, ...] = Field(min_length=1)
    """Its parts."""

    @property
    def source(self) -> str:
        """Paper and table, for captions."""
        return f"{self.paper}, Table {self.table}" if self.table else f"{self.paper}'s benchmark"

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        for number, block in enumerate(self.blocks):
            width = len(self._columns(block))
            for name, row in block.rows.items():
                if len(row.values) != width:
                    raise PydanticCustomError(
                        "row_width",
                        "row '{row}' has {found} values, its columns are {width}",
                        {
                            "row": name,
                            "found": len(row.values),
                            "width": width,
                            "within": ("blocks", number, "rows", name),
                        },
                    )
        return self

    def cells(self) -> list[PublishedCell]:
        """All numbers, row by row; cells that are empty in print are left out."""
        return [cell for block in self.blocks for cell in self._cells(block)]

    def _columns(self, block: Block) -> list[tuple[Column, str, Metric]]:
        return [
            (column, budget, metric)
            for column in block.columns
            for budget in column.budgets or block.budgets
            for metric in self.metrics
        ]

    def _cells(self, block: Block) -> list[PublishedCell]:
        columns = self._columns(block)
        return [
            PublishedCell(
                paper=self.paper,
                table=self.table,
                method=name,
                ours=row.ours,
                train=column.train or column.dataset or AVERAGE,
                test=column.dataset or AVERAGE,
                budget=row.budget or budget,
                metric=metric,
                value=value,
                kind=row.kind,
                decimals=self.decimals,
                versions=column.versions,
            )
            for name, row in block.rows.items()
            for (column, budget, metric), value in zip(columns, row.values, strict=True)
            if value is not None
        ]


def available() -> dict[str, Path]:
    """All published tables by name."""
    return {path.stem: path for path in listed(FOLDER, "*.yaml")}


def load(name: str) -> PublishedTable:
    """The published table called `name`, e.g. 'grmp_table1'. Raises `UsageError` for an unknown
    name."""
    if name not in available():
        raise unknown("published table", name, available())
    return read(available()[name])


def read(path: Path) -> PublishedTable:
    """A published table from a file; errors name the file, the line and the key."""
    return load_yaml(path, PublishedTable)
