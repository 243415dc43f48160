"""Pools of images that several methods of a results folder have predicted, found in its manifests.

A pool is what one repeat of one task tests: all of the dataset across datasets, the test side of
the split within one. Every method of the task has the same pool, since splits are the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bench.model.records import Record, Selection, Task
from bench.protocol import Protocol
from bench.store import Store
from bench.store.manifest import CellEntry, Manifest, read_all
from bench.util.errors import StoreError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """The cells of one protocol that predict the same images, over all repeats."""

    protocol: Protocol
    task: Task
    selection: Selection
    cells: tuple[CellEntry, ...]
    """One a method, in the order of the protocol's table."""

    @property
    def title(self) -> str:
        """What messages call it, as options select it."""
        options = [f"--protocol {self.protocol.name}", f"--dataset {self.task.test}"]
        if self.task.train != self.task.test:
            options.append(f"--train {self.task.train}")
        return " ".join([*options, f"--budget {self.task.budget}", f"--selection {self.selection}"])

    @property
    def labels(self) -> list[str]:
        """What tables call its methods."""
        return [cell.label for cell in self.cells]

    @property
    def repeats(self) -> int:
        """How many repeats the protocol has."""
        return max(len(cell.runs) for cell in self.cells)


@dataclass(frozen=True)
class Wanted:
    """Which pool is meant; None leaves it open."""

    protocol: str | None = None
    dataset: str | None = None
    train: str | None = None
    budget: str | None = None
    selection: str | None = None

    def fits(self, pool: Pool) -> bool:
        """Whether nothing speaks against a pool."""
        own = (
            pool.protocol.name,
            pool.task.test,
            pool.task.train,
            pool.task.budget,
            pool.selection,
        )
        asked = (self.protocol, self.dataset, self.train, self.budget, self.selection)
        return all(want in (None, have) for want, have in zip(asked, own, strict=True))


@dataclass(frozen=True)
class Scores:
    """What methods predicted on one repeat's pool; rows in the order of the images' names."""

    pool: Pool
    repeat: int
    images: tuple[str, ...]
    """(n,) names."""
    scores: dict[str, FloatArray]
    """Label of a method -> (n,) scores, higher is better."""
    quality: FloatArray | None
    """(n,) labels, higher is better; None for a dataset without labels."""
    records: dict[str, Record]
    """Label of a method -> the run."""


def pools(store: Store) -> list[Pool]:
    """Every pool of a results folder. Raises `StoreError` where it holds no results."""
    return [pool for found in read_all(store) for pool in _of(found)]


def choose(found: Sequence[Pool], wanted: Wanted) -> Pool:
    """The one pool that is meant.

    Raises `UsageError` where none or several are, with the options that select each.
    """
    fitting = [pool for pool in found if wanted.fits(pool)]
    if len(fitting) == 1:
        return fitting[0]
    problem = "several pools fit; choose one" if fitting else "no such pool of images; there are"
    listed = "\n".join(f"  {pool.title}" for pool in fitting or found)
    raise UsageError(f"{problem}:\n{listed}")


def names(pool: Pool, asked: Sequence[str], option: str) -> list[str]:
    """Labels of the methods that `asked` names by label or method name; all for an empty list.

    Raises `UsageError` for one that has no cell in this pool, with those that have.
    """
    for name in asked:
        if any(name in (cell.label, cell.method) for cell in pool.cells):
            continue
        near = nearest(name, pool.labels)
        hint = f"Did you mean '{near}'? " if near else ""
        raise UsageError(
            f"{option} {name}: no predictions of this method on {pool.task.title}. {hint}There are "
            f"{', '.join(pool.labels)}; to add it: {command(pool, name)}"
        )
    if not asked:
        return pool.labels
    return [
        cell.label
        for name in dict.fromkeys(asked)
        for cell in pool.cells
        if name in (cell.label, cell.method)
    ]


def command(pool: Pool, method: str) -> str:
    """The command that computes a method's predictions on a pool."""
    task = pool.task
    datasets = task.test if task.train == task.test else f"{task.train}:{task.test}"
    return f"bench run {pool.protocol.name} --datasets {datasets} --methods {method}"


def read(store: Store, pool: Pool, labels: Sequence[str], repeat: int = 0) -> Scores:
    """The stored predictions of some methods on one repeat's pool.

    Raises `UsageError` for a repeat that the protocol has not, and `StoreError` where a run is
    missing or failed, predictions cannot be read, or methods have different images.
    """
    if not 0 <= repeat < pool.repeats:
        raise UsageError(f"--repeat {repeat}: {pool.protocol.name} has 0 to {pool.repeats - 1}")
    cells = {cell.label: cell for cell in pool.cells}
    records = {label: _record(store, pool, cells[label], repeat) for label in labels}
    tables = {label: _table(store, record) for label, record in records.items()}
    images = {label: tuple(table["image"].astype(str)) for label, table in tables.items()}
    first = labels[0]
    for label in labels[1:]:
        if images[label] != images[first]:
            raise StoreError(
                f"{label} and {first} predicted different images in repeat {repeat} of "
                f"{pool.task.title}; run them again on one version of the data"
            )
    quality = tables[first]["quality"].to_numpy(dtype=np.float64)
    return Scores(
        pool=pool,
        repeat=repeat,
        images=images[first],
        scores={
            label: table["prediction"].to_numpy(dtype=np.float64) for label, table in tables.items()
        },
        quality=quality if np.isfinite(quality).all() else None,
        records=records,
    )


def _of(found: Manifest) -> list[Pool]:
    groups: dict[tuple[Task, Selection], list[CellEntry]] = {}
    for cell in found.cells:
        groups.setdefault((cell.task, cell.selection), []).append(cell)
    return [
        Pool(found.protocol, task, selection, tuple(cells))
        for (task, selection), cells in groups.items()
    ]


def _record(store: Store, pool: Pool, cell: CellEntry, repeat: int) -> Record:
    record = store.read(Path(cell.runs[repeat]), curve=False) if repeat < len(cell.runs) else None
    if record is not None and record.status == "done":
        return record
    done = [
        str(other)
        for other, run in enumerate(cell.runs)
        if (found := store.read(Path(run), curve=False)) is not None and found.status == "done"
    ]
    state = f"failed ({record.error})" if record is not None else "has not run"
    there = f"repeats {', '.join(done)} are done; --repeat takes one" if done else "no repeat is"
    raise StoreError(
        f"{cell.label} on {pool.task.title}: repeat {repeat} {state}; {there}. "
        f"To compute it: {command(pool, cell.label)} --retry-failed"
    )


def _table(store: Store, record: Record) -> pd.DataFrame:
    table = store.predictions(record.spec)
    missing = {"image", "quality", "prediction"} - set(table.columns)
    if missing:
        raise StoreError(f"predictions of {record.run_id} have no column {sorted(missing)[0]}")
    return table.sort_values("image", kind="stable")
