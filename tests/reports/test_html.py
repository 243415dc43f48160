"""The pages: complete, self-contained, escaped, and alive without a network."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from bench.analysis.results import load
from bench.reports import html
from bench.reports.html.site import Site
from bench.reports.render import Rendered, render
from tests.fake_results import ENVIRONMENT, maker, task


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


def written(paths: list[Path], pictures: bool = True) -> int:
    """Bytes of pages, style and scripts, with or without the charts inside them."""
    total = 0
    for path in paths:
        if path.suffix in (".html", ".css", ".js"):
            text = path.read_text(encoding="utf-8")
            text = text if pictures else re.sub(r"<svg.*?</svg>", "", text, flags=re.S)
            total += len(text.encode())
    return total


def test_the_folder_is_small(report: Rendered) -> None:
    assert written(report.paths) < 300_000


def test_a_protocol_of_the_papers_size_is_small_without_its_pictures(tmp_path: Path) -> None:
    """GRMP-IQA's Table 1: five databases, three budgets, ten repeats; here with four methods."""
    made = maker(tmp_path / "store", metrics=("srcc", "plcc"))
    rng = np.random.default_rng(0)
    for label in ("grmp", "promptiqa", "clip_zeroshot", "pyiqa:piqe"):
        changes = {} if label in ("grmp", "promptiqa") else {"curve": [], "chosen_epoch": {}}
        for name in ("livec", "koniq10k", "csiq", "live", "pipal"):
            for labels in (50, 100, 200):
                made.cell(label, task(name, labels), list(rng.uniform(0.5, 0.9, 10)), **changes)
    results = load(made.save())
    paths = html.write(Site(results, results.summary, tmp_path / "out"))
    assert written(paths, pictures=False) < 300_000
    assert paths[0].stat().st_size < 100_000


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


def test_cells_on_the_same_splits_say_so(report: Rendered) -> None:
    def digests(name: str) -> list[str]:
        text = (report.out / "methods" / f"{name}.html").read_text(encoding="utf-8")
        return re.findall(r"<dt>Splits&#39; digest</dt><dd>([0-9a-f]{12})</dd>", text)

    assert len(set(digests("promptiqa"))) == 6
    assert digests("promptiqa") == digests("piqe")


def test_what_differs_stands_with_its_cell_and_the_rest_once(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("a", task(), [0.5, 0.6])
    other = ENVIRONMENT.model_copy(update={"device": "another CPU"})
    made.cell("a", task(labels=100), [0.5, 0.6], environment=other)
    results = load(made.save())
    html.write(Site(results, results.summary, tmp_path / "out"))
    text = (tmp_path / "out" / "methods" / "a.html").read_text(encoding="utf-8")
    assert text.count("minmax_train") == 1
    assert text.count("· a CPU ·") == text.count("another CPU") == 1
    assert text.index("minmax_train") < text.index('id="c1"') < text.index("· a CPU ·")


def test_real_results_carry_no_demo_banner(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("a", task(), [0.5, 0.6])
    out = render(made.save(), tmp_path / "out").out
    assert "banner" not in (out / "index.html").read_text(encoding="utf-8")


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
    files = list(Site(results, results.summary, tmp_path).methods.values())
    assert len(set(files)) == 3
    assert files[2] == "methods/a-b.html"  # the one whose name can be that of a file
    assert all(name.startswith("methods/a-b~") for name in files[:2])


def test_unreadable_predictions_are_named_and_the_rest_is_there(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    first, _ = made.cell("a", task(), [0.5, 0.6])
    store = made.save()
    store.path(first.spec).with_suffix(".parquet").write_bytes(b"no parquet")
    rendered = render(store, tmp_path / "out")
    assert any("no scatter" in note and "cannot be read" in note for note in rendered.notes)
    assert "no scatter" in (rendered.out / "index.html").read_text(encoding="utf-8")
