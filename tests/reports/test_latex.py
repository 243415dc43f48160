"""LaTeX tables: what they mark, what they escape, and that they compile."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench import protocol as protocols
from bench.analysis.published import beside
from bench.analysis.results import load
from bench.reports import latex
from bench.reports.latex import Style, fitting
from bench.reports.latex_text import escape, label
from bench.reports.render import Rendered
from bench.util.errors import UsageError
from tests.fake_results import maker, task

PDFLATEX = shutil.which("pdflatex")
NASTY = r"\input{x} $a_b$ #1 & 50% ~^ <b> | λ→像 é"


def lines(summary: pd.DataFrame, **style: object) -> dict[str, str]:
    """Row title -> the row's LaTeX."""
    text = latex.table(summary, "Title", "name", Style(**style))
    body = text.split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    return {line.split(" & ")[0]: line for line in body.splitlines() if " & " in line}


@pytest.fixture
def marked(tmp_path: Path) -> pd.DataFrame:
    """A tie for the best, one second, one incomplete cell, one seen test set."""
    made = maker(tmp_path)
    made.cell("a", task(), [0.8, 0.8])
    made.cell("b", task(), [0.80004, 0.80004])
    made.cell("c", task(), [0.7, 0.7], trained_on=["livec"])
    made.cell("d", task(), [0.9], expected=2)
    made.cell("e", task(), [-0.1, -0.1])
    return load(made.save()).summary


def test_best_second_ties_and_marks(marked: pd.DataFrame) -> None:
    rows = lines(marked)
    assert r"\textbf{0.800}" in rows["a"]
    assert r"\textbf{0.800}" in rows["b"]
    assert r"\underline{0.700}$^\dagger$" in rows["c"]
    assert r"\textcolor{gray}{0.900 {\scriptsize 1/2}}" in rows["d"]
    assert "textbf" not in rows["d"]
    assert "$-$0.100" in rows["e"]


def test_the_caption_explains_what_is_there_and_nothing_else(
    marked: pd.DataFrame, report: Rendered
) -> None:
    text = latex.table(marked, "50% & more", "x")
    assert r"50\% \& more (50 labels, SRCC)." in text
    assert r"$^\dagger$The" in text
    assert r"$^\ddagger$" not in text
    assert "demo" not in text
    assert "of N" in text
    assert "Rendered demo data (demo\\_authentic, demo\\_synthetic)" in latex.table(
        report.summary, "t", "x"
    )


def test_best_test_rows_carry_a_double_dagger(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task(), [0.5, 0.6], selection="last")
    made.cell("a", task(), [0.5, 0.6], best=[0.6, 0.7], selection="best_test")
    summary = load(made.save()).summary
    assert set(lines(summary)) == {"a (last)", r"a $^\ddagger$"}
    assert r"$^\ddagger$Epoch chosen on the test set" in latex.table(summary, "t", "x")
    alone = summary[summary["selection"] == "best_test"]
    assert r"0.650$^\ddagger$" in lines(alone, rows=("label",))["a"]


def test_headers_span_budgets_and_metrics(tmp_path: Path) -> None:
    made = maker(tmp_path, metrics=("srcc", "plcc"))
    for dataset in ("livec", "csiq"):
        for labels in (50, 100):
            made.cell("a", task(dataset, labels), [0.5, 0.6])
    text = latex.table(load(made.save()).summary, "t", "x")
    assert r" & \multicolumn{4}{c}{LIVEC} & \multicolumn{4}{c}{CSIQ} \\" in text
    assert r"Labels & \multicolumn{2}{c}{50} & \multicolumn{2}{c}{100}" in text
    assert "Method & SRCC & PLCC" in text
    assert text.count("SRCC & PLCC") == 4
    assert r"\cmidrule(lr){2-5}\cmidrule(lr){6-9}" in text
    assert r"\begin{table*}" in text


def test_training_ratios_are_called_so(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for ratio in (0.2, 0.8):
        made.cell("a", task(labels=None, ratio=ratio), [0.5, 0.6])
    assert r"Training ratio & 20\% & 80\%" in latex.table(load(made.save()).summary, "t", "x")


def test_intervals_on_request(marked: pd.DataFrame) -> None:
    rows = lines(marked, interval="splits")
    assert r"{\scriptsize 0.800 to 0.800}" in rows["a"]
    over_images = marked.assign(image_low=0.75, image_high=0.85)
    rows = lines(over_images, interval="images")
    assert r"{\scriptsize [0.750, 0.850]}" in rows["a"]
    text = latex.table(over_images, "t", "x", Style(interval="images"))
    assert r"Median with its 95\% bootstrap interval over images over" in text


@pytest.mark.parametrize(
    ("splits", "beside", "words"),
    [
        (6, "[0.500, 0.500]", "Median with its order-statistic interval over 6 splits"),
        (5, "0.500 to 0.500", "Median with its range over 5 splits"),
    ],
)
def test_an_interval_over_splits_takes_six_of_them(
    splits: int, beside: str, words: str, tmp_path: Path
) -> None:
    made = maker(tmp_path)
    made.cell("a", task(), [0.5] * splits)
    text = latex.table(load(made.save()).summary, "t", "x", Style(interval="splits"))
    assert rf"{{\scriptsize {beside}}}" in text
    assert words in text


def test_any_keys_make_rows_and_columns(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for name, value in (("a", 0.5), ("b", 0.7)):
        made.cell(name, task(), [value])
        made.cell(name, task(labels=100), [value + 0.1])
    summary = load(made.save()).summary
    turned = lines(summary, rows=("dataset", "labels"), columns=("label",))
    row = turned["LIVEC $\\cdot$ 50 labels"]
    assert row == r"LIVEC $\cdot$ 50 labels & \underline{0.500} & \textbf{0.700} \\"
    text = latex.table(summary, "t", "x", Style(("dataset", "labels"), ("label",)))
    assert r"Dataset, Labels & a & b \\" in text
    with pytest.raises(UsageError, match="add 'labels'"):
        latex.table(summary, "t", "x", Style(columns=("dataset",)))


def test_intervals_stand_below_where_columns_are_many(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for labels in range(2, 9):
        made.cell("a", task(labels=labels), [0.5, 0.5])
    text = latex.table(load(made.save()).summary, "t", "x", Style(interval="splits"))
    body = text.split(r"\midrule")[1].splitlines()[1:3]
    assert body[0] == " & ".join(["a"] + ["0.500"] * 7) + r" \\"
    assert body[1] == " & ".join([""] + [r"{\scriptsize 0.500 to 0.500}"] * 7) + r" \\"


def test_ratios_head_blocks_of_rows_as_in_the_papers_second_table(tmp_path: Path) -> None:
    made = maker(tmp_path, metrics=("srcc", "plcc"))
    for name, shift in (("a", 0.0), ("b", 0.1)):
        for dataset, small in (("livec", 0.2), ("koniq10k", 0.3)):
            for ratio in (small, 0.8):
                made.cell(name, task(dataset, None, ratio=ratio), [ratio / 2 + shift])
    summary = load(made.save()).summary
    text = latex.table(summary, "t", "x", fitting(summary))
    body = text.split(r"\midrule")
    assert r" & \multicolumn{2}{c}{LIVEC} & \multicolumn{2}{c}{KonIQ-10k} \\" in body[0]
    assert r"Method & SRCC & PLCC & SRCC & PLCC \\" in body[0]
    small = r"Training ratio & \multicolumn{2}{c}{20\%} & \multicolumn{2}{c}{30\%} \\"
    assert [body[1].strip(), body[3].strip()] == [
        small,
        small.replace("20", "80").replace("30", "80"),
    ]
    assert r"b & \textbf{0.200} & \textbf{0.210} & \textbf{0.250} & \textbf{0.260} \\" in body[2]
    assert r"a & \underline{0.400} & \underline{0.410} & \underline{0.400}" in body[4]


def test_pairs_stand_under_training_and_testing(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for train, test in (("livefb", "livec"), ("livefb", "koniq10k"), ("live", "csiq")):
        made.cell("a", task(train=train, test=test, labels=None), [0.5])
    summary = load(made.save()).summary
    text = latex.table(summary, "t", "x", fitting(summary))
    assert r"Training & \multicolumn{2}{c}{LIVEFB} & LIVE \\" in text
    assert r"Testing & LIVEC & KonIQ-10k & CSIQ \\" in text


def test_a_table_too_wide_for_a_page_becomes_one_a_metric(tmp_path: Path) -> None:
    made = maker(tmp_path, metrics=("srcc", "plcc"))
    for labels in range(2, 11):
        made.cell("a", task(labels=labels), [0.5])
    text = latex.document(load(made.save()).summary, [made.protocol])
    assert re.findall(r"\\label\{(.*?)\}", text) == ["tab:few-shot", "tab:few-shot-plcc"]
    assert text.count(r"\caption{Few-shot (") == 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a_b & c%", r"a\_b \& c\%"),
        ("{x}$y$#", r"\{x\}\$y\$\#"),
        ("\\", r"\textbackslash{}"),
        ("λΩΑ", r"$\lambda$$\Omega$[U+0391]"),
        ("é\tž", "é ž"),
        ("像", "[U+50CF]"),
        ("\x07", "[U+0007]"),
    ],
)
def test_escaping(text: str, wanted: str) -> None:
    assert escape(text) == wanted


def test_labels_are_plain() -> None:
    assert re.fullmatch("[A-Za-z0-9-]+", label(NASTY))
    assert label("像") == "table"


def _like_the_papers(root: Path) -> str:
    """Label budgets, ratios in blocks, pairs, intervals and published rows with their notes."""
    texts = []
    for name in ("few_shot", "training_ratio", "cross_dataset"):
        made = maker(root / name)
        made.protocol = protocols.load(name)
        for each in made.protocol.tasks():
            made.cell("grmp", each, [-0.5, 0.9], trained_on=["live"])
        results = load(made.save())
        summary, printed = beside(results.summary, results.protocols)
        texts.append(latex.document(summary, results.protocols, printed=printed))
        style = replace(fitting(summary), interval="splits", notes=True)
        texts += latex.tables(summary, name, f"again-{name}", style, printed)
    assert "".join(texts).count(r"\quad difference") == 2 * (1 + 2 + 1)  # a block a ratio
    return "\n".join(texts)


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
def test_tables_compile(report: Rendered, tmp_path: Path) -> None:
    made = maker(tmp_path / "nasty", title=NASTY, name="nasty & worse")
    made.cell(NASTY, task(NASTY), [0.5, 0.6])
    made.cell("b", task(NASTY), [None, "Error: x"])
    nasty = latex.document(
        load(made.save()).summary, [made.protocol], lambda part: Style(interval="splits")
    )
    (tmp_path / "nasty.tex").write_text(nasty + _like_the_papers(tmp_path / "papers"))
    shutil.copy(report.out / "table.tex", tmp_path / "table.tex")
    packages = re.search(r"\\usepackage\{.*\}", nasty)
    assert packages is not None
    (tmp_path / "paper.tex").write_text(
        "\\documentclass[twocolumn]{article}\n"
        + packages.group()
        + "\n\\begin{document}\n\\input{table}\n\\input{nasty}\n"
        + "\\ref{tab:few-shot} \\ref{tab:nasty-worse}\n\\end{document}\n"
    )
    command = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "paper"]
    for _ in range(2):  # the second run resolves \ref
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:]
    assert "undefined" not in done.stdout
    assert "Missing character" not in (tmp_path / "paper.log").read_text(errors="replace")
