"""The page of two result sets: the words of `bench check`, marks, and images that moved."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from bench.analysis.movers import movers
from bench.analysis.stored_predictions import NoSides, StoredPredictions
from bench.data.at_hand import AtHand
from bench.store import Store
from tests.conftest import Bench, Ended, run_cli
from tests.fake_results import EVIL, FakeSweep, maker, task
from tests.reports.browser import DESK, PHONE, needs_chromium, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def compared(folder: Path, *more: object) -> tuple[Ended, str]:
    ended = run_cli("compare", folder / "a", folder / "b", "--html", folder / "page", *more)
    page = folder / "page" / "index.html"
    return ended, page.read_text(encoding="utf-8") if page.exists() else ""


def test_the_page_says_what_check_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IQA_DATA", raising=False)  # real images would have thumbnails
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", noise={"good": 1.5, "fair": 1.0}).write()
    ended, page = compared(tmp_path)
    assert ended.returncode == 0, ended.text
    checked = run_cli("check", tmp_path / "b", "--against", tmp_path / "a")
    summary = checked.stdout.strip().splitlines()[-4]
    assert summary in page
    rows = re.findall(r'<tr><th scope="row">(\w+)</th><td>(\w+)</td>.*?<td>(\w+)', page, re.DOTALL)
    assert rows == [
        ("good", "livec", "WORSE"),
        ("good", "koniq10k", "WORSE"),
        ("fair", "livec", "ok"),
        ("fair", "koniq10k", "ok"),
    ]
    assert page.count("beyond chance, worse") == 2
    assert "Images that moved most" in page
    assert "no thumbnails" in page
    assert "http" not in page.replace("http-equiv", "")


def test_images_that_moved_are_found_by_hand(tmp_path: Path) -> None:
    """Four images and two splits; the second set puts one image right and another one wrong."""
    label = [1.0, 2.0, 3.0, 4.0]
    before = {0: [2.0, 1.0, 3.0, 4.0], 1: [2.0, 1.0, 3.0, 4.0]}
    now = {0: [10.0, 20.0, 30.0, 40.0], 1: [10.0, 20.0, 40.0, 30.0]}
    for name, predictions in (("a", before), ("b", now)):
        (tmp_path / name).mkdir()
        for split, values in predictions.items():
            names = [f"{i}.png" for i in range(4)]
            table = pd.DataFrame({"image": names, "quality": label, "prediction": values})
            table.to_parquet(tmp_path / name / f"{split}.parquet")
    sides = [StoredPredictions(Store(tmp_path / name), AtHand()) for name in ("a", "b")]
    found = movers(*sides, [("0.json", "0.json"), ("1.json", "1.json")], "last")
    changes = {one.image: one.change for one in found}
    # A place is worth 25 points: two images came nearer by one in both splits, two left in one.
    assert changes == {"0.png": -25.0, "1.png": -25.0, "2.png": 12.5, "3.png": 12.5}
    assert [one.image for one in found[:2]] == ["0.png", "1.png"]
    first = found[0]
    assert (first.label, first.before, first.now, first.splits) == (12.5, 37.5, 12.5, 2)
    assert first.quality == 1.0


def test_predictions_that_are_not_there_are_named(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for path in (tmp_path / "b").rglob("*.parquet"):
        path.unlink()
    ended, page = compared(tmp_path)
    assert ended.returncode == 0, ended.text
    assert "no images of good on livec" in page
    sides = [StoredPredictions(Store(tmp_path / name), AtHand()) for name in ("a", "b")]
    with pytest.raises(NoSides):
        movers(*sides, [], "last")


def test_a_baseline_file_will_do_for_the_first_set(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b").write()
    asked = ("--results", tmp_path / "a", "--folder", tmp_path)
    assert run_cli("baseline", "save", "main", *asked).returncode == 0
    page = tmp_path / "page"
    ended = run_cli("compare", tmp_path / "main.json", tmp_path / "b", "--html", page)
    assert ended.returncode == 0, ended.text
    assert "is a baseline file without predictions" in (page / "index.html").read_text()


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", noise={"other": 1.0}, datasets=("csiq",)).write()
    ended, page = compared(tmp_path)
    assert (ended.returncode, "INCOMPLETE" in page) == (3, True)
    ended = run_cli("compare", tmp_path / "a", "--html", tmp_path / "x")
    assert (ended.returncode, "give both" in ended.stderr) == (2, True)
    ended = run_cli("compare", tmp_path / "a", tmp_path / "b", "--p1401")
    assert (ended.returncode, "within one results folder" in ended.stderr) == (2, True)


@pytest.fixture
def evil_pair(tmp_path: Path) -> Path:
    """Two sets whose names are scripts."""
    rng = np.random.default_rng(0)
    for name, shift in (("a", 0.0), ("b", -0.2)):
        made = maker(tmp_path / name, name=EVIL)
        made.cell(EVIL, task(EVIL), [0.8 + shift + x for x in rng.normal(0, 0.01, 6)])
        made.save()
    return tmp_path


def test_names_are_text(evil_pair: Path) -> None:
    ended, page = compared(evil_pair)
    assert ended.returncode == 0, ended.text
    assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_thumbnails_are_there_where_the_images_are(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 2\nmethods: [toy_linear]\n")
    assert bench("run", path, "--results", "a", "--no-report").returncode == 0
    shutil.copytree(bench.folder / "a", bench.folder / "b")
    for predictions in (bench.folder / "b").rglob("records/**/*.parquet"):
        table = pd.read_parquet(predictions)
        columns = [name for name in table if name.startswith("prediction")]
        table.assign(**{name: -table[name] for name in columns}).to_parquet(predictions)
    ended = bench("compare", "a", "b", "--html", "page", "--data-root", bench.data)
    assert ended.returncode == 0, ended.text
    page = (bench.folder / "page" / "index.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'src="(thumbnails/\w+\.webp)"', page))
    assert shown
    there = {f"thumbnails/{p.name}" for p in (bench.folder / "page" / "thumbnails").iterdir()}
    assert shown == there


@needs_chromium
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_everybody_can_read_it(tmp_path: Path, chromium: Browser, width: int) -> None:
    FakeSweep(tmp_path / "a").write()
    FakeSweep(tmp_path / "b", noise={"good": 1.5, "fair": 1.0}).write()
    compared(tmp_path)
    with visit(chromium, tmp_path / "page" / "index.html", "dark", width) as seen:
        assert seen.run("return document.documentElement.scrollWidth;") <= width
        assert seen.errors == []
        assert seen.leaves(tmp_path / "page") == []
        assert seen.violations() == []
        assert seen.width_with_long_words() <= width
