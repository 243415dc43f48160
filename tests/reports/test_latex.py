"""LaTeX tables: what they mark, what they escape, and that they compile."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from reports import latex
from reports.latex_text import escape, label
from reports.render import Rendered
from reports.summary import summarise
from tests.reports.stores import maker, task

PDFLATEX = shutil.which("pdflatex")
NASTY = r"\input{x} $a_b$ #1 & 50% ~^ <b> | λ→像 é"


def lines(summary: pd.DataFrame, **style: object) -> dict[str, str]:
    """Row title -> the row's LaTeX."""
    text = latex.table(summary, "Title", "name", latex.Style(**style))
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
    return summarise(made.save())


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
    summary = summarise(made.save())
    assert set(lines(summary)) == {"a (last)", r"a $^\ddagger$"}
    assert r"$^\ddagger$Epoch chosen on the test set" in latex.table(summary, "t", "x")
    alone = summary[summary["selection"] == "best_test"]
    assert r"0.650$^\ddagger$" in lines(alone, rows=("label",))["a"]


def test_headers_span_budgets_and_metrics(tmp_path: Path) -> None:
    made = maker(tmp_path, metrics=("srcc", "plcc"))
    for dataset in ("livec", "csiq"):
        for labels in (50, 100):
            made.cell("a", task(dataset, labels), [0.5, 0.6])
    text = latex.table(summarise(made.save()), "t", "x")
    assert r"Method & \multicolumn{4}{c}{livec} & \multicolumn{4}{c}{csiq} \\" in text
    assert r"Labels & \multicolumn{2}{c}{50} & \multicolumn{2}{c}{100}" in text
    assert text.count("SRCC & PLCC") == 4
    assert r"\cmidrule(lr){2-5}\cmidrule(lr){6-9}" in text
    assert r"\begin{table*}" in text


def test_training_ratios_are_called_so(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for ratio in (0.2, 0.8):
        made.cell("a", task(labels=None, ratio=ratio), [0.5, 0.6])
    assert r"Training ratio & 20\% & 80\%" in latex.table(summarise(made.save()), "t", "x")


def test_published_rows_are_grey_and_intervals_on_request(marked: pd.DataFrame) -> None:
    printed = latex.Published("GRMP", {("livec", "50", "srcc"): "0.836"})
    rows = lines(marked, published=[printed], interval=True)
    assert r"\textcolor{gray}{GRMP} & \textcolor{gray}{0.836}" in rows[r"\textcolor{gray}{GRMP}"]
    assert r"{\scriptsize [0.800, 0.800]}" in rows["a"]


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


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
def test_tables_compile(report: Rendered, tmp_path: Path) -> None:
    made = maker(tmp_path / "nasty", title=NASTY, name="nasty & worse")
    made.cell(NASTY, task(NASTY), [0.5, 0.6])
    made.cell("b", task(NASTY), [None, "Error: x"])
    nasty = latex.document(summarise(made.save()), [made.protocol], latex.Style(interval=True))
    (tmp_path / "nasty.tex").write_text(nasty)
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
