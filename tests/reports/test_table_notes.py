"""'§': what a table must say beside a row's numbers, wherever the row is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from bench.analysis.grid import table_notes
from bench.analysis.results import load
from bench.reports import latex
from bench.reports.render import render
from bench.reports.terminal import leaderboard
from bench.store import Store
from tests.fake_results import maker, task

NOTES = ["a remark", "§ without L_scene / L_dist"]
EVIL = "§ 100% <b>_odd_</b>"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = maker(tmp_path)
    made.cell("mpiqe", task("livec"), [0.6, 0.7], notes=NOTES)
    made.cell("mpiqe", task("csiq"), [0.8, 0.8])
    made.cell("odd", task("livec"), [0.5, 0.5], notes=[EVIL, "§ from scratch"])
    made.cell("odd", task("csiq"), [0.5, 0.5], notes=[EVIL])
    return made.save()


def test_a_note_is_summarised_where_it_holds(store: Store) -> None:
    summary = load(store).summary
    assert table_notes(summary) == [
        "mpiqe on livec: without L_scene / L_dist",
        "odd: 100% <b>_odd_</b>",
        "odd on livec: from scratch",
    ]
    marked = summary.set_index(["label", "dataset"])["notes"]
    assert marked["mpiqe", "livec"] == "without L_scene / L_dist"
    assert marked["mpiqe", "csiq"] == ""


def test_terminal_latex_and_pages_mark_the_numbers_and_say_why(
    store: Store, tmp_path: Path
) -> None:
    summary = load(store).summary
    console = Console(width=160, record=True, file=(tmp_path / "out").open("w"))
    leaderboard(summary, console)
    text = console.export_text()
    assert "0.650§" in text
    assert "0.800§" not in text
    assert "§ mpiqe on livec: without L_scene / L_dist" in text

    tex = latex.table(summary, "Title", "name")
    assert r"0.650}$^\S$" in tex
    assert r"0.800}$^\S$" not in tex
    assert r"$^\S$mpiqe on livec: without L\_scene / L\_dist." in tex
    assert r"$^\S$odd: 100\% \textless{}b\textgreater{}\_odd\_" in tex

    pages = {path.name: path for path in render(store, tmp_path / "report").paths}
    index = pages["index.html"].read_text()
    assert "<b>0.650</b><sup>§</sup>" in index
    assert "<b>0.800</b></a>" in index
    assert "§ mpiqe on livec: without L_scene / L_dist." in index
    assert "100% &lt;b&gt;" in index
    assert "<b>_odd_" not in index
    dataset = next(path for name, path in pages.items() if "livec" in name)
    assert "§ without L_scene / L_dist" in dataset.read_text()
    method = next(path for name, path in pages.items() if "mpiqe" in name)
    assert "§ without L_scene / L_dist." in method.read_text()
