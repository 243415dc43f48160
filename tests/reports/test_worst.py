"""The worst errors of a run: which they are, and their thumbnails."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.analysis.results import load
from bench.model.records import Record
from bench.reports.render import Rendered, render
from bench.reports.worst import THUMBNAIL, worst
from bench.store import Store, write_parquet
from tests.fake_results import maker, task

N = 80


def store(root: Path, prediction: np.ndarray, dataset: str = "livec") -> tuple[Store, Record]:
    made = maker(root)
    run = made.cell("a", task(dataset), [0.5])[0]
    found = made.save()
    table = pd.DataFrame(
        {
            "image": [f"img{index:03}.png" for index in range(N)],
            "quality": np.linspace(1, 5, N),
            "prediction": prediction,
        }
    )
    write_parquet(table, found.path(run.spec).with_suffix(".parquet"))
    return found, run


def wrong(*places: int) -> np.ndarray:
    """Predictions that order all images rightly but these, each missed by less than the last."""
    values = np.linspace(0, 1, N)
    for step, place in enumerate(places):
        values[place] = 1 - values[place] + 0.1 * step * np.sign(values[place] - 0.5)
    return values


def test_the_worst_come_first(tmp_path: Path) -> None:
    found, run = store(tmp_path, wrong(2, 70))
    missed = worst(load(found), run, 2)
    assert [miss.image for miss in missed] == ["img002.png", "img070.png"]
    assert missed[0].quality == pytest.approx(1 + 4 * 2 / (N - 1))
    assert missed[0].score == pytest.approx(1 - 2 / (N - 1))
    # On the scale of the labels, where the score alone says nothing.
    assert missed[0].mapped is not None
    assert 4 < missed[0].mapped < 5.2


def test_without_a_logistic_ranks_decide(tmp_path: Path) -> None:
    found, run = store(tmp_path, np.zeros(N))
    missed = worst(load(found), run, 3)
    assert [miss.image for miss in missed] == ["img000.png", "img079.png", "img001.png"]
    assert {miss.mapped for miss in missed} == {None}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A report on a database of the user's own, with one of its images gone."""
    root = tmp_path_factory.mktemp("worst")
    folder = root / "data" / "holiday"
    folder.mkdir(parents=True)
    lines = ["image,score"]
    for index in range(N):
        name = f"img{index:03}.png"
        Image.new("RGB", (400, 300), (3 * index, 0, 0)).save(folder / name)
        lines.append(f"{name},{1 + index % 5}")
    (folder / "img070.png").unlink()
    (folder / "scores.csv").write_text("\n".join(lines))
    (root / "data" / "iqa-data.yaml").write_text(
        "databases: {holiday: {root: holiday, table: scores.csv, range: [1, 5]}}"
    )
    found, _ = store(root / "store", wrong(2, 70), "holiday")
    return render(found, root / "out", [root / "data"])


@pytest.mark.parametrize("page", ["methods/a.html", "datasets/holiday.html"])
def test_thumbnails_are_small_files_of_the_report(shown: Rendered, page: str) -> None:
    text = (shown.out / page).read_text(encoding="utf-8")
    images = re.findall(r'<img src="\.\./(thumbnails/[^"]+)" alt="([^"]+)"', text)
    assert images[0][1] == "img002.png"
    for name, _ in images:
        with Image.open(shown.out / name) as image:
            assert image.size == (THUMBNAIL.size, THUMBNAIL.size * 3 // 4)
        assert shown.out / name in shown.paths
    with Image.open(shown.out / images[0][0]) as image:
        assert image.convert("RGB").getpixel((5, 5))[0] == pytest.approx(6, abs=4)
    assert "MOS 1.10" in text
    assert re.search(r"score 0\.97 → 4\.\d\d", text)


def test_an_image_that_is_gone_is_named(shown: Rendered) -> None:
    text = (shown.out / "methods" / "a.html").read_text(encoding="utf-8")
    assert "<code>img070.png</code>" in text
    assert sum("no thumbnail of img070.png" in note for note in shown.notes) == 1


def test_without_images_errors_are_named_and_the_reason_is_given(tmp_path: Path) -> None:
    found, _ = store(tmp_path / "store", wrong(2))
    rendered = render(found, tmp_path / "out", [tmp_path])
    text = (rendered.out / "methods" / "a.html").read_text(encoding="utf-8")
    assert "<code>img002.png</code>" in text
    assert "<img" not in text
    reasons = [note for note in rendered.notes if "no thumbnails of the worst errors" in note]
    assert len(reasons) == 1
    assert reasons[0].startswith("livec: ")
    assert "--data-root" in reasons[0]


def test_labels_that_fall_with_quality_are_shown_as_they_are(tmp_path: Path) -> None:
    found, _ = store(tmp_path / "store", wrong(2), "live")
    text = (render(found, tmp_path / "out").out / "methods" / "a.html").read_text(encoding="utf-8")
    assert "DMOS −1.10" in text
