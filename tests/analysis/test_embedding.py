"""Figures and tables of stored features: t-SNE by score and scene, and semantic noise."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.analysis.embedding import embedded, images_of, semantic_noise
from bench.analysis.results import load
from bench.model.records import Record
from bench.reports.figures import maps
from bench.reports.figures.sheet import together
from bench.reports.render import render
from bench.reports.terminal import leaderboard
from bench.stats.median import median_interval
from bench.store import artifacts, write_parquet
from tests.fake_results import FakeResults, maker, task
from tests.reports.test_figure_data import REPEATS, axes_of, legend_of, view


def keep_features(made: FakeResults, runs: Sequence[Record], **columns: Any) -> None:
    """Features that follow quality, and what is known of the images."""
    for run in runs:
        predictions = made.store.predictions(run.spec)
        rng = np.random.default_rng(run.spec.repeat)
        quality = predictions["quality"].to_numpy()[:, None]
        features = np.hstack([quality, quality**2]) + rng.normal(0, 0.05, (80, 2))
        with artifacts.path(made.store, run.spec, artifacts.EMBEDDINGS).open("wb") as file:
            np.save(file, features.astype(np.float32))
        known = predictions[["image"]].assign(**columns)
        write_parquet(known, artifacts.path(made.store, run.spec, artifacts.PER_IMAGE))


def test_features_by_score_interval(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for label in ("a", "b"):
        keep_features(made, made.cell(label, task(), REPEATS))
    seen = view(made.save())
    sheet = maps.by_score(seen)
    first, second = axes_of(sheet)
    for axes, cell in ((first, seen.cells[0]), (second, seen.cells[1])):
        run = cell.done[0]
        drawn = axes.collections[0]
        quality = made.store.predictions(run.spec)["quality"]
        assert np.array_equal(np.asarray(drawn.get_offsets()), embedded(seen.results, run).points)
        assert np.array_equal(np.asarray(drawn.get_array()), quality.to_numpy())
        bounds = drawn.norm.boundaries  # type: ignore[attr-defined]
        assert bounds == pytest.approx(np.linspace(quality.min(), quality.max(), 9))
        # Neighbours in the plane have similar scores, or the picture shows nothing.
        places = np.asarray(drawn.get_offsets())
        apart = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(80) * 1e9
        nearest = quality.to_numpy()[apart.argmin(axis=1)]
        assert np.corrcoef(nearest, quality)[0, 1] > 0.9


def test_features_give_the_same_picture_twice(tmp_path: Path) -> None:
    made = maker(tmp_path)
    runs = made.cell("a", task(), REPEATS[:1])
    keep_features(made, runs)
    once, again = (embedded(load(made.save()), runs[0]).points for _ in range(2))
    assert np.array_equal(once, again)


def test_features_by_scene(tmp_path: Path) -> None:
    made = maker(tmp_path)
    scenes = ["night|human", "plant", "", "human"] * 20
    keep_features(made, made.cell("a", task(), REPEATS[:1]), scene=scenes)
    keep_features(made, made.cell("no scenes", task(), REPEATS[:1]))
    seen = view(made.save())
    sheet = maps.by_scene(seen)
    (axes,) = axes_of(sheet)
    places = embedded(seen.results, seen.cells[0].done[0]).points
    drawn = {item.get_label(): np.asarray(item.get_offsets()) for item in axes.collections}
    assert legend_of(sheet) == ["human", "night", "plant", "unknown"]
    assert np.array_equal(drawn["night"], places[0::4])
    assert np.array_equal(drawn["plant"], places[1::4])
    assert np.array_equal(np.asarray(axes.collections[0].get_offsets()), places[2::4])


def test_semantic_noise_by_hand() -> None:
    images = pd.DataFrame(
        {
            "quality": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            # Ranks 1, 2, 6, 4, 5, 3, 8, 7: three apart of eight in the third and the sixth.
            "prediction": [0.1, 0.2, 0.6, 0.4, 0.5, 0.3, 0.8, 0.7],
            "semantic_confidence": [0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.9, 0.1],
        }
    )
    assert list(np.flatnonzero(semantic_noise(images))) == [2]  # 0.8 is not above 0.8
    images["semantic_confidence"] = 1.0
    assert list(np.flatnonzero(semantic_noise(images))) == [2, 5]
    images["prediction"] = images["quality"]
    assert not semantic_noise(images).any()


def test_semantic_noise_is_marked_and_counted_over_splits(tmp_path: Path) -> None:
    made = maker(tmp_path)
    runs = made.cell("grmp", task(), REPEATS)
    keep_features(made, runs, semantic_confidence=np.linspace(0, 1, 80))
    seen = view(made.save())
    (axes,) = axes_of(maps.noise(seen))
    counts = []
    for run in runs:
        images = made.store.predictions(run.spec)
        ranks = images[["prediction", "quality"]].rank().to_numpy()
        wrong = np.abs(ranks[:, 0] - ranks[:, 1]) > 20
        counts.append(wrong[np.linspace(0, 1, 80) > 0.8])
    places = embedded(seen.results, runs[0]).points
    rows = np.flatnonzero(np.linspace(0, 1, 80) > 0.8)[counts[0]]
    assert len(rows) > 0
    assert np.array_equal(np.asarray(axes.collections[1].get_offsets()), places[rows])
    over = median_interval([int(each.sum()) for each in counts])
    assert axes.get_xlabel() == (
        f"{len(rows)} of 80 marked\nover 4 splits {over.median:g} {over.low:g} to {over.high:g}"
    )


def test_semantic_noise_stands_in_tables(tmp_path: Path) -> None:
    made = maker(tmp_path, keep=("embeddings", "per_image"), metrics=("srcc", "plcc"))
    sure = made.cell("with QGR", task(), REPEATS)
    keep_features(made, sure, semantic_confidence=np.linspace(0, 1, 80))
    unsure = made.cell("without", task(), REPEATS)
    keep_features(made, unsure[:3], semantic_confidence=0.1)
    made.cell("neither", task(), REPEATS)
    results = load(made.save())
    summary = results.summary
    counts = [
        int(semantic_noise(images_of(results, run)).sum())
        for run in next(cell for cell in results.cells if cell.entry.label == "with QGR").done
    ]
    over = median_interval(counts)
    rows = summary.set_index(["label", "metric"])[["noise", "noise_low", "noise_high", "noise_n"]]
    found = dict(zip(rows.index, rows.to_numpy().tolist(), strict=True))
    for metric in ("srcc", "plcc"):
        assert found["with QGR", metric] == [over.median, over.low, over.high, 4]
        assert found["without", metric] == [0, 0, 0, 3]
        assert found["neither", metric][-1] == 0
    console = Console(width=300, record=True, file=io.StringIO())
    leaderboard(summary, console)
    text = console.export_text()
    line = f"with QGR on livec, 50 labels: {over.median:g} {over.low:g} to {over.high:g} 4/4"
    assert line in text
    assert "without on livec, 50 labels: 0 0 to 0 3/4" in text
    assert "neither on" not in text
    page = (render(made.store, tmp_path / "out").out / "index.html").read_text(encoding="utf-8")
    noise = page.split(">Semantic noise</h2>")[1].split("</table>")[0]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", noise)
    assert cells[2:5] == [f"{over.median:g}", f"{over.low:g} to {over.high:g}", "4/4"]
    assert cells[-3:] == ["0", "0 to 0", "3/4"]


def test_rows_of_a_task_show_the_same_test_images(tmp_path: Path) -> None:
    made = maker(tmp_path)
    first = made.cell("a", task(), ["broken", *REPEATS])
    second = made.cell("b", task(), [*REPEATS, "broken"])
    keep_features(made, first[1:])
    keep_features(made, [*second[:2], second[3]])
    seen = view(made.save())
    has = {run.run_id for run in [*first[1:], *second[:2], second[3]]}
    pairs = together(seen.cells, lambda run: run.run_id in has)
    assert [run.spec.repeat for _, run in pairs] == [1, 1]
    pairs = together(seen.cells, lambda run: run.run_id in (first[2].run_id, second[0].run_id))
    assert [run.spec.repeat for _, run in pairs] == [2, 0]


def test_damaged_features_are_left_out_by_name(tmp_path: Path) -> None:
    made = maker(tmp_path)
    good, bad, same = (made.cell(label, task(), REPEATS[:1])[0] for label in ("a", "b", "c"))
    keep_features(made, [good, bad, same])
    artifacts.path(made.store, bad.spec, artifacts.EMBEDDINGS).write_bytes(b"nothing")
    with artifacts.path(made.store, same.spec, artifacts.EMBEDDINGS).open("wb") as file:
        np.save(file, np.ones((80, 3), np.float32))
    seen = view(made.save())
    assert len(axes_of(maps.by_score(seen))) == 1
    notes = "\n".join(seen.notes)
    assert "b on livec: no t-SNE: features" in notes
    assert "c on livec: no t-SNE" in notes
    assert "the features of all images are the same" in notes


# -- attention ------------------------------------------------------------------------------------
