"""`bench gmad` and the report's gMAD pages, on small results folders with images on disk."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bench.analysis.gmad import compete
from bench.analysis.results import load
from bench.reports.gmad.report import ReportContests
from bench.reports.render import render
from bench.store import Store
from tests.conftest import run_cli
from tests.fake_results import maker, task
from tests.reports.browser import DESK, PHONE, Scheme, needs_chromium, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the 80 images that stores of `maker` predict."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "holiday"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["image,score"]
    for index in range(80):
        pixels = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"img{index:03}.png")
        lines.append(f"img{index:03}.png,{1 + index % 5}")
    (folder / "scores.csv").write_text("\n".join(lines))
    (root / "iqa-data.yaml").write_text(
        "databases: {holiday: {root: holiday, table: scores.csv, range: [1, 5]}}"
    )
    return root


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three methods on one pool, two budgets; the third has not run at the second budget."""
    root = tmp_path_factory.mktemp("results")
    made = maker(root, gmad={"levels": 4, "pairs": 2})
    for labels in (50, 100):
        made.cell(EVIL, task("holiday", labels), [0.9, 0.8], method="sharp")
        made.cell("blunt", task("holiday", labels), [0.35, 0.3])
    made.cell("late", task("holiday", 50), [0.6, 0.6])
    made.cell("late", task("holiday", 100), ["RuntimeError: broken"], expected=2)
    made.save()
    return root


@pytest.fixture(scope="module")
def shown(results: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `bench gmad` wrote about two of them."""
    out = tmp_path_factory.mktemp("gmad")
    roles = ("--attacker", "sharp", "--defender", "blunt")
    ended = run_cli("gmad", results, *roles, "--budget", "100", "--data-root", data, "--out", out)
    assert ended.returncode == 0, ended.text
    for name in ("gmad.json", "index.html"):
        assert str(out / name) in ended.text
    return out


def test_the_pairs_are_those_of_the_stored_predictions(results: Path, shown: Path) -> None:
    found = json.loads((shown / "gmad.json").read_text())
    assert (found["test"], found["budget"], found["repeat"]) == ("holiday", "100", 0)
    assert (found["levels"], found["pairs_per_level"]) == (4, 2)  # the protocol's
    tables = {
        record.spec.method: Store(results).predictions(record.spec)
        for record in Store(results).records()
        if record.spec.task.labels == 100 and record.spec.repeat == 0 and record.status == "done"
    }
    scores = {EVIL: tables["sharp"]["prediction"], "blunt": tables["blunt"]["prediction"]}
    matches = compete(scores, levels=4, top=2)
    roles = [(match["attacker"], match["defender"]) for match in found["matches"]]
    assert roles == [(EVIL, "blunt"), ("blunt", EVIL)]
    names = tables["sharp"]["image"]
    for wanted, match in zip(matches, found["matches"], strict=True):
        pairs = [pair for level in match["levels"] for pair in level["pairs"]]
        assert len(pairs) == len(wanted.pairs) == 8
        for one, other in zip(wanted.pairs, pairs, strict=True):
            assert other["best"]["image"] == names[one.best]
            assert other["worst"]["image"] == names[one.worst]
            assert other["gap"] == one.gap
            quality = tables["sharp"]["quality"]
            assert other["difference"] == quality[one.best] - quality[one.worst]
    (sharp, blunt) = found["tally"]
    assert sharp["attacks"] == sharp["defences"] == blunt["attacks"] == 8
    # The better method finds more mistakes of the worse one than the other way round.
    assert sharp["attacks_right"] > blunt["attacks_right"]
    held = [
        abs(pair["difference"]) <= found["tolerance"]
        for level in found["matches"][1]["levels"]
        for pair in level["pairs"]
    ]
    assert sharp["defences_right"] == sum(held)


def test_sheets_and_pages_need_nothing_from_outside(shown: Path) -> None:
    names = sorted(path.name.partition("~")[0] for path in shown.iterdir())
    pair = "gmad--script-alert-1-script--blunt"
    assert names == ["assets", pair, pair, "gmad.json", "images", "index.html"]
    (picture,) = shown.glob(f"{pair}~*.png")
    with Image.open(picture) as sheet:
        assert sheet.width > 1000
    text = (shown / "index.html").read_text()
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    targets = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert not [target for target in targets if ":" in target or target.startswith("/")]
    assert all((shown / target).is_file() for target in targets)
    shots = re.findall(r'src="(images/[^"]+)"', text)
    assert len(shots) == 2 * 2 * 2 * 2  # roles, ends, pairs a level, images a pair
    with Image.open(shown / shots[0]) as image:
        assert image.size == (16, 12)


def test_all_levels_and_other_settings(results: Path, data: Path, tmp_path: Path) -> None:
    ended = run_cli("gmad", results, "--budget", "50", "--levels", 3, "--pairs", 1, "--all-levels",
                  "--spacing", "uniform", "--repeat", 1, "--one-way", "--attacker", "late",
                  "--tolerance", 0.5, "--data-root", data, "--out", tmp_path)  # fmt: skip
    assert ended.returncode == 0, ended.text
    found = json.loads((tmp_path / "gmad.json").read_text())
    roles = [(match["attacker"], match["defender"]) for match in found["matches"]]
    assert roles == [("late", EVIL), ("late", "blunt")]
    assert (found["levels"], found["spacing"], found["repeat"]) == (3, "uniform", 1)
    assert found["tolerance"] == 0.5
    shown = sum(len(level["pairs"]) for match in found["matches"] for level in match["levels"])
    assert (tmp_path / "index.html").read_text().count("<article") == shown


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ([], 2, "several pools fit"),
        (["--dataset", "kadid"], 2, "no such pool of images; there are"),
        (["--budget", "50", "--attacker", "blnt"], 2, "Did you mean 'blunt'"),
        (["--budget", "50", "--attacker", "grmp"], 2, "bench run few_shot --datasets holiday"),
        (["--budget", "50", "--attacker", "late", "--defender", "late"], 2, "needs two methods"),
        (["--budget", "100", "--attacker", "late"], 4, "repeat 0 failed (RuntimeError: broken)"),
        (["--budget", "50", "--repeat", "2"], 2, "has repeats 0 to 1"),
        (["--budget", "50", "--spacing", "quantil"], 2, "Did you mean 'quantile'"),
        (["--budget", "50", "--tolerance", "-1"], 2, "must be a finite number of at least 0"),
    ],
)
def test_what_cannot_be_done_is_said(
    results: Path, arguments: list[str], code: int, expected: str
) -> None:
    ended = run_cli("gmad", results, *arguments)
    assert (ended.returncode, expected in ended.text) == (code, True), ended.text


def test_without_images_there_is_json_and_a_reason(results: Path, tmp_path: Path) -> None:
    ended = run_cli("gmad", results, "--budget", "50", "--data-root", tmp_path, "--out", tmp_path)
    assert ended.returncode == 0
    assert "left out: page and sheets of holiday: its images are not on this machine" in ended.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gmad.json"]


def test_the_report_links_to_its_pairs(results: Path, data: Path, tmp_path: Path) -> None:
    rendered = render(Store(results), tmp_path / "report", [data])
    index = (tmp_path / "report" / "index.html").read_text()
    (href,) = re.findall(r'href="(gmad/[^"]+)"', index)
    page = (tmp_path / "report" / href).read_text()
    assert "gMAD on holiday" in page
    assert "<b>100</b> labels" in page  # the largest budget
    assert 'href="../index.html"' in page
    targets = re.findall(r'(?:src|href)="([^"#]+)"', page)
    place = (tmp_path / "report" / href).parent
    assert [one for one in targets if not place.joinpath(one).is_file()] == []
    # Only methods that have run take part; the protocol asks for gMAD, so there is a sheet too.
    assert "late" not in page
    sheets = [path for path in rendered.paths if "gmad-" in path.name or "-blunt" in path.name]
    assert {path.suffix for path in sheets} == {".png", ".pdf"}
    assert all(path.is_file() for path in sheets)


def test_a_report_says_why_it_has_no_pairs(results: Path, tmp_path: Path) -> None:
    gallery = ReportContests(load(Store(results)), tmp_path / "report", tmp_path)
    gallery.draw()
    assert gallery.pages == gallery.paths == []
    (note,) = gallery.notes
    assert note.startswith("few_shot: gMAD on holiday, 100: its images are not on this machine")
    assert not (tmp_path / "report").exists()


SCRIPT = """
const press = (key) => document.querySelector("dialog").dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true }));
const form = document.querySelector(".filters");
const change = () => form.dispatchEvent(new Event("input", { bubbles: true }));
const visible = () => document.querySelectorAll(".match:not([hidden]) .pair").length;
const out = { all: visible(), text: document.body.textContent.includes("<script>alert(1)") };
form.elements.attacker.value = "blunt"; change();
out.filtered = visible();
out.found = form.querySelector(".found").textContent;
document.querySelector(".match:not([hidden]) .look").click();
const dialog = document.querySelector("dialog");
out.open = dialog.open;
const image = () => dialog.querySelector("img").getAttribute("src");
const first = image();
press("ArrowRight"); out.moved = image() !== first;
press("ArrowLeft"); out.back = image() === first;
dialog.querySelector("form button").click();
out.closed = !dialog.open;
form.elements.blind.checked = true; change();
const shown = (selector) => Array.from(document.querySelectorAll(selector)).filter(
  (item) => getComputedStyle(item).visibility === "visible").length;
out.told = shown(".told");
document.querySelector(".theme").click();
out.theme = document.documentElement.dataset.theme;
out.wide = document.documentElement.scrollWidth > innerWidth;
return out;
"""


@needs_chromium
@pytest.mark.parametrize(("scheme", "width"), [("light", DESK), ("dark", PHONE)])
def test_everybody_can_read_it(shown: Path, chromium: Browser, scheme: Scheme, width: int) -> None:
    with visit(chromium, shown / "index.html", scheme, width) as seen:
        assert seen.run("return document.documentElement.scrollWidth;") <= width
        assert seen.violations() == []
        assert seen.width_with_long_words() <= width


@needs_chromium
def test_the_page_works_in_a_browser(shown: Path, chromium: Browser) -> None:
    with visit(chromium, shown / "index.html") as seen:
        found = seen.run(SCRIPT)
        assert seen.errors == []
        assert seen.leaves(shown) == []
    assert found == {
        "all": 8,
        "text": True,
        "filtered": 4,
        "found": "4 pairs",
        "open": True,
        "moved": True,
        "back": True,
        "closed": True,
        "told": 0,
        "theme": "light",
        "wide": False,
    }
