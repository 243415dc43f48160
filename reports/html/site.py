"""What the pages share: where everything is, and what every page says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from itertools import chain, count
from typing import TYPE_CHECKING

from bench.analysis.compare import Comparisons, compare_all
from bench.analysis.grid import ranked
from bench.analysis.published import NOTHING, Printed
from bench.analysis.results import CellResult, Results
from bench.store import slug
from reports.worst import Thumbnails

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol import Protocol

DEMO = (
    "Rendered demo data",
    "Images come from a program and scores from an observer model: for trying the harness, no "
    "reproduction of any paper.",
)
TINY = (
    "Tiny backbone",
    "A small network trained on rendered scenes: for trying the harness, no reproduction of any "
    "paper.",
)
BOTH = (
    "Rendered demo data, tiny backbone",
    "For trying the harness, no reproduction of any paper: images come from a program, scores from "
    "an observer model, and the network is a small one.",
)


@dataclass(frozen=True)
class Site:
    """All that pages are made from."""

    results: Results
    summary: pd.DataFrame
    """With ranks (`bench.analysis.grid.ranked`)."""
    figures: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Title, caption, PNG and PDF, the files as paths under the report's folder."""
    notes: list[str] = field(default_factory=list)
    """What was left out and why."""
    printed: Printed = NOTHING
    """Published numbers."""
    warnings: list[str] = field(default_factory=list)
    """Sanity rows that show the table to be wrong."""
    contests: list[tuple[str, str, str]] = field(default_factory=list)
    """Protocol, title and address of the gMAD pages."""
    thumbnails: Thumbnails | None = None
    """Small images of the worst errors; None: errors are named alone."""

    @classmethod
    def of(
        cls,
        results: Results,
        summary: pd.DataFrame,
        figures: list[tuple[str, str, str, str]],
        notes: list[str],
        printed: Printed = NOTHING,
        warnings: Iterable[str] = (),
        contests: Iterable[tuple[str, str, str]] = (),
        thumbnails: Thumbnails | None = None,
    ) -> Site:
        """The site of a results folder."""
        return cls(
            results,
            ranked(summary),
            figures,
            notes,
            printed,
            warnings=list(warnings),
            contests=list(contests),
            thumbnails=thumbnails,
        )

    @cached_property
    def comparisons(self) -> list[Comparisons]:
        """Methods against each other, protocol by protocol."""
        return compare_all(self.results)

    def title_of(self, protocol: Protocol) -> str:
        """What pages call a protocol: its title, with its name where two share the title."""
        title = protocol.title or protocol.name
        same = [one for one in self.results.protocols if (one.title or one.name) == title]
        return title if len(same) == 1 else f"{title} ({protocol.name})"

    @cached_property
    def methods(self) -> dict[str, str]:
        """Label -> file of its page."""
        return _files((cell.entry.label for cell in self.results.cells), "methods")

    @cached_property
    def datasets(self) -> dict[str, str]:
        """Dataset that is predicted -> file of its page."""
        return _files((cell.entry.task.test for cell in self.results.cells), "datasets")

    @cached_property
    def places(self) -> dict[int, str]:
        """Identity of a cell -> its place on its method's page."""
        return {
            id(cell): f"{self.methods[cell.entry.label]}#c{number}"
            for number, cell in enumerate(self.results.cells, 1)
        }

    def place(self, cell: CellResult) -> str:
        """Where a cell is told in full."""
        return self.places[id(cell)]

    def rows(self, cell: CellResult) -> pd.DataFrame:
        """The cell's rows of the summary, one a metric."""
        entry, table = cell.entry, self.summary
        return table[
            (table["protocol"] == cell.protocol.name)
            & (table["label"] == entry.label)
            & (table["selection"] == entry.selection)
            & (table["train"] == entry.task.train)
            & (table["test"] == entry.task.test)
            & (table["labels"] == entry.task.budget)
        ]

    @property
    def version(self) -> str:
        """Version of iqa-bench, '' where it is not installed."""
        try:
            return metadata.version("iqa-bench")
        except metadata.PackageNotFoundError:
            return ""


def banner(cells: Iterable[CellResult]) -> tuple[str, str] | None:
    """Heading and text of the warning that a page of these cells carries."""
    seen = list(cells)
    demo = any(cell.demo for cell in seen)
    tiny = any(cell.backbone == "tiny" for cell in seen)
    return BOTH if demo and tiny else DEMO if demo else TINY if tiny else None


def _files(names: Iterable[str], folder: str) -> dict[str, str]:
    """One file name each; names that look alike as files get a number."""
    files: dict[str, str] = {}
    for name in dict.fromkeys(names):
        stem = slug(name).lower()
        taken = set(files.values())
        ends = chain([""], (f"-{number}" for number in count(2)))
        options = (f"{folder}/{stem}{end}.html" for end in ends)
        files[name] = next(option for option in options if option not in taken)
    return files
