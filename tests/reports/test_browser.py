"""The pages in a browser: alive, readable by everybody, and content with their own folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.reports.render import Rendered, render
from bench.store import artifacts, write_parquet
from tests.fake_results import EVIL, maker, task
from tests.reports.browser import DESK, PHONE, Scheme, Visit, needs_chromium, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = needs_chromium
KINDS = (
    "index.html",
    "comparisons.html",
    "methods/promptiqa.html",
    "datasets/demo_authentic.html",
)
"""One page of every kind."""


def pages(report: Rendered) -> list[Path]:
    return [path for path in report.paths if path.suffix == ".html"]


def test_every_kind_of_page_is_tried(report: Rendered) -> None:
    kinds = {path.relative_to(report.out).parts[0] for path in pages(report)}
    assert kinds == {Path(kind).parts[0] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("scheme", "width"), [("light", DESK), ("dark", DESK), ("dark", PHONE)])
def test_everybody_can_read_it(
    report: Rendered, chromium: Browser, kind: str, scheme: Scheme, width: int
) -> None:
    with visit(chromium, report.out / kind, scheme, width) as seen:
        seen.run("document.querySelectorAll('details').forEach((item) => { item.open = true; });")
        # Tables scroll inside their frames, the page does not.
        assert seen.run("return document.documentElement.scrollWidth;") <= width
        assert seen.errors == []
        assert seen.leaves(report.out) == []
        assert len(seen.requests) >= 3
        # Last, since axe asks for the style sheet again.
        assert seen.violations() == []


@pytest.mark.parametrize("kind", KINDS)
def test_long_words_do_not_widen_a_page(report: Rendered, chromium: Browser, kind: str) -> None:
    with visit(chromium, report.out / kind, width=PHONE) as seen:
        seen.run("document.querySelectorAll('details').forEach((item) => { item.open = true; });")
        assert seen.width_with_long_words() <= PHONE


def test_protocols_with_one_title_stay_apart(tmp_path: Path, chromium: Browser) -> None:
    made = maker(tmp_path / "store", title="Few-shot adaptation", keep=("per_image",))
    again = maker(tmp_path / "store", name="mine", title="Few-shot adaptation")
    for one in (made, again):
        one.cell("GRMP-IQA", task(), [0.5, 0.6, 0.7])
        runs = one.cell("CLIP", task(), [0.4, 0.7, 0.5])
        one.save()
    for run in runs:
        known = made.store.predictions(run.spec)[["image"]].assign(semantic_confidence=0.9)
        write_parquet(known, artifacts.path(made.store, run.spec, artifacts.PER_IMAGE))
    report = render(made.store, tmp_path / "out")
    for kind in ("index.html", "comparisons.html", "methods/grmp-iqa.html", "datasets/livec.html"):
        with visit(chromium, report.out / kind) as seen:
            seen.run("document.querySelectorAll('details').forEach((item) => item.open = true);")
            assert seen.violations() == [], kind
    with visit(chromium, report.out / "index.html") as seen:
        titles = seen.page.locator("ul.contents a").all_inner_texts()
        assert titles == ["Few-shot adaptation (few_shot)", "Few-shot adaptation (mine)"]
        assert seen.page.get_by_role("region", name="semantic noise").count() == 1


def test_no_page_logs_errors_or_leaves_the_folder(report: Rendered, chromium: Browser) -> None:
    for path in pages(report):
        with visit(chromium, path, width=PHONE) as seen:
            assert seen.errors == [], path.name
            assert seen.leaves(report.out) == [], path.name
            assert seen.run("return document.documentElement.scrollWidth;") <= PHONE, path.name


def test_an_error_and_a_request_would_be_seen(chromium: Browser, tmp_path: Path) -> None:
    page = tmp_path / "inside" / "page.html"
    page.parent.mkdir()
    page.write_text("<script>fetch('../other.txt').catch(() => 0); nothing.here</script><img>")
    with visit(chromium, page) as seen:
        assert any("nothing is not defined" in error for error in seen.errors)
        assert [Path(address).name for address in seen.leaves(page.parent)] == ["other.txt"]
        assert any(found.startswith("image-alt") for found in seen.violations())


def board(seen: Visit) -> Locator:
    return seen.page.locator("[data-metric]:visible")


def names(seen: Visit) -> list[str]:
    return [text.strip() for text in board(seen).locator("tbody th:visible").all_inner_texts()]


def sorts(seen: Visit) -> list[str]:
    heads = board(seen).locator("thead tr:last-child th").all()
    return [head.get_attribute("aria-sort") or "" for head in heads]


def test_it_sorts(report: Rendered, chromium: Browser) -> None:
    with visit(chromium, report.out / "index.html") as seen:
        heads = board(seen).locator("thead tr:last-child th button")
        heads.nth(6).click()
        # Under 200 labels of the second set PromptIQA is incomplete: last whichever way.
        assert names(seen) == ["GRMP-IQA", "CLIP zero-shot", "PIQE", "PromptIQA"]
        assert sorts(seen) == ["none"] * 6 + ["descending"]
        heads.nth(6).click()
        assert names(seen) == ["PIQE", "CLIP zero-shot", "GRMP-IQA", "PromptIQA"]
        assert sorts(seen) == ["none"] * 6 + ["ascending"]
        heads.nth(0).click()
        assert names(seen) == ["CLIP zero-shot", "GRMP-IQA", "PIQE", "PromptIQA"]
        assert sorts(seen) == ["ascending"] + ["none"] * 6


def test_it_filters(report: Rendered, chromium: Browser) -> None:
    with visit(chromium, report.out / "index.html") as seen:
        page = seen.page
        page.locator("[data-filter=method]").fill("iqa")
        assert names(seen) == ["GRMP-IQA", "PromptIQA"]
        assert page.locator("output.found").inner_text() == "2 of 4 methods"
        page.locator("[data-filter=method]").fill("")
        page.locator("[data-filter=dataset]").select_option("demo_synthetic")
        assert board(seen).locator("thead tr:last-child th:visible").count() == 4
        assert board(seen).locator("tbody tr").first.locator("th:visible, td:visible").count() == 4
        page.locator("[data-filter=dataset]").select_option("")
        page.get_by_text("PLCC", exact=True).first.click()
        assert board(seen).get_attribute("data-metric") == "plcc"
        assert seen.errors == []


def test_one_comparison_at_a_time(report: Rendered, chromium: Browser) -> None:
    with visit(chromium, report.out / "comparisons.html") as seen:
        tables = seen.page.locator("table.versus:visible")
        assert tables.count() == 6
        seen.page.locator("[data-pick]").select_option("demo_synthetic, 100 labels")
        assert tables.count() == 1
        rows = tables.locator("tbody th")
        assert rows.first.inner_text() == "GRMP-IQA"
        tables.locator("thead button").nth(1).press("Enter")
        tables.locator("thead button").nth(1).press("Enter")
        assert rows.first.inner_text() != "GRMP-IQA"


def test_the_keyboard_is_enough(report: Rendered, chromium: Browser) -> None:
    with visit(chromium, report.out / "index.html") as seen:
        keys, focus = seen.page.keyboard, seen.page.locator("*:focus")
        keys.press("Tab")
        assert focus.inner_text() == "Skip to content"
        keys.press("Tab")
        keys.press("Tab")
        assert focus.inner_text() == "Methods"
        keys.press("Enter")
        assert seen.page.locator(".menu[open] a").count() == 4
        keys.press("Escape")
        assert seen.page.locator(".menu[open]").count() == 0
        assert focus.inner_text() == "Methods"
        for _ in range(3):
            keys.press("Tab")
        assert focus.get_attribute("aria-label") == "Colour theme: auto"
        keys.press("Enter")
        assert seen.run("return document.documentElement.dataset.theme;") == "light"
        keys.press("Tab")
        keys.press("ArrowRight")
        assert board(seen).get_attribute("data-metric") == "plcc"
        keys.press("ArrowLeft")
        keys.press("Tab")
        keys.type("clip")
        assert names(seen) == ["CLIP zero-shot"]
        keys.press("Tab")
        keys.press("Tab")
        assert focus.get_attribute("role") == "region"
        keys.press("Tab")
        keys.press("Enter")
        assert sorts(seen)[0] == "ascending"


def test_a_link_to_a_cell_opens_what_ran(report: Rendered, chromium: Browser) -> None:
    with visit(chromium, report.out / "index.html") as seen:
        board(seen).locator("tbody td a").nth(1).click()
        seen.page.wait_for_url("**/methods/grmp-iqa.html#c2")
        opened = seen.page.locator("details[open]")
        assert opened.count() == 1
        assert "Splits' digest" in opened.inner_text()


def test_scripts_in_names_do_not_run(evil: Rendered, chromium: Browser) -> None:
    headings = set()
    for path in pages(evil):
        with visit(chromium, path) as seen:
            assert seen.run("return window.hacked || 0;") == 0
            assert seen.errors == []
            headings.add(seen.page.locator("h1").inner_text())
    assert EVIL in headings
