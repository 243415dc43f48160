"""Results folders that several tests look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from bench.reports.render import Rendered, render
from bench.store import Store
from tests.fake_results import EVIL, maker, showcase, task
from tests.reports import browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, started once; tests that need it say so with `needs_chromium`."""
    with browser.started() as started:
        yield started


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two demo sets, three budgets, four methods; a failed run and a contaminated method."""
    return showcase(tmp_path_factory.mktemp("showcase"), repeats=6)


@pytest.fixture(scope="session")
def report(shown: Store, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """The showcase's report."""
    return render(shown, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A report in which every text that comes from data is a script."""
    root = tmp_path_factory.mktemp("evil")
    made = maker(root / "store", name=EVIL, title=EVIL, description=EVIL, metrics=("srcc", "plcc"))
    changes: dict[str, Any] = {"notes": [EVIL], "image_policy": EVIL, "trained_on": [EVIL]}
    for label in (EVIL, EVIL + '"&', "a/../b"):
        made.cell(label, task(EVIL), [0.5, 0.6, EVIL], settings={EVIL: EVIL}, **changes)
        made.cell(label, task(EVIL, 100), [0.6, None, 0.7], settings={EVIL: EVIL}, **changes)
        made.cell(label, task(EVIL, 200), [0.6, 0.8, 0.7], settings={EVIL: EVIL}, **changes)
        made.cell(label, task("livec", 200), [0.6, 0.8, 0.7], **changes)
    return render(made.save(), root / "out")
