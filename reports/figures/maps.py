"""Figures of t-SNE: test images by their features, coloured by what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from bench.analysis.embedding import RULE, Embedded, embedded, noise_counts, semantic_noise
from bench.analysis.grid import span
from bench.analysis.results import CellResult
from bench.model.records import Record
from bench.reports.drawing import (
    class_handles,
    draw_classes,
    draw_intervals,
    draw_marked,
    marked_handles,
)
from bench.reports.figures.sheet import (
    FigureData,
    LeftOut,
    Panel,
    Sheet,
    cell_title,
    quality_title,
    together,
)
from bench.stats.median import median_interval
from bench.store import artifacts
from bench.util.errors import StoreError

INTERVALS = 8
"""Equal parts of the score range, each with a colour."""
SIZE = (2.9, 2.4)
UNKNOWN = "unknown"
NO_FEATURES = "no run kept features; a protocol asks for them with keep: [embeddings]"


def by_score(data: FigureData) -> Sheet:
    """Coloured by interval of the score (MP-IQE, Fig. 4), a panel a row and task."""
    found = _embedded(data)
    panels = []
    for cell, item in found:
        # One scale for all rows of a task.
        same = [other for rival, other in found if rival.entry.task == cell.entry.task]
        quality = np.concatenate([other.images["quality"] for other in same])
        bounds = np.linspace(quality.min(), quality.max(), INTERVALS + 1)
        if not np.isfinite(bounds).all() or bounds[0] == bounds[-1]:
            continue
        draw = partial(
            draw_intervals,
            points=item.points,
            values=item.images["quality"].to_numpy(),
            bounds=bounds,
            title=quality_title(cell.entry.task.test),
        )
        panels.append(Panel(cell_title(cell), draw))
    if not panels:
        raise LeftOut("the test images have no labels, or one for all")
    caption = "t-SNE of the features of the test images after the last epoch, one split."
    return Sheet(data.cut(panels, "t-SNE"), caption=caption, panel_size=SIZE)


def by_scene(data: FigureData) -> Sheet:
    """Coloured by scene category, the first where an image has several."""
    found = [(cell, item, _scenes(item)) for cell, item in _embedded(data)]
    known = [(cell, item, scenes) for cell, item, scenes in found if set(scenes) != {UNKNOWN}]
    if not known:
        raise LeftOut(
            "no scene of a test image is known; datasets whose tables have scenes, and "
            "keep: [embeddings, per_image], give one"
        )
    names = sorted({scene for _, _, scenes in known for scene in scenes} - {UNKNOWN})
    draws = [
        Panel(
            cell_title(cell), partial(draw_classes, points=item.points, classes=scenes, names=names)
        )
        for cell, item, scenes in known
    ]
    unknown = UNKNOWN if any(UNKNOWN in scenes for _, _, scenes in known) else ""
    caption = "t-SNE of the features of the test images after the last epoch, one split."
    legend = class_handles(names, unknown)
    return Sheet(data.cut(draws, "t-SNE by scene"), legend, caption, panel_size=SIZE)


def noise(data: FigureData) -> Sheet:
    """With images marked that are sure of their semantics and wrong in quality (GRMP-IQA, Fig. 1).

    Below each panel their number, there and as the median over all splits.
    """
    found = [(cell, item) for cell, item in _embedded(data) if "semantic_confidence" in item.images]
    if not found:
        raise LeftOut(
            "no run kept its method's semantic confidence; keep: [embeddings, per_image] stores "
            "it where the method has one (grmp)"
        )
    panels = []
    for cell, item in found:
        marked = semantic_noise(item.images)
        counts = [one for one in noise_counts(data.results, cell) if one is not None]
        text = f"{marked.sum()} of {len(marked)} marked"
        if len(counts) > 1:
            over = median_interval(counts)
            between = span(f"{over.low:g}", f"{over.high:g}", over.n)
            text += f"\nover {over.n} splits {over.median:g} {between}"
        draw = partial(draw_marked, points=item.points, marked=marked, text=text)
        panels.append(Panel(cell_title(cell), draw))
    caption = f"t-SNE of the features of the test images after the last epoch. Black: {RULE}."
    return Sheet(data.cut(panels, "semantic noise"), marked_handles(), caption, panel_size=SIZE)


def _embedded(data: FigureData) -> list[tuple[CellResult, Embedded]]:
    """A run's features in the plane for every cell that has some, on the same images in a task."""
    chosen: list[tuple[CellResult, Record]] = []
    for task in data.tasks():
        cells = [cell for cell in data.cells if cell.entry.task == task]
        chosen += together(cells, lambda run: _kept(data, run, artifacts.EMBEDDINGS))
    if not chosen:
        raise LeftOut(NO_FEATURES)
    found = []
    for cell, run in chosen:
        try:
            found.append((cell, embedded(data.results, run)))
        except StoreError as error:
            note = f"{cell.entry.label} on {cell.entry.task.title}: no t-SNE: {error}"
            if note not in data.notes:
                data.notes.append(note)
    if not found:
        raise LeftOut("none of the stored features can be drawn")
    return found


def _kept(data: FigureData, run: Record, kind: str) -> bool:
    return artifacts.path(data.results.store, run.spec, kind).exists()


def _scenes(item: Embedded) -> Sequence[str]:
    if "scene" not in item.images:
        return [UNKNOWN] * len(item.images)
    return [text.partition("|")[0] or UNKNOWN for text in item.images["scene"]]
