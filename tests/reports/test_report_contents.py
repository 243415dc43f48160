"""What the showcase's report holds."""

from __future__ import annotations

import re

import pandas as pd

from bench.analysis.summary import COLUMNS
from bench.reports.render import Rendered


def test_the_csv_has_the_promised_columns(report: Rendered) -> None:
    table = pd.read_csv(report.out / "summary.csv")
    wanted = ["protocol", "method", "dataset", "labels", "metric"]
    wanted += ["median", "low", "high", "n", "expected"]
    assert set(wanted) <= set(table.columns)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 4 * 6 * 2
    assert (table["n"] < table["expected"]).sum() == 2


def test_the_page_says_it_without_colour(report: Rendered) -> None:
    text = (report.out / "comparisons.html").read_text(encoding="utf-8")
    rows = re.findall(r'<td data-v="[^"]+" class="better">(.*?)</td>', text)
    assert rows
    assert all("▲" in row and "significantly better" in row and "p " in row for row in rows)
    assert text.count('class="better"') == text.count('class="worse"')
    assert "PromptIQA (5 of 6 runs have a value)" in text


def test_ranks_are_a_figure_too(report: Rendered) -> None:
    names = {path.name for path in report.paths}
    assert {"few_shot-ranks.png", "few_shot-ranks.pdf"} <= names
