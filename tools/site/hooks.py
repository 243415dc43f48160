"""What mkdocs calls while `make docs` builds the site (`hooks` in mkdocs.yml)."""

from __future__ import annotations

import logging
import os
from html.parser import HTMLParser
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.site import livec, names, pages

log = logging.getLogger("mkdocs.hooks.site")
"""In strict mode a warning here fails the build."""

# The reference is of the project, not of the methods of whoever builds it.
os.environ.pop("IQA_BENCH_METHODS", None)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and the report, and warn of public names that say nothing."""
    silent = [name for module in names.MODULES for name in names.undocumented(module)]
    for name in [*silent, *pages.undescribed_options()]:
        log.warning("public and undocumented: %s", name)
    for path, text in pages.generated().items():
        files.append(File.generated(config, path, content=text))
    rendered = livec.report()
    for text in rendered.warnings:
        log.warning("the report on LIVEC is not to be trusted: %s", text)
    for file in rendered.paths:
        path = f"{livec.FOLDER}/{file.relative_to(rendered.out).as_posix()}"
        files.append(File.generated(config, path, abs_src_path=str(file)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files of the repository that are pages too lead to those pages."""
    if page.file.generated_by:
        return markdown
    return pages.outwards(markdown, page.file.src_uri)


def on_post_build(config: MkDocsConfig) -> None:
    """Warn of pages that would load something from elsewhere: the site works without network."""
    for path in sorted(Path(config.site_dir).rglob("*.html")):
        for address in loaded_from_elsewhere(path.read_text(encoding="utf-8")):
            log.warning("%s loads %s", path.relative_to(config.site_dir), address)


class _Loaded(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = tag in ("script", "img", "iframe", "source", "video", "audio") or (
            tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect", "preload")
        )
        address = given.get("src") or given.get("href") or ""
        if loads and address.startswith(("http:", "https:", "//")):
            self.found.append(address)


def loaded_from_elsewhere(html: str) -> list[str]:
    """Addresses of scripts, styles, fonts and pictures that a page takes from other places."""
    parser = _Loaded()
    parser.feed(html)
    return parser.found
