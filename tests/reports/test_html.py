"""The pages: complete, self-contained, escaped, and alive without a network."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from reports.html.site import Site
from reports.html.svg import ticks
from reports.render import Rendered, render
from reports.results import load
from reports.summary import table
from tests.reports.browser import CHROMIUM, evaluate
from tests.reports.stores import maker, task

EVIL = "<script>window.hacked=1</script>"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Page(HTMLParser):
    """Tags, links and headings of a page."""

    VOID = frozenset({"meta", "link", "input", "img", "br", "path"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        self.links += [str(values[key]) for key in ("href", "src") if key in values]
        self.ids += [str(values["id"])] if "id" in values else []
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag, f"{self.path.name}: </{tag}> closes nothing"


def pages(report: Rendered) -> list[Page]:
    return [Page(path) for path in report.paths if path.suffix == ".html"]


def test_a_page_for_the_board_every_method_and_every_dataset(report: Rendered) -> None:
    names = {path.relative_to(report.out).as_posix() for path in report.paths}
    assert {
        "index.html",
        "summary.csv",
        "table.tex",
        "methods/grmp-iqa.html",
        "methods/piqe.html",
        "datasets/demo_authentic.html",
        "datasets/demo_synthetic.html",
        "assets/style.css",
        "assets/report.js",
    } <= names
    assert all(path.is_file() for path in report.paths)


def test_markup_is_well_formed_and_headings_skip_no_level(report: Rendered) -> None:
    for page in pages(report):
        assert page.open == [], page.path.name
        assert len(page.ids) == len(set(page.ids)), page.path.name
        assert page.headings[0] == "h1"
        assert page.headings.count("h1") == 1
        levels = [int(name[1]) for name in page.headings]
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), page.path.name


def test_every_link_leads_to_something_in_the_folder(report: Rendered) -> None:
    known = {page.path.resolve(): set(page.ids) for page in pages(report)}
    for page in pages(report):
        for link in page.links:
            assert not re.match(r"[a-z]+:|//", link), f"{page.path.name} leaves the folder: {link}"
            file, _, anchor = link.partition("#")
            target = (page.path.parent / file).resolve() if file else page.path.resolve()
            assert target.is_file(), link
            assert target.is_relative_to(report.out.resolve())
            assert not anchor or anchor in known[target], link


def test_nothing_written_loads_from_elsewhere(report: Rendered) -> None:
    loads = re.compile(
        r"""(?:src|href|srcset|action)\s*=\s*["']?\s*(?:[a-z]+:)?//|url\(|@import|fetch\("""
    )
    for path in report.paths:
        if path.suffix in (".html", ".css", ".js"):
            text = path.read_text(encoding="utf-8")
            assert not loads.search(text), path.name
            assert "http://" not in text, path.name
            assert "https://" not in text, path.name


def test_the_folder_is_small(report: Rendered) -> None:
    kinds = (".html", ".css", ".js")
    size = sum(path.stat().st_size for path in report.paths if path.suffix in kinds)
    assert size < 300_000


def test_the_board_shows_median_interval_and_counts(report: Rendered) -> None:
    text = (report.out / "index.html").read_text(encoding="utf-8")
    row = report.summary.iloc[0]
    shown = re.sub(r"<[^>]+>", "", text)
    assert f"{row['median']:.3f}" in shown
    assert f"[{row['low']:.3f}, {row['high']:.3f}] 6/6" in shown
    assert 'class="part edge"' not in text
    assert re.search(r'<td data-v="" class="part">.*?5/6', text, re.S)
    assert "Rendered demo data, tiny backbone." in shown
    assert "RuntimeError: the loss is not finite after epoch 7" in shown
    assert "Selection gap" in shown


def test_method_pages_tell_what_ran(report: Rendered) -> None:
    text = (report.out / "methods" / "promptiqa.html").read_text(encoding="utf-8")
    for wanted in ("0f3c2a9d51", "Python 3.12.3", "random, seed 0", "minmax_train", "epochs"):
        assert wanted in text
    assert text.count("Prediction against MOS</figcaption>") == 6
    assert "failed: RuntimeError" in text
    assert text.count("<details><summary>What ran: 6 runs") == 6


def test_real_results_carry_no_demo_banner(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("a", task(), [0.5, 0.6])
    out = render(made.save(), tmp_path / "out").out
    assert "banner" not in (out / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Every text that comes from data is a script."""
    root = tmp_path_factory.mktemp("evil")
    made = maker(root / "store", name=EVIL, title=EVIL, description=EVIL, metrics=("srcc", "plcc"))
    changes: dict[str, Any] = {"notes": [EVIL], "image_policy": EVIL, "trained_on": [EVIL]}
    for label in (EVIL, EVIL + '"&', "a/../b"):
        made.cell(label, task(EVIL), [0.5, 0.6, EVIL], settings={EVIL: EVIL}, **changes)
        made.cell(label, task(EVIL, 100), [0.6, None, 0.7], settings={EVIL: EVIL}, **changes)
    return render(made.save(), root / "out")


def test_names_from_data_are_text(evil: Rendered) -> None:
    for page in pages(evil):
        scripts = [attributes for tag, attributes in page.tags if tag == "script"]
        assert len(scripts) == 1, page.path.name
        assert "src" in scripts[0]
        text = page.path.read_text(encoding="utf-8")
        assert "<script>" not in text
        assert "&lt;script&gt;" in text


def test_names_that_look_alike_have_pages_of_their_own(tmp_path: Path) -> None:
    made = maker(tmp_path)
    for label in ("A b", "a?b", "a-b"):
        made.cell(label, task(), [0.5])
    results = load(made.save())
    files = list(Site.of(results, table(results), [], []).methods.values())
    assert files == ["methods/a-b.html", "methods/a-b-2.html", "methods/a-b-3.html"]


def test_unreadable_predictions_are_named_and_the_rest_is_there(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    first, _ = made.cell("a", task(), [0.5, 0.6])
    store = made.save()
    store.path(first.spec).with_suffix(".parquet").write_bytes(b"no parquet")
    rendered = render(store, tmp_path / "out")
    assert any("no scatter" in note and "cannot be read" in note for note in rendered.notes)
    assert "no scatter" in (rendered.out / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 2.0), (0.7111, 0.7112), (1e3, 9e5)])
def test_ticks_lie_within_and_are_few(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


@needs_chromium
def test_sorting_filtering_and_no_errors(report: Rendered, tmp_path: Path) -> None:
    script = """
    const board = () => [...document.querySelectorAll("[data-metric]")].find((e) => !e.hidden);
    const names = () => [...board().querySelectorAll("tbody tr")].filter((r) => !r.hidden)
      .map((r) => r.cells[0].textContent.trim());
    const heads = () => [...board().querySelectorAll("thead tr:last-child th")];
    const click = (i) => { heads()[i].querySelector("button").click();
      return [names(), heads().map((h) => h.getAttribute("aria-sort"))]; };
    const type = (selector, value) => { const field = document.querySelector(selector);
      field.value = value; field.dispatchEvent(new Event("input", { bubbles: true })); };
    const out = {};
    out.down = click(6); out.up = click(6); out.name = click(0);
    type("[data-filter=method]", "iqa"); out.filtered = names();
    type("[data-filter=method]", "");
    type("[data-filter=dataset]", "demo_synthetic");
    out.columns = heads().filter((h) => !h.hidden).length;
    out.cells = [...board().querySelector("tbody tr").cells].filter((c) => !c.hidden).length;
    type("[data-filter=dataset]", "");
    const plcc = document.querySelector("input[value=plcc]"); plcc.checked = true;
    plcc.dispatchEvent(new Event("input", { bubbles: true }));
    out.metric = board().dataset.metric;
    out.boards = [...document.querySelectorAll("[data-metric]")].filter((e) => !e.hidden).length;
    const theme = document.querySelector("button.theme"); const seen = [];
    const now = () => document.documentElement.dataset.theme || "auto";
    for (let i = 0; i < 3; i++) { theme.click(); seen.push(now()); }
    out.themes = seen;
    out.requests = performance.getEntriesByType("resource").map((e) => e.name);
    return out;
    """
    found, errors = evaluate(report.out / "index.html", script, tmp_path)
    assert errors == []
    # Under 200 labels of the second set PromptIQA is incomplete: last whichever way one sorts.
    assert found["down"][0] == ["GRMP-IQA", "CLIP zero-shot", "PIQE", "PromptIQA"]
    assert found["up"][0] == ["PIQE", "CLIP zero-shot", "GRMP-IQA", "PromptIQA"]
    assert found["down"][1] == ["none"] * 6 + ["descending"]
    assert found["up"][1][6] == "ascending"
    assert found["name"][0] == ["CLIP zero-shot", "GRMP-IQA", "PIQE", "PromptIQA"]
    assert found["name"][1] == ["ascending"] + ["none"] * 6
    assert found["filtered"] == ["GRMP-IQA", "PromptIQA"]
    assert (found["columns"], found["cells"]) == (4, 4)
    assert (found["metric"], found["boards"]) == ("plcc", 1)
    assert sorted(found["themes"]) == ["auto", "dark", "light"]
    assert all(name.startswith("file:") for name in found["requests"])


def in_frames(report: Rendered, script: str, folder: Path) -> tuple[Any, list[str]]:
    """What `script` returns on a page that shows every page of the report as on a phone."""
    frames = "".join(
        f'<iframe width="360" height="700" src="{page.path.relative_to(report.out)}"></iframe>'
        for page in pages(report)
    )
    page = report.out / "frames.html"
    page.write_text(f"<html><head></head><body>{frames}</body></html>")
    try:
        return evaluate(page, script, folder)
    finally:
        page.unlink()


@needs_chromium
def test_a_phone_scrolls_tables_and_not_the_page(report: Rendered, tmp_path: Path) -> None:
    script = """
    const widest = {};
    document.querySelectorAll("iframe").forEach((frame) => {
      widest[frame.src.split("/").pop()] = frame.contentDocument.documentElement.scrollWidth;
    });
    return widest;
    """
    found, errors = in_frames(report, script, tmp_path)
    assert errors == []
    assert len(found) == 7
    assert all(width <= 360 for width in found.values()), found


@needs_chromium
def test_scripts_in_names_do_not_run(evil: Rendered, tmp_path: Path) -> None:
    script = """return [...document.querySelectorAll("iframe")].map((frame) =>
      [frame.contentWindow.hacked || 0, frame.contentDocument.querySelector("h1").textContent]);
    """
    found, errors = in_frames(evil, script, tmp_path)
    assert errors == []
    assert [hacked for hacked, _ in found] == [0] * 5
    assert EVIL in {heading for _, heading in found}
