"""Pages from disk in headless Chromium: what they log, what they load, what axe finds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
PHONE, DESK = 360, 1200
PROSE = "main p, main li, dd, dt, h1, h2, h3, figcaption, summary, footer p"
"""Elements that hold sentences; tables scroll inside frames of their own."""
Scheme = Literal["light", "dark"]


@dataclass
class Visit:
    """A page that is open, and what happened since."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """Messages of the console's errors and of scripts that failed."""
    requests: list[str] = field(default_factory=list)
    """Every address that was asked for."""

    def run(self, script: str) -> Any:
        """What the body of a function returns in the page."""
        return self.page.evaluate(f"() => {{ {script} }}")

    def leaves(self, folder: Path) -> list[str]:
        """Requests for anything outside a folder."""
        root = folder.resolve().as_uri() + "/"
        return [address for address in self.requests if not address.startswith(root)]

    def width_with_long_words(self) -> int:
        """Pixels of the page once every piece of prose ends in a word that no line holds.

        Names of users and paths of their files have no length that a page could count on.
        """
        return self.run(f"""
            for (const item of document.querySelectorAll({PROSE!r}))
              item.append(" " + "/a/folder_of_a_user".repeat(12));
            return document.documentElement.scrollWidth;
        """)

    def violations(self) -> list[str]:
        """What axe finds wrong: rule and elements."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [
            f"{item['id']}: {'; '.join(node['html'][:120] for node in item['nodes'][:3])}"
            for item in found
        ]


@contextmanager
def started() -> Iterator[Browser]:
    """The system's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visit(
    browser: Browser, page: Path, scheme: Scheme = "light", width: int = DESK
) -> Iterator[Visit]:
    """Open a file as a reader with this colour scheme and window would."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    found = Visit(context.new_page())
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    found.page.on("console", lambda line: line.type == "error" and found.errors.append(line.text))
    found.page.goto(page.resolve().as_uri())
    yield found
    context.close()
