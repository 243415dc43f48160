"""The noise ceiling where a reader meets it: the summary, a line in charts, words below tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.analysis.ceilings import Ceilings
from bench.analysis.results import load
from bench.data.at_hand import AtHand
from bench.reports.bounds import in_words
from bench.reports.figures import lines
from bench.reports.figures.sheet import FigureData
from bench.stats.ceiling import from_spread
from tests.fake_results import FakeResults, maker, task
from tests.reports.test_figure_data import axes_of, xy

SCORES = np.random.default_rng(0).normal(3, 0.7, 200).clip(1, 5)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IQA_DATA", raising=False)


def _database(folder: Path, raters: int) -> Path:
    """A data root with the database `mine`, whose scores are rounded to four places."""
    folder.mkdir()
    table = pd.DataFrame(
        {"image": [f"{i:03}.png" for i in range(200)], "score": SCORES.round(4), "std": 0.8}
    )
    table.assign(votes=raters).to_csv(folder / "scores.csv", index=False)
    (folder / "iqa-data.yaml").write_text(
        "databases:\n  mine: {root: ., table: scores.csv, range: [1, 5], spread: std, "
        "raters: votes}\n"
    )
    return folder


def _made(root: Path) -> FakeResults:
    made = maker(root, metrics=("srcc", "plcc", "rmse"))
    for labels in (50, 100):
        made.cell("a", task("mine", labels=labels), [0.8, 0.7, 0.6, 0.7])
    made.cell("a", task("livec", labels=50), [0.8])
    made.save()
    return made


def test_summary_charts_and_words_have_the_same_ceiling(tmp_path: Path) -> None:
    root = _database(tmp_path / "data", raters=10)
    results = load(_made(tmp_path / "r").store)
    summary = Ceilings(AtHand([root])).beside(results.summary)
    expected = from_spread(SCORES.round(4), np.full(200, 0.8), np.full(200, 10))
    row = summary[(summary["test"] == "mine") & (summary["metric"] == "srcc")].iloc[0]
    assert (row["ceiling"], row["ceiling_low"]) == (expected.srcc, expected.srcc_low)
    assert 0.9 < row["ceiling"] < 0.97
    plcc = summary[(summary["test"] == "mine") & (summary["metric"] == "plcc")].iloc[0]
    assert plcc["ceiling"] == expected.plcc
    assert summary[summary["metric"] == "rmse"]["ceiling"].isna().all()

    sheet = lines.few_shot(FigureData(results, results.protocols[0], summary, None))
    axes = next(axes for axes in axes_of(sheet) if axes.get_title().startswith("mine"))
    assert list(xy(axes, 1)[1]) == [row["ceiling"]] * 2
    assert lines.CEILING in sheet.caption

    words = in_words(summary)
    assert any(
        f"(from spread and number of ratings): srcc {row['ceiling']:.3f}" in w for w in words
    )
    assert any(one.startswith("no noise ceiling of livec: livec is not under") for one in words)


def test_one_rating_an_image_has_none(tmp_path: Path) -> None:
    root = _database(tmp_path / "data", raters=1)
    results = load(_made(tmp_path / "r").store)
    summary = Ceilings(AtHand([root])).beside(results.summary)
    assert summary["ceiling"].isna().all()
    note = "no noise ceiling of mine: 200 images have fewer than two ratings, or an unknown number"
    assert note in in_words(summary)
    sheet = lines.few_shot(FigureData(results, results.protocols[0], summary, None))
    assert lines.CEILING not in sheet.caption
