"""Intervals over images beside a summary: how far may a cell's median lie from the truth?

One resample weighs every cluster of images once, scores all splits of the cell with those weights
and takes the median over them, as the table does (`bench.stats.bootstrap`); for a mean over test
sets, the median of the splits' means. Reading predictions and
resampling takes about as long as the rest of a report, so results are kept in the user's cache,
under a hash of their inputs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.analysis import means
from bench.analysis.stored_predictions import NoSides, StoredPredictions
from bench.data.datasets import cache_folder
from bench.model.identity import digest
from bench.protocol import Protocol
from bench.stats import BootstrapInterval, Side, image_intervals, mean_interval, same_images
from bench.stats.resampled import RESAMPLED
from bench.util.atomic import write_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("image_low", "image_high", "image_clusters", "image_note")
RESAMPLES = 1000
AT_ONCE = 64
"""Cells of one test set whose predictions are in memory at once."""
VERSION = 3
"""Raised when the same predictions would give another interval."""
_KEY = ["protocol", "label", "train", "test", "labels", "selection"]
_METRIC = "no interval over images is computed for this metric"


@dataclass(frozen=True)
class ImageInterval:
    """The interval of one cell under one metric, or why there is none."""

    low: float
    high: float
    clusters: int
    """Images or groups of images that were drawn; 0 without an interval."""
    note: str

    @property
    def columns(self) -> dict[str, Any]:
        """As `COLUMNS` of a summary."""
        clusters = self.clusters if self.clusters else math.nan
        return dict(zip(COLUMNS, (self.low, self.high, clusters, self.note), strict=True))


def beside(
    summary: pd.DataFrame,
    runs: pd.DataFrame,
    images: StoredPredictions,
    protocols: Sequence[Protocol] = (),
) -> pd.DataFrame:
    """The summary with its columns `COLUMNS` filled in.

    `runs` is the table of runs that it was made of, `protocols` say what means are over. Cells
    without an interval get NaN and a note.
    """
    done = runs[runs["status"] == "done"].rename(columns={"budget": "labels", "labels": "count"})
    cells = {
        tuple(map(str, key)): part.sort_values("repeat", kind="stable")["record"].tolist()
        for key, part in done.groupby(_KEY, sort=False)
    }
    named = {one.name: one for one in protocols}
    asked: list[tuple[CellRuns | None, list[str]]] = []
    index = []
    for key, rows in summary.groupby(_KEY, sort=False):
        asked.append((_cell(tuple(map(str, key)), cells, named), rows["metric"].tolist()))
        index += rows.index.tolist()
    got = iter(of_cells(images, [(cell, metrics) for cell, metrics in asked if cell is not None]))
    found: list[dict[str, Any]] = []
    for cell, metrics in asked:
        own = dict.fromkeys(metrics, _none("")) if cell is None else next(got)
        found += [own[metric].columns for metric in metrics]
    import pandas as pd

    filled = pd.DataFrame(found, index=index, columns=list(COLUMNS)).reindex(summary.index)
    return summary.assign(**{name: filled[name] for name in COLUMNS})


@dataclass(frozen=True)
class CellRuns:
    """The runs behind a row of a summary."""

    parts: Mapping[str, Sequence[str]]
    """Test set -> records, split by split; several for a mean over test sets."""
    selection: str
    by_images: bool = False
    """Whether a mean weighs its sets by their images."""


def _cell(
    key: tuple[str, ...], cells: Mapping[tuple[str, ...], list[str]], named: Mapping[str, Protocol]
) -> CellRuns | None:
    """The done runs of a row; None where there are none."""
    protocol, label, train, test, labels, selection = key
    if key in cells:
        return CellRuns({test: cells[key]}, selection)
    tests, by_images = (
        means.averaged(test, named[protocol], train) if protocol in named else ([], False)
    )
    parts = {one: cells.get((protocol, label, train, one, labels, selection), []) for one in tests}
    return CellRuns(parts, selection, by_images) if parts and all(parts.values()) else None


def of_cells(
    images: StoredPredictions, asked: Sequence[tuple[CellRuns, Sequence[str]]]
) -> list[dict[str, ImageInterval]]:
    """The interval of each metric over all runs of each cell, from the cache where they are there.

    Cells that were tested on the same images are drawn together.
    """
    found = [{metric: _none(_METRIC) for metric in metrics} for _, metrics in asked]
    waiting: dict[tuple[tuple[str, ...], tuple[str, ...]], list[_Wanted]] = {}
    for row, (cell, metrics) in zip(found, asked, strict=True):
        usual = tuple(metric for metric in metrics if metric in RESAMPLED)
        if not usual:
            continue
        path = cache_folder() / "intervals" / f"{_name(images, cell, usual)}.json"
        kept = _read(path)
        if kept is None:
            waiting.setdefault((tuple(cell.parts), usual), []).append(_Wanted(cell, path, row))
        else:
            row.update(kept)
    for (tests, metrics), wanted in waiting.items():
        compute = _together if len(tests) == 1 else _means
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            for one, made in zip(some, compute(images, some, metrics), strict=True):
                kept_text = json.dumps(
                    {name: list(vars(own).values()) for name, own in made.items()}
                )
                write_text(one.path, kept_text)
                one.row.update(made)
    return found


@dataclass(frozen=True)
class _Wanted:
    """A cell whose intervals are not in the cache, their file, and the place of the result."""

    cell: CellRuns
    path: Path
    row: dict[str, ImageInterval]


def _together(
    images: StoredPredictions, wanted: Sequence[_Wanted], metrics: Sequence[str]
) -> list[dict[str, ImageInterval]]:
    """Of cells on one test set."""
    found: list[dict[str, ImageInterval]] = [{} for _ in wanted]
    alike: list[list[tuple[int, list[Side]]]] = []
    """Cells on the same images, each with its place and sides."""
    for place, one in enumerate(wanted):
        ((test, records),) = one.cell.parts.items()
        try:
            sides = images.sides(test, records, one.cell.selection)
        except NoSides as reason:
            found[place] = {metric: _none(str(reason)) for metric in metrics}
            continue
        group = next((group for group in alike if same_images(group[0][1], sides)), None)
        if group is None:
            alike.append([(place, sides)])
        else:
            group.append((place, sides))
    for group in alike:
        for metric in metrics:
            made = image_intervals([sides for _, sides in group], metric, resamples=RESAMPLES)
            for (place, _), result in zip(group, made, strict=True):
                found[place][metric] = _told(result)
    return found


def _means(
    images: StoredPredictions, wanted: Sequence[_Wanted], metrics: Sequence[str]
) -> list[dict[str, ImageInterval]]:
    """Of means over several test sets."""
    return [_mean(images, one.cell, metrics) for one in wanted]


def _mean(
    images: StoredPredictions, cell: CellRuns, metrics: Sequence[str]
) -> dict[str, ImageInterval]:
    try:
        sets = [images.sides(test, records, cell.selection) for test, records in cell.parts.items()]
    except NoSides as reason:
        return {metric: _none(str(reason)) for metric in metrics}
    return {
        metric: _told(mean_interval(sets, metric, by_images=cell.by_images, resamples=RESAMPLES))
        for metric in metrics
    }


def _told(result: BootstrapInterval) -> ImageInterval:
    clusters = 0 if result.reason else result.clusters
    return ImageInterval(result.low, result.high, clusters, result.reason)


def _none(note: str) -> ImageInterval:
    return ImageInterval(math.nan, math.nan, 0, note)


def _name(images: StoredPredictions, cell: CellRuns, metrics: Sequence[str]) -> str:
    """The inputs of the intervals: predictions, groups of images, metrics and method."""
    parts = []
    for test, records in cell.parts.items():
        groups = images.at_hand.groups(test)
        known = groups if isinstance(groups, str) else digest(groups)
        states = []
        for record, file in zip(records, images.files(records), strict=True):
            state = file.stat() if file.exists() else None
            states.append([record, state.st_size, state.st_mtime_ns] if state else [record])
        parts.append([test, known, states])
    root = str(images.store.root)
    how = [VERSION, RESAMPLES, cell.selection, cell.by_images, list(metrics)]
    return digest([how, root, parts])


def _read(path: Path) -> dict[str, ImageInterval] | None:
    try:
        kept: Mapping[str, list[Any]] = json.loads(path.read_text(encoding="utf-8"))
        return {name: ImageInterval(*values) for name, values in kept.items()}
    except (OSError, ValueError, TypeError):
        return None
