"""Results as a folder of pages that open from disk: no server, no network, nothing to install."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.util.atomic import write_text
from reports.html import board, comparisons, pages
from reports.html.site import Site

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
ASSETS = ("style.css", "report.js")


def write(site: Site, out: Path) -> list[Path]:
    """Write all pages and their assets; returns the paths, index.html first."""
    written = []
    for name in ASSETS:
        text = (HERE / "assets" / name).read_text(encoding="utf-8")
        written.append(_put(out / "assets" / name, text))
    for label, file in site.methods.items():
        written.append(_page(site, out, file, "method", pages.method(site, label)))
    for name, file in site.datasets.items():
        written.append(_page(site, out, file, "dataset", pages.dataset(site, name)))
    if site.comparisons:
        values = comparisons.context(site)
        written.append(_page(site, out, "comparisons.html", "comparisons", values))
    # The index comes last: it lists what the other pages had to leave out.
    index = _page(site, out, "index.html", "index", board.context(site))
    return [index, *written]


def _page(site: Site, out: Path, file: str, template: str, values: dict[str, Any]) -> Path:
    found = _environment().get_template(f"{template}.html.j2")
    text = found.render(site=site, root="../" * file.count("/"), file=file, **values)
    return _put(out / file, text)


def _put(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
