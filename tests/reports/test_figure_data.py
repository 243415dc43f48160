"""What stands in a figure is what stands in the records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from bench.analysis.results import load
from bench.data.data_cache import DataCache
from bench.metrics import fit_logistic4, logistic4
from bench.model.records import CurvePoint
from bench.reports.drawing import STYLE
from bench.reports.figures import boxes, lines, overlays, points
from bench.reports.figures.sheet import FigureData, LeftOut, Sheet, compose, quality_title
from bench.store import Store, artifacts
from tests.fake_results import FakeResults, maker, task

REPEATS = (0.50, 0.62, 0.57, 0.66)


def view(store: Store, data_cache: DataCache | None = None) -> FigureData:
    results = load(store)
    return FigureData(results, results.protocols[0], results.summary, data_cache)


def axes_of(sheet: Sheet) -> list[Axes]:
    """Axes of the panels; those of colour bars left out."""
    drawn = compose(sheet).axes
    return [axes for axes in drawn if axes.get_label() != "<colorbar>" and axes.get_visible()]


def xy(axes: Axes, number: int = 0) -> tuple[list[float], list[float]]:
    line = axes.get_lines()[number]
    return list(np.asarray(line.get_xdata())), list(np.asarray(line.get_ydata()))


def band(axes: Axes, number: int = 0) -> dict[float, tuple[float, float]]:
    """Lower and upper end of a band by x."""
    corners = axes.collections[number].get_paths()[0].vertices
    return {
        x: (min(corners[corners[:, 0] == x, 1]), max(corners[corners[:, 0] == x, 1]))
        for x in np.unique(corners[:, 0])
    }


def legend_of(sheet: Sheet) -> list[str]:
    return [str(handle.get_label()) for handle in sheet.legend]


# -- lines ----------------------------------------------------------------------------------------


def test_few_shot_curves(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for labels, shift in ((50, 0.0), (100, 0.1), (200, 0.2)):
        made.cell("a", task(labels=labels), [value + shift for value in REPEATS])
        made.cell("b", task(labels=labels), [0.4] * 4, expected=5 if labels == 100 else 4)
    sheet = lines.few_shot(view(made.save()))
    (axes,) = axes_of(sheet)
    medians = [0.595 + shift for shift in (0, 0.1, 0.2)]
    assert xy(axes) == ([50, 100, 200], pytest.approx(medians))
    assert band(axes)[100] == pytest.approx((0.60, 0.76))  # four repeats: from least to largest
    assert xy(axes, 1) == ([50, 200], [0.4, 0.4])  # b is incomplete at 100 labels
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["50", "100", "200"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("labels", "SRCC")
    assert legend_of(sheet) == ["a", "b"]


@pytest.mark.parametrize("name", ["a", "a method with a name of some length", "w" * 40])
def test_legends_stay_within_the_figure(tmp_path: Path, name: str) -> None:
    made = maker(tmp_path)
    for number in range(5):
        for labels in (50, 100):
            made.cell(f"{name} {number}", task(labels=labels), REPEATS)
    with matplotlib.rc_context(STYLE):
        canvas = compose(lines.few_shot(view(made.save())))
        canvas.draw_without_rendering()
    box = canvas.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= canvas.bbox.x1


def test_curves_over_training_ratios(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for ratio, shift in ((0.6, 0.2), (0.2, 0.0), (0.125, -0.1)):
        values = [value + shift for value in REPEATS]
        made.cell("a", task(labels=None, ratio=ratio), values)
    made.cell("a", task(labels=50), REPEATS)
    seen = view(made.save())
    (axes,) = axes_of(lines.ratios(seen))
    assert xy(axes) == ([12.5, 20, 60], pytest.approx([0.495, 0.595, 0.795]))
    with pytest.raises(LeftOut, match="two label budgets"):
        lines.few_shot(seen)


def test_srcc_over_epochs_and_gradient_angle(tmp_path: Path) -> None:
    made = maker(tmp_path)
    runs = made.cell("a", task(), REPEATS)
    seen = view(made.save())
    (axes,) = axes_of(lines.epochs(seen))
    by_epoch = {
        point.epoch: [
            own.test["srcc"] for run in runs for own in run.curve if own.epoch == point.epoch
        ]
        for point in runs[0].curve
        if point.test
    }
    assert xy(axes)[0] == [5, 10, 15, 20]
    assert xy(axes)[1] == pytest.approx([np.median(values) for values in by_epoch.values()])
    assert band(axes)[20] == pytest.approx((0.50, 0.66))
    (axes,) = axes_of(lines.angle(seen))
    angles = np.array([[point.diagnostics["angle"] for point in run.curve] for run in runs])
    assert xy(axes)[0] == list(range(1, 21))
    assert xy(axes)[1] == pytest.approx(np.median(angles, axis=0))
    assert band(axes)[7] == pytest.approx((angles[:, 6].min(), angles[:, 6].max()))
    assert list(axes.get_lines()[1].get_ydata()) == [90, 90]


def angled(start: float) -> list[CurvePoint]:
    """A run whose angle grows by a degree an epoch."""
    return [
        CurvePoint(epoch=epoch, seconds=1.0, loss=1.0, diagnostics={"angle": start + epoch})
        for epoch in range(1, 21)
    ]


def test_angle_panels_of_one_dataset_share_their_axis(tmp_path: Path) -> None:
    """As GRMP-IQA's Fig. 4b: heights compare within a dataset, and datasets have scales of their
    own."""
    made = maker(tmp_path)
    made.cell("a", task(labels=50), REPEATS)
    made.cell("a", task(labels=200), REPEATS, curve=angled(20.0))
    made.cell("a", task("koniq10k", labels=50), REPEATS, curve=angled(130.0))
    panels = {axes.get_title(): axes for axes in axes_of(lines.angle(view(made.save())))}
    livec = [axes.get_ylim() for title, axes in panels.items() if "koniq" not in title.lower()]
    (koniq,) = (axes.get_ylim() for title, axes in panels.items() if "koniq" in title.lower())
    assert len(livec) == 2
    assert livec[0] == livec[1] != koniq
    for axes in panels.values():
        low, high = axes.get_ylim()
        shown = [*xy(axes)[1], *(edge for pair in band(axes).values() for edge in pair), 90]
        assert low < min(shown) <= max(shown) < high


def sweep_cells(made: FakeResults, values: Sequence[Any], labels: int = 50, **fixed: Any) -> None:
    for value in values:
        settings = {"lam": value, "label": "", "qgr": True, "prompt_seed": 0, **fixed}
        scores = [score + 0.01 * float(value) for score in REPEATS]
        made.cell(f"{value} {fixed}", task(labels=labels), scores, method="grmp", settings=settings)


def test_curves_over_a_setting(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for labels in (50, 100):
        sweep_cells(made, (7, 1, 3.0, 5), labels)
    sheet = lines.settings(view(made.save()))
    (axes,) = axes_of(sheet)
    for number in (0, 1):
        x, y = xy(axes, number)
        assert x == [1, 3, 5, 7]
        assert y == pytest.approx([0.595 + 0.01 * value for value in x])
    assert band(axes)[5] == pytest.approx((0.55, 0.71))
    assert axes.get_xlabel() == "λ"
    assert axes.get_xscale() == "linear"
    assert legend_of(sheet) == ["50 labels", "100 labels"]


def test_two_settings_that_vary_in_turn(tmp_path: Path) -> None:
    """As in MP-IQE's Table 6: the full model lies on both curves."""
    made = maker(tmp_path)
    for text, visual in ((2, 4), (4, 4), (8, 4), (16, 4), (8, 1), (8, 2), (8, 8)):
        settings = {"label": "", "text_length": text, "visual_length": visual}
        scores = [score + text / 100 + visual / 1000 for score in REPEATS]
        made.cell(f"{text} {visual}", task(), scores, method="mpiqe", settings=settings)
    sheet = lines.settings(view(made.save()))
    first, second = axes_of(sheet)
    assert (first.get_xlabel(), second.get_xlabel()) == ("text length", "visual length")
    assert xy(first)[0] == [2, 4, 8, 16]
    assert xy(second) == ([1, 2, 4, 8], pytest.approx([0.675 + v / 1000 for v in (1, 2, 4, 8)]))
    assert first.get_xscale() == "log"
    assert legend_of(sheet) == []


@pytest.mark.parametrize("reason", ["two values", "an incomplete cell", "booleans", "seeds"])
def test_what_makes_no_curve_over_a_setting(tmp_path: Path, reason: str) -> None:
    made = maker(tmp_path)
    sweep_cells(made, (1, 3))
    if reason == "an incomplete cell":
        settings = {"lam": 5, "label": "", "qgr": True, "prompt_seed": 0}
        made.cell("5", task(), REPEATS, method="grmp", settings=settings, expected=5)
    if reason == "booleans":
        sweep_cells(made, (1, 3), qgr=False)
    if reason == "seeds":
        sweep_cells(made, (1, 3), prompt_seed=1)
        sweep_cells(made, (1, 3), prompt_seed=2)
    with pytest.raises(LeftOut, match="no numeric setting takes three values"):
        lines.settings(view(made.save()))


def test_random_starts(tmp_path: Path) -> None:
    made = maker(tmp_path)
    shifts = (0.0, 0.03, -0.02, 0.01)
    for labels in (50, 100):
        for seed, shift in enumerate(shifts):
            values = [value + shift + labels / 1000 for value in REPEATS]
            settings = {"label": "", "prompt_seed": seed, "blocks": 0}
            made.cell(f"CoOp {seed}", task(labels=labels), values, method="grmp", settings=settings)
    for seed in (0, 1):
        settings = {"label": "", "prompt_seed": seed, "blocks": 4}
        made.cell(f"GRMP {seed}", task(), REPEATS, method="grmp", settings=settings)
    sheet = boxes.starts(view(made.save()))
    (axes,) = axes_of(sheet)
    assert legend_of(sheet) == ["CoOp"]  # two starts of GRMP make no spread
    assert [text.get_text() for text in axes.get_xticklabels()] == ["50 labels", "100 labels"]
    (container,) = axes.containers
    for number, labels in enumerate((50, 100)):
        medians = [0.595 + shift + labels / 1000 for shift in shifts]
        middle = container.medians[number].get_ydata()
        assert list(middle) == pytest.approx([np.median(medians)] * 2)
        low, high = container.whiskers[2 * number : 2 * number + 2]
        assert (min(low.get_ydata()), max(high.get_ydata())) == pytest.approx(
            (min(medians), max(medians))
        )
        dots = np.asarray(axes.collections[number].get_offsets())
        assert list(dots[:, 1]) == pytest.approx(medians)
        assert set(dots[:, 0]) == {number}


# -- points ---------------------------------------------------------------------------------------


def test_scatter_with_its_logistic(tmp_path: Path) -> None:
    made = maker(tmp_path)
    runs = made.cell("a", task(), REPEATS)
    sheet = points.scatter(view(made.save()))
    (axes,) = axes_of(sheet)
    stored = made.store.predictions(runs[2].spec)  # 0.57, the lower of the two in the middle
    drawn = axes.collections[0].get_offsets()
    assert np.array_equal(np.asarray(drawn), stored[["prediction", "quality"]].to_numpy())
    fit = fit_logistic4(stored["prediction"].to_numpy(), stored["quality"].to_numpy())
    x, y = xy(axes)
    assert y == pytest.approx(logistic4(np.array(x), *fit.params))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "MOS")
    assert quality_title("live") == "-DMOS"
    assert quality_title("not known") == "quality"


@pytest.fixture
def attended(tmp_path: Path) -> FakeResults:
    """Two methods' maps of six images of a database of the user's own."""
    root = tmp_path / "data" / "mine"
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for index in range(80):
        Image.fromarray(rng.integers(0, 255, (240, 320, 3), np.uint8)).save(
            root / f"img{index:03}.png"
        )
        rows.append(f"img{index:03}.png,{1 + index / 20}\n")
    (root / "scores.csv").write_text("image,score\n" + "".join(rows))
    (tmp_path / "data" / "iqa-data.yaml").write_text(
        "databases:\n  mine:\n    root: mine\n    table: scores.csv\n    range: [1, 5]\n"
    )
    made = maker(tmp_path / "store")
    for number, label in enumerate(("Visual-only", "MP-IQE")):
        for run in made.cell(label, task("mine"), REPEATS):
            maps_ = np.random.default_rng(number).random((6, 8, 8)).astype(np.float32)
            with artifacts.path(made.store, run.spec, artifacts.ATTENTION).open("wb") as file:
                np.savez(file, rows=np.array([3, 70, 5, 8, 9, 11]), maps=maps_)
    made.save()
    return made


def test_attention_overlays(attended: FakeResults, tmp_path: Path) -> None:
    seen = view(attended.store, DataCache([tmp_path / "data"]))
    drawn = axes_of(overlays.attention(seen))
    assert len(drawn) == 18
    run = seen.cells[1].done[0]
    predictions = attended.store.predictions(run.spec)
    stored = artifacts.attention(attended.store, run.spec)
    assert stored is not None
    found = stored.maps
    fit = fit_logistic4(predictions["prediction"].to_numpy(), predictions["quality"].to_numpy())
    mapped = logistic4(predictions["prediction"].to_numpy(), *fit.params)
    for place, row in enumerate(stored.rows):
        own = np.asarray(Image.open(tmp_path / "data" / "mine" / predictions["image"][row]))
        assert np.array_equal(drawn[place].images[0].get_array(), own)
        assert drawn[place].get_xlabel() == f"quality {predictions['quality'][row]:.3g}"
        over = drawn[12 + place]
        heat = np.asarray(over.collections[0].get_array())
        middle = heat.shape[0] // 8 // 2  # of the finer cells that one of the map's becomes
        assert np.allclose(heat[middle :: 2 * middle + 1, middle :: 2 * middle + 1], found[place])
        assert over.images[0].get_extent() == [0, heat.shape[1], heat.shape[0], 0]
        # One unit of either axis is as long as on the image: 240 by 320 pixels.
        assert over.get_aspect() == pytest.approx(240 / 320)
        assert over.get_xlabel() == f"predicted {mapped[row]:.3g}"
    assert [drawn[place].get_ylabel() for place in (0, 6, 12)] == [
        "mine\n50 labels",
        "Visual-only",
        "MP-IQE",
    ]


def test_attention_on_another_split_is_left_out_by_name(
    attended: FakeResults, tmp_path: Path
) -> None:
    seen = view(attended.store, DataCache([tmp_path / "data"]))
    for cell, kept_repeat in zip(seen.cells, (1, 2), strict=True):
        for run in cell.done:
            if run.spec.repeat != kept_repeat:
                artifacts.path(attended.store, run.spec, artifacts.ATTENTION).unlink()
    assert len(axes_of(overlays.attention(seen))) == 12
    note = "MP-IQE on mine: no attention maps: its runs share no split with those shown"
    assert seen.notes == [note]


def test_attention_without_the_images_is_left_out(attended: FakeResults, tmp_path: Path) -> None:
    (tmp_path / "data" / "mine").rename(tmp_path / "data" / "elsewhere")
    for data_cache in (None, DataCache([tmp_path / "data"])):
        with pytest.raises(LeftOut, match="mine: its images are not on this machine"):
            overlays.attention(view(attended.store, data_cache))


def test_attention_over_other_images_is_left_out(attended: FakeResults, tmp_path: Path) -> None:
    scores = tmp_path / "data" / "mine" / "scores.csv"
    data_cache = DataCache([tmp_path / "data"])
    (tmp_path / "data" / "mine" / "img003.png").unlink()
    with pytest.raises(LeftOut, match=r"1 of its image files are missing, e.g. img003.png"):
        overlays.attention(view(attended.store, data_cache))
    record = next(attended.store.records())
    for run in attended.store.records():
        digests = {"test": data_cache.dataset("mine").digest}
        attended.store.write(run.model_copy(update={"digests": digests}))
    scores.write_text(scores.read_text().replace(",1.5\n", ",1.6\n"))
    with pytest.raises(LeftOut, match="mine on this machine is not the one that the runs have"):
        overlays.attention(view(attended.store, DataCache([tmp_path / "data"])))
    assert record.spec.task.test == "mine"
