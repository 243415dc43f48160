"""Printed numbers in reports: where they stand, what is subtracted, and what never is."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench import protocol as protocols
from bench.analysis.grid import grid, ranked
from bench.analysis.published import NOTHING, Printed, beside
from bench.analysis.results import load
from bench.protocol import Protocol, published
from bench.reports import latex
from bench.reports.latex import Style
from bench.reports.render import Rendered, render
from bench.reports.terminal import leaderboard
from bench.store import Store
from tests.fake_results import FakeResults, maker, task


def few_shot(root: Path, **changes: Any) -> FakeResults:
    """A results folder of the protocol that GRMP-IQA's Table 1 stands beside."""
    made = maker(root)
    own = {"repeats": 2, "metrics": ("srcc",), **changes}
    made.protocol = protocols.load("few_shot").model_copy(update=own)
    return made


def read(made: FakeResults) -> tuple[pd.DataFrame, Printed]:
    results = load(made.save())
    return beside(results.summary, results.protocols)


def names(printed: Printed) -> list[str]:
    return list(dict.fromkeys(str(row["label"]) for row in printed.alone("few_shot")))


def test_difference_by_hand(tmp_path: Path) -> None:
    made = few_shot(tmp_path)
    made.cell("grmp", task(), [0.81, 0.83])
    made.cell("grmp", task(labels=100), [0.9, 0.9])
    summary, printed = read(made)
    assert list(summary["published"]) == ["0.836", "0.857"]
    assert list(summary["difference"]) == pytest.approx([0.82 - 0.836, 0.9 - 0.857])
    assert set(summary["published_in"]) == {"GRMP-IQA, Table 1"}
    assert "HyperIQA" in names(printed)
    assert "GRMP-IQA" not in names(printed)
    alone = [row for row in printed.alone("few_shot") if row["label"] == "HyperIQA"]
    assert [(row["labels"], row["published"]) for row in alone] == [
        ("50", "0.648"),
        ("100", "0.725"),
    ]
    assert [source.title for source in printed.sources("few_shot")] == ["GRMP-IQA, Table 1"]
    assert any("livec@1169" in note for note in printed.sources("few_shot")[0].notes)


def test_a_row_is_found_by_label_and_by_method_where_only_one_has_it(tmp_path: Path) -> None:
    for number, labels in enumerate((["mine"], ["mine", "grmp"], ["one", "two"])):
        made = few_shot(tmp_path / str(number))
        for label in labels:
            made.cell(label, task(), [0.8, 0.8], method="grmp", settings={"at": label})
        summary, printed = read(made)
        found = dict(zip(summary["label"], summary["published"], strict=True))
        if labels == ["one", "two"]:  # variants: which of them the paper means is not known
            assert set(found.values()) == {""}
            assert "GRMP-IQA" in names(printed)
        else:
            assert found == {label: "0.836" if label == labels[-1] else "" for label in labels}


@pytest.mark.parametrize(
    ("cell", "changes", "caveat"),
    [
        ({"weights": {"name": "tiny"}}, {}, "tiny backbone"),
        ({}, {"test_fraction": 0.5}, "20 %"),
    ],
)
def test_what_is_not_comparable_is_not_subtracted(
    tmp_path: Path, cell: dict[str, Any], changes: dict[str, Any], caveat: str
) -> None:
    made = few_shot(tmp_path, **changes)
    made.cell("grmp", task(), [0.8, 0.8], **cell)
    summary, printed = read(made)
    assert list(summary["published"]) == [""]
    assert summary["difference"].isna().all()
    assert "GRMP-IQA" in names(printed)
    assert caveat in printed.caveat("few_shot")


def test_other_data_budgets_and_metrics_have_no_published_numbers(tmp_path: Path) -> None:
    made = few_shot(tmp_path, metrics=("srcc", "plcc"))
    made.cell("grmp", task("demo_authentic"), [0.8, 0.8])
    made.cell("grmp", task("koniq10k@5"), [0.8, 0.8])
    made.cell("grmp", task(labels=25), [0.8, 0.8])
    summary, printed = read(made)
    assert not printed.numbers
    assert set(summary["published"]) == {""}
    made.cell("grmp", task(), [0.8, 0.8])
    _, printed = read(made)
    assert {(number.labels, number.metric) for number in printed.numbers} == {("50", "srcc")}


def test_a_number_stands_beside_the_versions_that_its_table_names(tmp_path: Path) -> None:
    """Table 1 was made with 1,169 images of LIVEC, whatever the paper says."""
    made = few_shot(tmp_path)
    made.cell("grmp", task("livec@1169"), [0.8, 0.8])
    summary, _ = read(made)
    assert list(summary["published"]) == ["0.836"]
    assert list(summary["difference"]) == pytest.approx([0.8 - 0.836])


def test_an_incomplete_cell_shows_the_number_and_no_difference(tmp_path: Path) -> None:
    made = few_shot(tmp_path)
    made.cell("grmp", task(), [0.8], expected=2)
    made.cell("grmp", task(labels=100), [], expected=2)
    summary, printed = read(made)
    assert list(summary["published"]) == ["0.836", "0.857"]
    assert summary["difference"].isna().all()
    assert "GRMP-IQA" not in names(printed)
    grid(summary, printed=printed.alone("few_shot"))  # no number has two places


def test_a_number_without_a_run_stands_in_its_methods_row(tmp_path: Path) -> None:
    made = few_shot(tmp_path)
    made.cell("grmp", task(), [0.8, 0.8])
    made.cell("promptiqa", task("koniq10k"), [0.8, 0.8])
    summary, printed = read(made)
    arranged = grid(summary, printed=printed.alone("few_shot"))
    cell = arranged.cells[("grmp", "last"), ("koniq10k", "50", "srcc")]
    assert (cell.published, cell.measured) == ("0.853", False)
    assert ("grmp", "last") in arranged.measured_rows
    assert ("HyperIQA", "") in arranged.published_rows


def test_mixed_backbones_leave_every_number_one_place(tmp_path: Path) -> None:
    made = few_shot(tmp_path)
    made.cell("grmp", task(), [0.8, 0.8])
    made.cell("grmp", task("koniq10k"), [0.8, 0.8], weights={"name": "tiny"})
    summary, printed = read(made)
    assert list(summary["published"]) == ["0.836", ""]
    arranged = grid(summary, printed=printed.alone("few_shot"))
    assert arranged.cells[("GRMP-IQA", ""), ("koniq10k", "50", "srcc")].published == "0.853"


def test_a_row_of_ours_that_is_called_like_a_printed_one_stays_apart(tmp_path: Path) -> None:
    made = few_shot(tmp_path)
    made.cell("LIQE", task(), [0.8, 0.8], method="pyiqa:liqe")
    summary, printed = read(made)
    assert list(summary["published"]) == [""]
    assert "LIQE (published)" in names(printed)
    grid(summary, rows=("label",), printed=printed.alone("few_shot"))


def test_tables_that_print_the_same_number_share_a_row(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.protocol = protocols.load("cross_dataset").model_copy(update={"metrics": ("srcc",)})
    for label in ("grmp", "mpiqe"):
        made.cell(label, task(train="livec", test="koniq10k", labels=None), [0.8, 0.8])
    summary, printed = read(made)
    assert list(summary["published"]) == ["0.782", "0.781"]
    alone = {row["label"]: row for row in printed.alone("cross_dataset")}
    assert alone["DBCNN"]["published_in"] == "GRMP-IQA, Table 3; MP-IQE, Table 3"
    stated = [source.statistic for source in printed.sources("cross_dataset")]
    assert stated == ["mean or median not stated", "median (text; the caption names none)"]
    assert alone["P2P-BM"]["published_in"] == "MP-IQE, Table 3"
    assert printed.letters("cross_dataset") == {"GRMP-IQA, Table 3": "a", "MP-IQE, Table 3": "b"}
    text = latex.document(summary, [made.protocol], printed=printed)
    assert r"\textcolor{gray}{DBCNN$^{a,b}$} & \textcolor{gray}{0.754}" in text
    assert "$^{a}$GRMP-IQA, Table 3; $^{b}$MP-IQE, Table 3" in text


def test_ours_alone_is_called_by_its_paper(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.protocol = protocols.load("cross_dataset").model_copy(update={"metrics": ("srcc",)})
    made.cell("promptiqa", task(train="livec", test="koniq10k", labels=None), [0.8, 0.8])
    _, printed = read(made)
    labels = {row["label"] for row in printed.alone("cross_dataset")}
    assert {"GRMP-IQA", "MP-IQE"} <= labels
    assert "Ours" not in labels


def test_a_table_that_is_not_known_here_is_named(tmp_path: Path) -> None:
    made = maker(tmp_path, published=("grmp_table99",))
    made.cell("a", task(), [0.5])
    _, printed = read(made)
    assert not printed.numbers
    assert "unknown published table 'grmp_table99'" in printed.problems[0]


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Ours lie below every published number, so that ranking them together would show."""
    root = tmp_path_factory.mktemp("worse")
    made = few_shot(root / "store")
    made.cell("grmp", task(), [0.3, 0.3])
    made.cell("promptiqa", task(), [0.2, 0.2])
    made.cell("grmp", task(labels=100), [0.31], expected=2)
    return render(made.save(), root / "out")


def test_published_numbers_take_part_in_no_ranking(worse: Rendered) -> None:
    ranks = ranked(worse.summary).set_index(["label", "labels"])["rank"]
    assert (ranks["grmp", "50"], ranks["promptiqa", "50"]) == (1, 2)
    text = (worse.out / "table.tex").read_text(encoding="utf-8")
    assert re.findall(r"\\textbf\{(.*?)\}", text) == ["0.300"]
    assert re.findall(r"\\underline\{([0-9.]+)\}", text) == ["0.200"]


def grey(*texts: str) -> str:
    return " & ".join(rf"\textcolor{{gray}}{{{text}}}" if text else "" for text in texts) + r" \\"


def test_latex_sets_published_rows_in_grey(worse: Rendered) -> None:
    text = (worse.out / "table.tex").read_text(encoding="utf-8")
    assert grey("HyperIQA", "0.648", "0.725") in text.splitlines()
    ours = text[text.index("grmp & ") :].splitlines()
    assert ours[1] == grey(r"\quad published", "0.836", "0.857")
    assert ours[2] == grey(r"\quad difference", "$-$0.536", "")
    assert "Grey rows: as published (GRMP-IQA, Table 1)" in text
    assert "% GRMP-IQA, Table 1: median of 10 splits" in text
    note = latex.table(worse.summary, "t", "x", Style(notes=True), worse.printed)
    assert r"{\scriptsize\raggedright GRMP-IQA, Table 1: median of 10 splits" in note


def test_the_board_shows_published_numbers_and_where_they_are_from(worse: Rendered) -> None:
    page = (worse.out / "index.html").read_text(encoding="utf-8")
    measured, alone = page.split('<tbody class="pub">')
    assert '<small class="pub">pub. 0.836 (−0.536)</small>' in measured
    assert '<small class="pub">pub. 0.857</small>' in measured
    assert "HyperIQA" not in measured
    assert re.search(r"HyperIQA <small>published only</small></th>\s*<td data-v=\"0.648\"", alone)
    assert 'class="best' not in alone
    assert "GRMP-IQA, Table 1 (median of 10 splits" in alone
    assert "(`livec@1169`)" in alone


def test_a_methods_page_shows_the_printed_number_beside_ours(worse: Rendered) -> None:
    page = (worse.out / "methods" / "grmp.html").read_text(encoding="utf-8")
    first, second = page.split('<section class="cell"')[1:]
    assert "SRCC <b>0.300</b>" in first
    assert '<small class="pub">pub. 0.836 (−0.536)</small>' in first
    assert "as printed in GRMP-IQA, Table 1, on the authors’ splits" in first
    # One of two runs is missing: the number stands there, a difference does not.
    assert '<small class="pub">pub. 0.857</small>' in second
    assert "pub." not in (worse.out / "methods" / "promptiqa.html").read_text(encoding="utf-8")


def test_the_csv_files_hold_measured_published_and_difference(worse: Rendered) -> None:
    summary = pd.read_csv(worse.out / "summary.csv").set_index(["label", "labels"])
    assert summary.loc[("grmp", 50), "published"] == 0.836
    assert summary.loc[("grmp", 50), "difference"] == pytest.approx(-0.536)
    assert summary.loc[("grmp", 50), "published_in"] == "GRMP-IQA, Table 1"
    assert math.isnan(summary.loc[("promptiqa", 50), "published"])
    assert len(summary) == 3
    printed = pd.read_csv(worse.out / "published.csv", dtype={"published": str})
    assert len(printed) == 2 * 11  # every row of the table, under two budgets
    row = printed[(printed["name"] == "HyperIQA") & (printed["labels"] == 50)].iloc[0]
    assert (row["published"], row["published_in"]) == ("0.648", "GRMP-IQA, Table 1")
    assert math.isnan(row["median"])
    ours = printed[printed["label"] == "grmp"].iloc[0]
    assert (ours["published"], ours["median"]) == ("0.836", 0.3)


@pytest.mark.parametrize("width", [60, 200])
def test_the_terminal_shows_them_in_grey(worse: Rendered, width: int) -> None:
    console = Console(width=width, record=True, force_terminal=True, file=io.StringIO())
    leaderboard(worse.summary, console, worse.printed)
    plain = console.export_text(clear=False)
    assert "0.836 (-0.536)" in plain
    assert re.search(r"HyperIQA +0\.648", plain)
    assert "published: GRMP-IQA, Table 1, median of 10 splits" in plain
    styled = console.export_text(styles=True)
    assert re.search(r"\x1b\[2mHyperIQA", styled)


def test_they_can_be_left_out(worse: Rendered, tmp_path: Path) -> None:
    plain = render(Store(worse.out.parent / "store"), tmp_path, published=False)
    assert plain.printed is NOTHING
    for name in ("index.html", "table.tex", "summary.csv"):
        text = (plain.out / name).read_text(encoding="utf-8")
        assert "HyperIQA" not in text
        assert "0.836" not in text
    assert "pub." not in (plain.out / "methods" / "grmp.html").read_text(encoding="utf-8")
    assert not (plain.out / "published.csv").exists()


def test_names_in_print_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "<b>A_1 & [red]"
    source = published.load("grmp_table1")
    block = source.blocks[0].model_copy(update={"rows": {evil: source.blocks[0].rows["HyperIQA"]}})
    changed = source.model_copy(update={"blocks": (block,), "notes": (evil,)})
    monkeypatch.setattr(published, "load", lambda name: changed)
    made = few_shot(tmp_path / "store")
    made.cell("promptiqa", task(), [0.5, 0.5])
    out = render(made.save(), tmp_path / "out")
    page = (out.out / "index.html").read_text(encoding="utf-8")
    assert "<b>A_1" not in page
    assert page.count("&lt;b&gt;A_1 &amp; [red]") == 2
    assert r"\textless{}b\textgreater{}A\_1 \& [red]" in (out.out / "table.tex").read_text()
    console = Console(width=120, record=True, file=io.StringIO())
    leaderboard(out.summary, console, out.printed)
    assert "[red]" in console.export_text()


def test_a_protocol_without_printed_tables_is_left_alone(tmp_path: Path) -> None:
    made = FakeResults(tmp_path, Protocol(name="own", metrics=("srcc",)))
    made.cell("grmp", task(), [0.5])
    summary, printed = read(made)
    assert set(summary["published"]) == {""}
    assert printed.sources("own") == ()
