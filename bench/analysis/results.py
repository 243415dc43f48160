"""A results folder that was read once: its table of runs, and the records for figures and pages."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.analysis import embedding
from bench.analysis.summary import base_name, column_title, on_demo, summarise
from bench.model.contamination import saw_test_labels
from bench.model.records import Record
from bench.protocol import Protocol
from bench.store import Store, manifest
from bench.store import table as runs_table
from bench.util.gc_paused import gc_paused

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CellResult:
    """One cell of a protocol with what became of its runs (curves: `Results.trained`)."""

    protocol: Protocol
    entry: manifest.CellEntry
    runs: tuple[Record | None, ...]
    """Repeat by repeat; None where a run has no readable record."""

    @cached_property
    def done(self) -> list[Record]:
        """Runs that ended well."""
        return [run for run in self.runs if run is not None and run.status == "done"]

    @cached_property
    def failed(self) -> list[Record]:
        """Runs that ended in an error."""
        return [run for run in self.runs if run is not None and run.status == "failed"]

    @property
    def records(self) -> list[Record]:
        """All runs that left a record."""
        return [run for run in self.runs if run is not None]

    @property
    def column(self) -> str:
        """What tables call its column."""
        return column_title(self.protocol, self.entry.task.train, self.entry.task.test)

    @property
    def demo(self) -> bool:
        """Whether rendered data are learnt from or predicted."""
        return on_demo(self.entry.task.train, self.entry.task.test)

    @property
    def backbone(self) -> str:
        """The backbone of its runs, '' for methods without one."""
        return next((run.spec.fit.weights.get("name", "") for run in self.records), "")

    @property
    def contaminated(self) -> bool:
        """Whether the method's weights had seen labels of the test dataset before `fit`."""
        return any(
            saw_test_labels(run.trained_on, run.spec.task, run.spec.fit.split, run.spec.repeat)
            for run in self.records
        )

    @property
    def table_notes(self) -> list[str]:
        """What a table must say beside its numbers, each note of its done runs once."""
        return list(dict.fromkeys(note for run in self.done for note in run.table_notes))

    @property
    def unlabelled(self) -> bool:
        """Whether its test images have no labels: no metric can be computed, nothing is missing."""
        return bool(self.done) and not any(run.judged for run in self.done)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The protocol's metrics; none without labels."""
        return () if self.unlabelled else self.protocol.metrics

    def values(self, metric: str, selection: str | None = None) -> list[float]:
        """The metric of all done runs where it is defined, repeat by repeat."""
        found = (run.value(metric, selection or self.entry.selection) for run in self.done)
        return [value for value in found if value is not None and math.isfinite(value)]

    def typical(self, metric: str) -> Record | None:
        """The done run whose value lies nearest the median: the one to show as an example."""
        scored = [
            (value, run)
            for run in self.done
            if (value := run.value(metric, self.entry.selection)) is not None
        ]
        if not scored:
            return next(iter(self.done), None)
        ordered = sorted(scored, key=lambda pair: (pair[0], pair[1].spec.repeat))
        return ordered[(len(ordered) - 1) // 2][1]


@dataclass(frozen=True)
class Results:
    """A results folder as it was when it was read."""

    store: Store
    cells: list[CellResult]
    problems: list[str] = field(default_factory=list)
    """Files that could not be read, each with its reason."""
    worked_out: dict[tuple[str, str], Any] = field(default_factory=dict)
    """What several pages and figures show of a run, by kind and run, once it was worked out."""
    excluded: list[CellResult] = field(default_factory=list)
    """Contaminated cells that `uncontaminated` left out."""

    @cached_property
    def protocols(self) -> list[Protocol]:
        """Every protocol, once."""
        return list({cell.protocol.name: cell.protocol for cell in self.cells}.values())

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The table of runs (`bench.store.table`) with a column `noise`: how many test images of a
        run are semantic noise, NaN where it did not keep what that takes."""
        found = ((cell.protocol, cell.entry, cell.runs) for cell in self.cells)
        table = runs_table.tabulate(self.store, found)
        counts = (
            # Looking for a file of every run would take most of the time on large stores.
            embedding.noise_counts(self, cell)
            if "per_image" in cell.protocol.keep
            else [None] * len(cell.runs)
            for cell in self.cells
        )
        return table.assign(noise=np.array([*chain.from_iterable(counts)], dtype=float))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row for every cell and metric of every protocol (`bench.analysis.summarise`).

        `bench.analysis.published.beside` adds printed numbers.
        """
        return summarise(self.runs, self.protocols)

    def uncontaminated(self) -> Results:
        """The same without cells whose test dataset's labels the method's weights had seen."""
        kept = [cell for cell in self.cells if not cell.contaminated]
        gone = [cell for cell in self.cells if cell.contaminated]
        return replace(self, cells=kept, excluded=[*self.excluded, *gone])

    @property
    def excluded_from(self) -> set[str]:
        """Protocols that `uncontaminated` left cells out of."""
        return {cell.protocol.name for cell in self.excluded}

    def exclusions(self) -> list[str]:
        """What `uncontaminated` left out, a line for each row and dataset of a protocol."""
        lines = (
            f"{cell.protocol.name}: {cell.entry.label} on {cell.entry.task.title}: contaminated, "
            f"its weights had seen labels of {base_name(cell.entry.task.test)}"
            for cell in self.excluded
        )
        return list(dict.fromkeys(lines))

    def of(self, protocol: Protocol) -> list[CellResult]:
        """The cells of a protocol, in the order of first mention."""
        return [cell for cell in self.cells if cell.protocol.name == protocol.name]

    def trained(self, cell: CellResult) -> list[Record]:
        """The cell's done runs with their curves, which tables do without."""
        return [self._whole(self.store.path(run.spec)) or run for run in cell.done]

    @cached_property
    def _whole(self) -> Callable[[Path], Record | None]:
        """Reads records; the last few thousand stay in memory for the next figure."""
        return lru_cache(maxsize=4096)(self.store.read)

    def predictions(self, run: Record) -> pd.DataFrame:
        """A done run's predictions. Raises `StoreError` where they cannot be read."""
        return self.store.predictions(run.spec)


@gc_paused()
def load(results: str | Path | Store) -> Results:
    """Read every manifest and the records they name, each once and without its curve.

    Raises `StoreError` where the folder holds no results.
    """
    store = results if isinstance(results, Store) else Store(Path(results))
    before = len(store.problems)
    cells = [CellResult(*found) for found in runs_table.cells(store)]
    return Results(store, cells, store.problems[before:])
