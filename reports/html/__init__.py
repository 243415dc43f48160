"""Results as a folder of pages that open from disk: no server, no network, nothing to install."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.reports.html import comparisons, index_page, pages, submissions
from bench.reports.html.site import HERE, Site, copy_asset, templates
from bench.util.atomic import write_text

ASSETS = ("style.css", "report.js")


def write(site: Site) -> list[Path]:
    """Write all pages and their assets; returns the paths, index.html first."""
    written = [copy_asset(HERE / "assets" / name, site.out / "assets") for name in ASSETS]
    for label, file in site.methods.items():
        written.append(_page(site, file, "method", pages.method(site, label)))
    for name, file in site.datasets.items():
        written.append(_page(site, file, "dataset", pages.dataset(site, name)))
    if site.comparisons:
        values = comparisons.context(site)
        written.append(_page(site, "comparisons.html", "comparisons", values))
    if site.cards:
        values = submissions.context(site)
        written.append(_page(site, "submissions.html", "submissions", values))
    # The index comes last: it lists what the other pages had to leave out.
    return [_page(site, "index.html", "index", index_page.context(site)), *written]


def _page(site: Site, file: str, template: str, values: dict[str, Any]) -> Path:
    found = templates(HERE / "templates").get_template(f"{template}.html.j2")
    root = "../" * file.count("/")
    write_text(site.out / file, found.render(site=site, root=root, file=file, **values))
    return site.out / file
