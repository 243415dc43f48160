"""Figures of where scores come from: stored maps over their images (MP-IQE, Fig. 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.analysis.embedding import images_of
from bench.analysis.results import CellResult
from bench.metrics import fit_logistic4, logistic4
from bench.model.records import Record, Task
from bench.model.titles import budget_title
from bench.reports.drawing import draw_image, draw_overlay
from bench.reports.figures.sheet import FigureData, LeftOut, Panel, Sheet, quality_title, together
from bench.reports.pictures import Album, Pixels
from bench.store import artifacts
from bench.util.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bench.data.data_cache import DataCache

SIZE = 320
"""Pixels of an image's longer side in the figure."""
MOST_TASKS = 3
PANEL = (1.45, 1.5)


def attention(data: FigureData) -> Sheet:
    """For each task a row of images, worst first, and below it a row of maps for each method."""
    chosen = _chosen(data)
    if not chosen:
        raise LeftOut("no run kept attention maps; a protocol asks for them with keep: [attention]")
    panels: list[Panel | None] = []
    reasons = []
    tasks = list(chosen)
    for task in tasks[:MOST_TASKS]:
        try:
            panels += _block(data, task, chosen[task])
        except BenchError as error:
            reasons.append(f"{task.title}: {str(error).splitlines()[0]}")
    if not panels:
        raise LeftOut("; ".join(reasons))
    data.notes.extend(f"{data.protocol.name}: no attention maps on {text}" for text in reasons)
    if len(tasks) > MOST_TASKS:
        data.notes.append(
            f"{data.protocol.name}: attention maps of the first {MOST_TASKS} of {len(tasks)} tasks"
        )
    caption = (
        "Maps as the runs stored them, each scaled to its own maximum: light is where the score "
        "comes from. Predictions are mapped to the labels' scale by the logistic fitted to all "
        "test images, where there is a fit."
    )
    return Sheet(panels, caption=caption, across=artifacts.SHOWN, panel_size=PANEL)


def _chosen(data: FigureData) -> dict[Task, list[tuple[CellResult, Record]]]:
    """Runs with maps by task, all of a task's on one split."""
    store = data.results.store

    def has(run: Record) -> bool:
        return artifacts.path(store, run.spec, artifacts.ATTENTION).exists()

    found = {}
    for task in data.tasks():
        runs = together((cell for cell in data.cells if cell.entry.task == task), has)
        # The images are the same on one split only.
        shown = [pair for pair in runs if pair[1].spec.split_digest == runs[0][1].spec.split_digest]
        others = [cell.entry.label for cell, run in runs if (cell, run) not in shown]
        data.notes.extend(
            f"{label} on {task.title}: no attention maps: its runs share no split with those shown"
            for label in others
        )
        if shown:
            found[task] = shown
    return found


def _block(
    data: FigureData, task: Task, runs: list[tuple[CellResult, Record]]
) -> list[Panel | None]:
    first = runs[0][1]
    shown = _maps(data, first).rows
    images = images_of(data.results, first).iloc[shown]
    pixels = read_images(data.data_cache, first, list(images["image"]))
    labels = [f"{quality_title(task.test)} {value:.3g}" for value in images["quality"]]
    panels = _row(
        partial(draw_image, image=image, text=text, side=side)
        for image, text, side in zip(
            pixels, labels, _side(f"{task.title}\n{budget_title(task.budget)}", shown), strict=True
        )
    )
    for cell, run in runs:
        found = _maps(data, run)
        texts = predicted(images_of(data.results, run))[found.rows]
        sides = _side(cell.entry.label, shown)
        panels += _row(
            partial(draw_overlay, image=image, heat=heat, text=f"predicted {value:.3g}", side=side)
            for image, heat, value, side in zip(pixels, found.maps, texts, sides, strict=True)
        )
    return panels


def _side(title: str, shown: npt.NDArray[Any]) -> list[str]:
    """The first image of a row says what the row is."""
    return [title, *[""] * (len(shown) - 1)]


def _row(draws: Iterable[Callable[[Axes], None]]) -> list[Panel | None]:
    panels: list[Panel | None] = [Panel("", draw) for draw in draws]
    return panels + [None] * (artifacts.SHOWN - len(panels))


def _maps(data: FigureData, run: Record) -> artifacts.AttentionMaps:
    found = artifacts.attention(data.results.store, run.spec)
    assert found is not None
    return found


def predicted(images: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Predictions (n,) on the scale of the quality labels, by the four-parameter logistic fitted
    to all test images; as they are where there is no fit."""
    prediction = images["prediction"].to_numpy(dtype=np.float64)
    quality = images["quality"].to_numpy(dtype=np.float64)
    fit = fit_logistic4(prediction, quality)
    return logistic4(prediction, *fit.params) if fit.converged else prediction


def read_images(data_cache: DataCache | None, run: Record, names: list[str]) -> list[Pixels]:
    """Test images of a run by name, (H, W, 3) with at most `SIZE` pixels on the longer side.

    Raises `BenchError` where the dataset is not on this machine, differs from the run's, or lacks
    a file.
    """
    spec = run.spec.task.test
    album = Album.of(spec, data_cache.data_roots if data_cache else [])
    if data_cache is None or album.tree is None:
        raise BenchError(album.reason)
    digest = data_cache.dataset(spec).digest
    if run.digests.get("test", digest) != digest:
        raise BenchError(f"{spec} on this machine is not the one that the runs have seen")
    lost = album.lost(names)
    if lost:
        raise BenchError(lost)
    return [album.pixels(name, SIZE) for name in names]
