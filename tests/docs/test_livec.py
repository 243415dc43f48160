"""The stored results of LIVEC that the site shows: what docs/real.md says is in them."""

from __future__ import annotations

import re

import pytest

from bench.analysis import load
from bench.store import Store
from tests.docs.test_docs import ROOT
from tools.site import livec


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return livec.unpack(tmp_path_factory.mktemp("livec"))


def test_they_hold_no_picture_and_the_notices(results: Store) -> None:
    kinds = {path.suffix for path in results.root.rglob("*") if path.is_file()}
    assert kinds == {".json", ".parquet", ".txt"}
    notices = (results.root / "README.txt").read_text(encoding="utf-8")
    assert "Copyright (c) 2015 The University of Texas at Austin" in notices
    assert "MIT License" in notices
    assert livec.ARCHIVE.stat().st_size < 1_000_000


def test_the_page_has_their_numbers(results: Store) -> None:
    """Every cell of the table on LIVEC with 50, 100 and 200 labels."""
    summary = load(results).summary
    found = summary[summary["metric"] == "srcc"].set_index(["label", "labels"])
    assert found["complete"].all()
    section = (ROOT / "docs" / "real.md").read_text("utf-8").partition("## LIVE In the Wild")[2]
    compared = 0
    for label in dict.fromkeys(summary["label"]):
        row = re.search(rf"^\| `{re.escape(label)}` \|(.*)\|$", section, re.MULTILINE)
        assert row is not None, label
        cells = [cell.strip() for cell in row[1].split("|")]
        for budget, text in zip(("50", "100", "200"), cells, strict=False):
            said = cells[0] if text == "same" else text
            cell = found.loc[(label, budget)]
            expected = f"{cell['median']:.3f} [{cell['low']:.2f}, {cell['high']:.2f}]"
            assert said == expected, (label, budget)
            compared += 1
    assert compared == 33
