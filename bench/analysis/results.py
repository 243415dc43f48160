"""A results folder that was read once: its table of runs, and the records for figures and pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.analysis import embedding
from bench.analysis.summary import base_name, column_title, on_demo, summarise
from bench.data.at_hand import AtHand
from bench.metrics import METRICS
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
    """One cell of a protocol with the records of its runs; `Results.trained` reads their curves."""

    protocol: Protocol
    entry: manifest.CellEntry
    runs: tuple[Record | None, ...]
    """Repeat by repeat; None where a run has no readable record."""

    @cached_property
    def done(self) -> list[Record]:
        """Runs that finished."""
        return [run for run in self.runs if run is not None and run.status == "done"]

    @cached_property
    def failed(self) -> list[Record]:
        """Runs that failed."""
        return [run for run in self.runs if run is not None and run.status == "failed"]

    @property
    def records(self) -> list[Record]:
        """Runs that have a record, done or failed."""
        return [run for run in self.runs if run is not None]

    @property
    def column(self) -> str:
        """What tables call its column."""
        return column_title(self.protocol, self.entry.task.train, self.entry.task.test)

    @property
    def demo(self) -> bool:
        """Whether its training or test images are rendered."""
        return on_demo(self.entry.task.train, self.entry.task.test)

    @property
    def backbone(self) -> str:
        """The backbone of its runs, '' for methods without one."""
        return next((run.spec.fit.weights.get("name", "") for run in self.records), "")

    @property
    def contaminated(self) -> bool:
        """Whether the method starts from weights that have seen test labels."""
        return any(
            saw_test_labels(run.trained_on, run.spec.task, run.spec.fit.split, run.spec.repeat)
            for run in self.records
        )

    @property
    def table_notes(self) -> list[str]:
        """The notes that a table has to show, each note of the done runs once."""
        return list(dict.fromkeys(note for run in self.done for note in run.table_notes))

    @property
    def unlabelled(self) -> bool:
        """Whether its test images have no labels, so that it has predictions and no metrics."""
        return bool(self.done) and not any(run.judged for run in self.done)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The protocol's metrics; none without labels."""
        return () if self.unlabelled else self.protocol.metrics

    def values(self, metric: str) -> list[float]:
        """The metric of all done runs where it is defined, repeat by repeat."""
        found = (run.value(metric, self.entry.selection) for run in self.done)
        return [value for value in found if value is not None and math.isfinite(value)]

    def typical(self, metric: str) -> Record | None:
        """The done run whose value is the (lower) median: the one to show as an example."""
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
    """The content of a results folder for reports, read once."""

    store: Store
    cells: list[CellResult]
    problems: list[str] = field(default_factory=list)
    """Files that could not be read, each with its reason."""
    worked_out: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Values that pages and figures share, computed once: (kind, run or protocol) -> value."""
    excluded: list[CellResult] = field(default_factory=list)
    """Contaminated cells that `uncontaminated` left out."""
    at_hand: AtHand = field(default_factory=AtHand)
    """Databases on this machine, for metrics that records lack."""

    @cached_property
    def protocols(self) -> list[Protocol]:
        """Every protocol, once."""
        return list({cell.protocol.name: cell.protocol for cell in self.cells}.values())

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The table of runs (`bench.store.table`) with a column `noise`: how many test images of a
        run are semantic noise, NaN where it did not keep what that takes."""
        found = ((cell.protocol, cell.entry, cell.runs) for cell in self.cells)
        # Recorded at once by newer runs; computed here for runs of before a protocol named them.
        named = dict.fromkeys(name for one in self.protocols for name in one.metrics)
        extra = [name for name in named if name in METRICS and METRICS[name].needs]
        table = runs_table.tabulate(self.store, found, metrics=extra, at_hand=self.at_hand)
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
        """These results without contaminated cells, which `excluded` then holds."""
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
        """The cells of a protocol, in the order of its manifest."""
        return [cell for cell in self.cells if cell.protocol.name == protocol.name]

    def trained(self, cell: CellResult) -> list[Record]:
        """The cell's done runs with their curves."""
        return [self._whole(self.store.path(run.spec)) or run for run in cell.done]

    @cached_property
    def _whole(self) -> Callable[[Path], Record | None]:
        """Reads whole records; several figures share them, so the last few thousand are kept."""
        return lru_cache(maxsize=4096)(self.store.read)

    def predictions(self, run: Record) -> pd.DataFrame:
        """A done run's predictions. Raises `StoreError` where they cannot be read."""
        return self.store.predictions(run.spec)


@gc_paused()
def load(results: str | Path | Store, data_roots: Sequence[Path] = ()) -> Results:
    """Read every manifest and the records they name, each once and without its curve.

    Metrics that records lack are computed from predictions where the database is under
    `data_roots` or `IQA_DATA`.

    Raises `StoreError` where the folder holds no results.
    """
    store = results if isinstance(results, Store) else Store(Path(results))
    before = len(store.problems)
    at_hand = AtHand(data_roots)
    cells = [CellResult(*found) for found in runs_table.cells(store, at_hand)]
    return Results(store, cells, store.problems[before:], at_hand=at_hand)
