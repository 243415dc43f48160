"""Figures from records: those that can be drawn, and why others are not."""

from __future__ import annotations

import html
from pathlib import Path

import matplotlib as mpl
import pytest

from bench.analysis import costs
from bench.analysis.curves import cloud, diagnostic, on_test, over_budgets, over_epochs
from bench.analysis.results import load
from bench.reports import drawing
from bench.reports.figures import gallery, sheet
from bench.reports.figures.sheet import Sheet
from bench.reports.render import Rendered, render
from bench.stats import median
from tests.conftest import run_cli
from tests.fake_results import FakeSweep, maker, task

KINDS = ("few-shot", "epochs", "angle", "scatter")
"""What the showcase's records allow."""


def test_every_figure_is_there_as_pdf_and_png(report: Rendered) -> None:
    for kind in KINDS:
        png, pdf = (report.out / "figures" / f"few_shot-{kind}.{end}" for end in ("png", "pdf"))
        assert png.read_bytes().startswith(b"\x89PNG")
        assert pdf.read_bytes().startswith(b"%PDF")
        assert {png, pdf} <= set(report.paths)


def test_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("a", task(), [0.5, 0.6])
    store = made.save()
    first, second = (render(store, tmp_path / name) for name in ("one", "two"))
    for path in first.paths:
        other = second.out / path.relative_to(first.out)
        assert path.read_bytes() == other.read_bytes(), path.name


def test_what_cannot_be_drawn_is_named_with_its_reason(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("piqe", task(), [0.5, 0.6], curve=[])
    notes = "\n".join(render(made.save(), tmp_path / "out").notes)
    assert "no figure 'few-shot': no method has complete cells for two label budgets" in notes
    assert "no figure 'epochs': no run was evaluated at two epochs" in notes
    assert "no figure 'angle'" in notes


def test_the_command_says_what_it_left_out_and_why(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("piqe", task("a-dataset-nobody-has"), [0.5, 0.6], curve=[])
    made.save()
    shown = run_cli("report", tmp_path / "store", environment={"COLUMNS": "400"}).stdout
    page = html.unescape((tmp_path / "store" / "report" / "index.html").read_text())
    reasons = (
        "no figure 'few-shot': no method has complete cells for two label budgets",
        "no figure 'settings': no numeric setting takes three values with complete results",
        "no figure 'starts': no three complete rows differ in their random start alone",
        "no figure 'angle': no method reports the angle between its gradients",
        "no figure 'tsne-score', 'tsne-scene', 'tsne-noise': no run kept features; a protocol asks "
        "for them with keep: [embeddings]",
        "no figure 'attention': no run kept attention maps; a protocol asks for them with "
        "keep: [attention]",
    )
    for reason in reasons:
        assert f"left out: few_shot: {reason}" in shown
        assert reason in page
    drawn = {path.name for path in (tmp_path / "store" / "report" / "figures").iterdir()}
    assert drawn == {"few_shot-scatter.png", "few_shot-scatter.pdf"}


def test_protocols_that_lack_the_same_share_a_line(tmp_path: Path) -> None:
    for name in ("few_shot", "standard"):
        made = maker(tmp_path / "store", name=name)
        made.cell("piqe", task(), [0.5, 0.6], curve=[])
        made.save()
    notes = render(made.store, tmp_path / "out").notes
    assert sum("no figure 'epochs'" in note for note in notes) == 1
    assert "few_shot, standard: no figure 'epochs': no run was evaluated at two epochs" in notes


def test_names_with_formulas_are_drawn_as_text(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    for labels in (50, 100):
        made.cell(r"$\nope_{", task(r"$x^{", labels), [0.5, 0.6])
    out = render(made.save(), tmp_path / "out").out
    assert (out / "figures" / "few_shot-epochs.pdf").is_file()


def test_lines_over_epochs_are_medians_by_hand(tmp_path: Path) -> None:
    made = maker(tmp_path)
    runs = made.cell("a", task(), [0.5, 0.7, 0.6], best=[0.55, 0.75, 0.65])
    line = over_epochs("a", runs, on_test("srcc"))
    assert line is not None
    assert line.x == [5, 10, 15, 20]
    assert line.y[2:] == pytest.approx([0.65, 0.6])
    assert (line.low[3], line.high[3]) == pytest.approx((0.5, 0.7))
    angle = over_epochs("a", runs, diagnostic("angle"))
    assert angle is not None
    assert len(angle.x) == 20
    assert over_epochs("a", runs, diagnostic("none")) is None


def test_lines_over_budgets_leave_incomplete_cells_out(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task(labels=200), [0.7, 0.7])
    made.cell("a", task(labels=50), [0.5, 0.5])
    made.cell("a", task(labels=100), [0.6], expected=2)
    made.cell("a", task(labels=None), [0.9, 0.9])
    line = over_budgets("a", load(made.save()).summary)
    assert line is not None
    assert (line.x, line.y) == ([50, 200], [0.5, 0.7])


def test_a_constant_prediction_has_points_and_no_logistic(tmp_path: Path) -> None:
    made = maker(tmp_path)
    run = made.cell("a", task(), [0.5])[0]
    table = made.store.predictions(run.spec)
    made.store.write(run, table.assign(prediction=0.5))
    points = cloud(load(made.save()), run)
    assert points.curve is None
    assert "constant" in points.reason
    assert len(points.prediction) == 80


@pytest.mark.parametrize("methods", [1, 5, 20])
def test_a_legend_of_any_length_leaves_panels_their_size(methods: int) -> None:
    names = [f"scores:a_method_of_full_size_{number}" for number in range(methods)]
    panels = [sheet.Panel("livec", lambda axes: axes.plot([0, 1], [0, 1]))]
    made = Sheet(panels, [drawing.handle(number, name) for number, name in enumerate(names)])
    with mpl.rc_context(drawing.STYLE):
        figure = sheet.compose(made)
        figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    inches = figure.dpi_scale_trans.inverted()
    panel = axes.get_window_extent().transformed(inches)
    # The panel less its title and labels.
    assert panel.height > 0.7 * made.panel_size[1]
    assert not axes.get_tightbbox().overlaps(legend.get_window_extent())


def test_code_that_runs_while_a_figure_is_drawn_is_part_of_its_key() -> None:
    code = sheet.drawing_code()
    for module in (costs, median, drawing, gallery):
        assert Path(str(module.__file__)).read_bytes() in code


def test_figures_stay_where_nothing_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, out = FakeSweep(tmp_path / "r", repeats=2).write(), tmp_path / "out"
    figures = [path for path in render(store, out).paths if path.suffix in (".png", ".pdf")]
    before = {path: path.read_bytes() for path in figures}
    assert len(before) >= 2
    drawn: list[Sheet] = []

    def counted(shown: Sheet) -> object:
        drawn.append(shown)
        return sheet.compose(shown)

    monkeypatch.setattr(gallery, "compose", counted)
    render(store, out)
    assert not drawn
    figures[0].write_bytes(before[figures[0]] + b"mine")
    render(store, out)
    assert len(drawn) == 1
    monkeypatch.setattr(sheet, "drawing_code", lambda: b"other code")
    render(store, out)
    assert len(drawn) == 1 + len(before) // 2
    for path, content in before.items():
        if path.suffix == ".pdf":
            assert path.read_bytes() == content
