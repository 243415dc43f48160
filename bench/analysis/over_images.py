"""Methods compared over images: on each task, and over the test sets of a protocol together.

Where `bench.analysis.compare` asks how scores vary from split to split, this asks how far a
difference may lie from the truth for new images. Splits of one database are drawn together, images
of one content too (`bench.stats.bootstrap`); trained methods are taken as given.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from bench.analysis.stored_predictions import NoSides, StoredPredictions
from bench.model.titles import task_title
from bench.stats import (
    BootstrapInterval,
    Replicates,
    holm,
    replicates_of_methods,
    same_images,
    suite_difference,
)
from bench.stats.resampled import RESAMPLED
from bench.store.table import SPLIT

if TYPE_CHECKING:
    import pandas as pd

GROUP = ["protocol", "budget", "selection"]
Splits = Mapping[tuple[Hashable, ...], str]
"""Split -> record of a method's run on it."""


@dataclass(frozen=True)
class Pair:
    """Two methods on one task or over several; differences are `first` minus `second`."""

    first: str
    second: str
    over_images: BootstrapInterval
    holm: float
    """p-value after Holm over the pairs of the same table; NaN without an interval."""
    over_sets: BootstrapInterval | None = None
    """For other test sets of the kind; None on one task."""


@dataclass(frozen=True)
class SuiteComparison:
    """All pairs of methods on one task, or over the tasks of a group."""

    protocol: str
    budget: str
    selection: str
    tasks: tuple[str, ...]
    """What they were tested on: one title, or those of a suite."""
    pairs: tuple[Pair, ...]
    left_out: dict[str, str]
    """Method, or task of a suite -> why it is left out."""


def compare(
    runs: pd.DataFrame,
    images: StoredPredictions,
    metric: str = "srcc",
    methods: Sequence[str] = (),
    reference: str | None = None,
) -> list[SuiteComparison]:
    """Every task's methods over images, then every suite's: groups with several tasks.

    `runs`, `methods` and `reference` as in `bench.analysis.compare.within`. Methods with missing
    runs are left out and named, and so are tasks whose images are not known. A metric without
    intervals over images gives nothing.
    """
    if metric not in RESAMPLED or metric not in runs:  # without a record there is no such column
        return []
    wanted = {*methods, *([reference] if reference and methods else [])}
    chosen = runs[runs["label"].isin(list(wanted))] if wanted else runs
    found: list[SuiteComparison] = []
    for key, part in chosen.groupby(GROUP, sort=False):
        protocol, budget, selection = map(str, key)
        names = (protocol, budget, selection)
        found += _group(part, names, images, metric, reference)
    return found


def _group(
    part: pd.DataFrame,
    key: tuple[str, str, str],
    images: StoredPredictions,
    metric: str,
    reference: str | None,
) -> Iterator[SuiteComparison]:
    """A group's tasks one by one, then together."""
    drawn: dict[str, dict[str, Replicates]] = {}
    lost: dict[str, str] = {}
    for seed, ((train, test), cells) in enumerate(part.groupby(["train", "test"], sort=False)):
        title = task_title(str(train), str(test))
        left_out: dict[str, str] = {}
        try:
            found = _task(cells, str(test), key[-1], images, metric, seed, left_out)
        except NoSides as reason:
            lost[title] = str(reason)
            continue
        pairs = _pairs([found], reference)
        if not pairs:
            lost[title] = "fewer than two complete methods to compare"
            continue
        drawn[title] = found
        yield SuiteComparison(*key, (title,), pairs, left_out)
    together = [set(one) for one in drawn.values()]
    common = [
        label
        for label in dict.fromkeys(part["label"])
        if together and all(str(label) in one for one in together)
    ]
    if len(drawn) > 1 and len(common) > 1:
        shared = [{label: one[label] for label in map(str, common)} for one in drawn.values()]
        pairs = _pairs(shared, reference)
        left = {
            str(label): "not complete on every set"
            for label in part["label"].unique()
            if label not in common
        }
        if pairs:
            yield SuiteComparison(*key, tuple(drawn), pairs, {**left, **lost})
    elif lost:
        yield SuiteComparison(*key, tuple(lost), (), lost)


def _task(
    cells: pd.DataFrame,
    test: str,
    selection: str,
    images: StoredPredictions,
    metric: str,
    seed: int,
    left_out: dict[str, str],
) -> dict[str, Replicates]:
    """Method -> its statistic in every resample, over the splits that all complete methods share.

    Raises `NoSides`.
    """
    there: dict[str, Splits] = {}
    for label, cell in cells.groupby("label", sort=False):
        done = cell[(cell["status"] == "done") & cell[metric].notna()]
        if len(done) < len(cell):
            left_out[str(label)] = f"{len(done)} of {len(cell)} runs have a value"
            continue
        keys = done[list(SPLIT)].itertuples(index=False, name=None)
        there[str(label)] = dict(zip(keys, done["record"], strict=True))
    if len(there) < 2:
        return {}
    first, *others = there.values()
    shared = [split for split in first if all(split in other for other in others)]
    if not shared:
        raise NoSides("the methods share no split")
    sides = {
        label: images.sides(test, [records[split] for split in shared], selection)
        for label, records in there.items()
    }
    of_first = next(iter(sides.values()))
    # A method may leave images without a score; then the draws are not of the same images.
    if not all(same_images(of_first, other) for other in sides.values()):
        raise NoSides("the methods have scores of different images")
    drawn = replicates_of_methods(list(sides.values()), metric, seed=seed, middle="mean")
    return dict(zip(sides, drawn, strict=True))


def _pairs(drawn: Sequence[Mapping[str, Replicates]], reference: str | None) -> tuple[Pair, ...]:
    names = list(drawn[0])
    if reference is None:
        wanted = list(combinations(names, 2))
    else:
        wanted = [(reference, name) for name in names if name != reference and reference in names]
    found: list[tuple[str, str, BootstrapInterval, BootstrapInterval | None]] = []
    for first, second in wanted:
        differences = [one[first].minus(one[second]) for one in drawn]
        if len(differences) == 1:
            found.append((first, second, differences[0].interval(), None))
        else:
            suite = suite_difference(differences)
            found.append((first, second, suite.over_images, suite.over_sets))
    adjusted = holm([item[2].p_value for item in found])
    return tuple(
        Pair(first, second, over_images, float(p), over_sets)
        for (first, second, over_images, over_sets), p in zip(found, adjusted, strict=True)
    )


def at_least(pair: Pair, higher_is_better: bool) -> str:
    """Which method is better, and by how much at least, in words.

    >>> nan = float("nan")
    >>> over = BootstrapInterval(0.02, 0.004, 0.04, 0.01, 0.95, 1000, 0, 300)
    >>> at_least(Pair("a", "b", over, 0.01), True)
    'a is better than b by at least 0.004 (95 % over images; mean 0.020)'
    """
    over = pair.over_images
    if over.reason:
        return f"{pair.first} and {pair.second}: no interval over images: {over.reason}"
    sign = 1 if higher_is_better else -1
    if over.low <= 0 <= over.high:
        better, worse = (
            (pair.first, pair.second)
            if sign * over.estimate >= 0
            else (
                pair.second,
                pair.first,
            )
        )
        return (
            f"{better} is not shown to be better than {worse}: a gain of "
            f"{abs(over.estimate):.3f} is below what these images can show "
            f"([{over.low:+.3f}, {over.high:+.3f}])"
        )
    positive = sign * over.low > 0
    better, worse = (pair.first, pair.second) if positive else (pair.second, pair.first)
    least = min(abs(over.low), abs(over.high))
    return (
        f"{better} is better than {worse} by at least {least:.3f} (95 % over images; mean "
        f"{abs(over.estimate):.3f})"
    )


def table(comparisons: Sequence[SuiteComparison]) -> list[dict[str, Any]]:
    """Every comparison as a row, for CSV."""
    return [
        {
            "protocol": item.protocol,
            "budget": item.budget,
            "selection": item.selection,
            "interval": "images",
            "tested_on": " | ".join(item.tasks),
            "first": pair.first,
            "second": pair.second,
            "mean_difference": pair.over_images.estimate,
            "low": pair.over_images.low,
            "high": pair.over_images.high,
            "p": pair.over_images.p_value,
            "p_holm": pair.holm,
            "clusters": pair.over_images.clusters,
            "low_over_sets": pair.over_sets.low if pair.over_sets else None,
            "high_over_sets": pair.over_sets.high if pair.over_sets else None,
            "note": pair.over_images.reason,
        }
        for item in comparisons
        for pair in item.pairs
    ]


def gains_of_best(
    runs: pd.DataFrame, medians: pd.DataFrame, images: StoredPredictions, metric: str, higher: bool
) -> list[str]:
    """For each task whose best method is not shown to be better than the next: that, in words.

    `runs` are those of one protocol, `medians` its summary cut to one metric.
    """
    lines: list[str] = []
    if metric not in RESAMPLED:
        return lines
    keys = ["train", "test", "labels", "selection"]
    complete = medians[medians["complete"] & (medians["protocol"].isin(runs["protocol"].unique()))]
    for (train, test, budget, selection), cells in complete.groupby(keys, sort=False):
        best = cells.sort_values("median", ascending=not higher)["label"].tolist()[:2]
        part = runs[
            (runs["train"] == train)
            & (runs["test"] == test)
            & (runs["budget"] == budget)
            & (runs["selection"] == selection)
            & runs["label"].isin(best)
        ]
        try:
            drawn = _task(part, str(test), str(selection), images, metric, 0, {})
        except NoSides:
            continue
        if len(drawn) == 2:
            over = drawn[best[0]].minus(drawn[best[1]]).interval()
            lines += _below(over, f"{task_title(str(train), str(test))}, {budget}", best)
    return lines


def _below(over: BootstrapInterval, where: str, best: Sequence[str]) -> list[str]:
    if over.reason or not over.low <= 0 <= over.high:
        return []
    return [
        f"{where}: a gain of {abs(over.estimate):.3f} ({best[0]} over {best[1]}) here is below "
        f"what this database can show (95 % over images [{over.low:+.3f}, {over.high:+.3f}])"
    ]
