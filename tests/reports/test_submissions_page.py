"""The page of a leaderboard's cards: what they say is shown as text, and read by everybody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from bench.reports.render import Rendered, render
from tests.fake_results import EVIL, maker, task
from tests.reports.browser import DESK, PHONE, Scheme, needs_chromium, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A report with two cards and a third that cannot be read."""
    root = tmp_path_factory.mktemp("site")
    made = maker(root / "store")
    made.cell("Mine", task("livec", 50), [0.5, 0.6])
    made.cell(f"{EVIL} (large)", task("livec", 50), [0.6, 0.7])
    card = {"authors": ["A. Author"], "training_data": ["koniq10k#official"], "hardware": "a CPU"}
    cards = {
        "mine": {**card, "method": "Mine", "submitter": "ann", "paper": "https://a.example/p"},
        "evil": {
            **card,
            "method": EVIL,
            "submitter": "eve",
            "code": "javascript:alert(1)",
            "weights": EVIL,
            "description": EVIL,
        },
        "broken": {"method": "Broken"},
    }
    (root / "store" / "cards").mkdir()
    for name, values in cards.items():
        (root / "store" / "cards" / f"{name}.yaml").write_text(yaml.safe_dump(values))
    return render(made.save(), root / "out")


def text_of(site: Rendered) -> str:
    return (site.out / "submissions.html").read_text(encoding="utf-8")


def test_cards_are_shown_as_text(site: Rendered) -> None:
    text = text_of(site)
    assert EVIL not in text
    assert 'href="https://a.example/p"' in text
    assert 'href="javascript' not in text
    assert "javascript:alert(1)" in text
    assert "koniq10k (training side of official)" in text
    assert "Broken" not in text
    assert text.count("computed again from predictions") == 2


def test_rows_lead_to_their_methods(site: Rendered) -> None:
    assert 'href="methods/mine.html">Mine</a>' in text_of(site)
    assert 'href="submissions.html"' in (site.out / "index.html").read_text(encoding="utf-8")


def test_ones_own_results_have_no_such_page(tmp_path: Path) -> None:
    made = maker(tmp_path / "store")
    made.cell("Mine", task("livec", 50), [0.5, 0.6])
    out = render(made.save(), tmp_path / "out").out
    assert not (out / "submissions.html").exists()
    assert "submissions.html" not in (out / "index.html").read_text(encoding="utf-8")


@needs_chromium
@pytest.mark.parametrize(("scheme", "width"), [("light", DESK), ("dark", PHONE)])
def test_everybody_can_read_it(
    site: Rendered, chromium: Browser, scheme: Scheme, width: int
) -> None:
    with visit(chromium, site.out / "submissions.html", scheme, width) as seen:
        assert seen.run("return window.hacked || 0;") == 0
        assert seen.run("return document.documentElement.scrollWidth;") <= width
        assert seen.errors == []
        assert seen.leaves(site.out) == []
        assert seen.violations() == []
        assert seen.width_with_long_words() <= width
