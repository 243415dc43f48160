"""Pools of images that several methods have predicted, found in the table of runs.

A pool is the test side of one repeat of one task: within a dataset that of the split, across
datasets all images. It is the same for all methods of the task, as they share their splits. In a
suite with several trainings, all fits that test a whole database predict the same pool, whatever
their training data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.model.mixtures import learnt_from
from bench.model.records import Selection
from bench.model.titles import task_title
from bench.protocol import Protocol
from bench.store import Store, read_parquet
from bench.util.errors import StoreError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """The cells of one protocol that predict the same images, over all repeats."""

    protocol: Protocol
    test: str
    """Database of the images."""
    trainings: tuple[str, ...]
    """What the methods learnt from, each once (`Task.train`)."""
    budget: str
    """Of each training (`Task.budget`)."""
    selection: Selection
    runs: pd.DataFrame
    """Their rows of the table of runs, in its order."""

    @property
    def train(self) -> str:
        """What the methods learnt from; '' for nothing, and for different sets."""
        return self.trainings[0] if len(self.trainings) == 1 else ""

    @property
    def own(self) -> bool:
        """Whether the images are the test side of a database that is learnt from."""
        return learnt_from(self.train, self.test)

    @property
    def name(self) -> str:
        """Test database, with what was learnt from where that is another."""
        if len(self.trainings) > 1:
            return f"all of {self.test}"
        return task_title(self.train, self.test)

    @property
    def title(self) -> str:
        """The options that select it, as messages write them."""
        options = [f"--protocol {self.protocol.name}", f"--dataset {self.test}"]
        if self.trainings[0] not in ("", self.test):
            options.append(f"--train {self.trainings[0]}")
        return " ".join([*options, f"--budget {self.budget}", f"--selection {self.selection}"])

    @property
    def methods(self) -> dict[str, str]:
        """Label -> name of each method, in the table's order."""
        return dict(zip(self.runs["label"], self.runs["method"], strict=True))

    @property
    def labels(self) -> list[str]:
        """Labels of its methods."""
        return list(self.methods)

    @property
    def repeats(self) -> int:
        """How many repeats the protocol has."""
        return int(self.runs["repeat"].max()) + 1

    def best_repeat(self) -> tuple[int, list[str]]:
        """The first repeat that the most methods have done, and these methods."""
        done = self.runs[self.runs["status"] == "done"]
        counts = Counter(done["repeat"])
        best = max(sorted(counts), key=lambda repeat: counts[repeat], default=0)
        return int(best), done["label"][done["repeat"] == best].tolist()


@dataclass(frozen=True)
class Scores:
    """Predictions of methods on one repeat's pool, in the order of the images' names."""

    pool: Pool
    repeat: int
    images: tuple[str, ...]
    """(n,) names."""
    scores: dict[str, FloatArray]
    """Label of a method -> (n,) scores, higher is better."""
    quality: FloatArray | None
    """(n,) labels, higher is better; None for a dataset without labels."""
    runs: dict[str, Mapping[str, Any]]
    """Label of a method -> its row of the table of runs."""


def pools(runs: pd.DataFrame, protocols: Sequence[Protocol]) -> list[Pool]:
    """Every pool of a table of runs (`bench.store.table`), protocol by protocol."""
    return [
        Pool(
            protocol,
            test=str(part["test"].iloc[0]),
            trainings=tuple(map(str, part["train"].unique())),
            budget=str(part["budget"].iloc[0]),
            selection=part["selection"].iloc[0],
            runs=part,
        )
        for protocol in protocols
        for part in _parts(runs[runs["protocol"] == protocol.name], protocol)
    ]


def _parts(runs: pd.DataFrame, protocol: Protocol) -> Iterator[pd.DataFrame]:
    """The runs of one protocol by the images that they predict."""
    pairs = zip(runs["train"], runs["test"], strict=True)
    # Fits of a suite that have not seen a database are all tested on the whole of it.
    pooled = [
        "" if protocol.trainings and not learnt_from(train, test) else train
        for train, test in pairs
    ]
    for _, part in runs.groupby([pooled, "test", "budget", "selection"], sort=False):
        yield part


def choose(found: Sequence[Pool], **wanted: str | None) -> Pool:
    """The one pool with the `wanted` values of columns of the table of runs; None: any value.

    Raises `UsageError` if no pool or several match, with the options that select each.
    """
    fitting = [
        pool
        for pool in found
        if all(value is None or value in set(pool.runs[name]) for name, value in wanted.items())
    ]
    if len(fitting) == 1:
        return fitting[0]
    problem = "several pools fit; choose one" if fitting else "no such pool of images; there are"
    listed = "\n".join(f"  {pool.title}" for pool in fitting or found)
    raise UsageError(f"{problem}:\n{listed}")


def names(pool: Pool, asked: Sequence[str], option: str) -> list[str]:
    """Labels of the methods that `asked` names by label or method name; all for an empty list.

    Raises `UsageError` for a method without a cell in this pool, and names those that have one.
    """
    known = pool.methods.items()
    for name in asked:
        if any(name in names for names in known):
            continue
        near = nearest(name, pool.labels)
        hint = f"Did you mean '{near}'? " if near else ""
        raise UsageError(
            f"{option} {name}: no predictions of this method on {pool.name}. {hint}There are "
            f"{', '.join(pool.labels)}; to add it: {command(pool, name)}"
        )
    wanted = list(dict.fromkeys(asked)) or pool.labels
    return [label for name in wanted for label, method in known if name in (label, method)]


def command(pool: Pool, method: str) -> str:
    """The command that computes a method's predictions on a pool."""
    if pool.protocol.test:  # --datasets would make other trainings of a suite
        return f"bench run {pool.protocol.name} --methods {method}"
    datasets = pool.test if pool.train == pool.test else f"{pool.train}:{pool.test}"
    return f"bench run {pool.protocol.name} --datasets {datasets} --methods {method}"


def read(store: Store, pool: Pool, labels: Sequence[str], repeat: int = 0) -> Scores:
    """The stored predictions of some methods on one repeat's pool.

    Raises `UsageError` for a repeat that the protocol does not have, and `StoreError` where a run
    is missing or failed, predictions cannot be read, or methods have different images.
    """
    if not 0 <= repeat < pool.repeats:
        raise UsageError(
            f"--repeat {repeat}: {pool.protocol.name} has repeats 0 to {pool.repeats - 1}"
        )
    rows = {label: _done(pool, label, repeat) for label in labels}
    tables = {label: _predictions(store, row) for label, row in rows.items()}
    images = {label: tuple(table["image"].astype(str)) for label, table in tables.items()}
    first = labels[0]
    for label in labels[1:]:
        if images[label] != images[first]:
            raise StoreError(
                f"{label} and {first} predicted different images in repeat {repeat} of "
                f"{pool.name}; run them again on one version of the data"
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
        runs=rows,
    )


def _done(pool: Pool, label: str, repeat: int) -> Mapping[str, Any]:
    """The run of a method on one repeat. Raises `StoreError` where it is not done."""
    rows = pool.runs[pool.runs["label"] == label].set_index("repeat", drop=False)
    status = rows["status"].get(repeat, "missing")
    if status == "done":
        return {str(name): value for name, value in rows.loc[repeat].items()}
    done = [str(other) for other in rows.index[rows["status"] == "done"]]
    state = f"failed ({rows['error'][repeat]})" if status == "failed" else "has not run"
    there = f"repeats {', '.join(done)} are done; --repeat takes one" if done else "no repeat is"
    raise StoreError(
        f"{label} on {pool.name}: repeat {repeat} {state}; {there}. "
        f"To compute it: {command(pool, label)} --retry-failed"
    )


def _predictions(store: Store, run: Mapping[str, Any]) -> pd.DataFrame:
    table = read_parquet((store.root / run["record"]).with_suffix(".parquet"))
    missing = {"image", "quality", "prediction"} - set(table.columns)
    if missing:
        raise StoreError(f"predictions of {run['run_id']} have no column {sorted(missing)[0]}")
    return table.sort_values("image", kind="stable")
