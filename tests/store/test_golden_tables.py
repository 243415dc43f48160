"""A fixed store's run table, summary and LaTeX, as they were on 2026-11-28 before the rooms moved.

`python -m tests.store.test_golden_tables` writes the stored files again; say why in the commit.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.results import load
from bench.reports import latex
from bench.store import Store
from bench.store import table as runs_table
from tests.fake_results import FakeSweep, showcase

FOLDER = Path(__file__).parents[1] / "golden_tables"
MOMENTS = ["created"]


def stores(root: Path) -> dict[str, Store]:
    """Two stores: most of what a report can show, and one with missing and failed runs."""
    factory = FakeSweep(
        root / "factory",
        noise={"good": 0.5, "fair": 1.0, "flat": 0.7},
        failed=frozenset({("fair", 2)}),
        absent=frozenset({("fair", 3)}),
        constant=frozenset({"flat"}),
    )
    return {"showcase": showcase(root / "showcase"), "factory": factory.write()}


def tables(store: Store) -> dict[str, str]:
    """The store's run table and cell table as CSV, and its LaTeX tables."""
    results = load(store)
    cells = results.summary
    runs = runs_table.load(store).drop(columns=MOMENTS)
    return {
        "runs.csv": runs.to_csv(index=False, float_format="%.9g", lineterminator="\n"),
        "cells.csv": cells.to_csv(index=False, float_format="%.9g", lineterminator="\n"),
        "tables.tex": latex.document(cells, results.protocols),
    }


@pytest.mark.parametrize("name", ["showcase", "factory"])
def test_tables_are_as_stored(name: str, tmp_path: Path) -> None:
    for kind, text in tables(stores(tmp_path)[name]).items():
        stored = (FOLDER / f"{name}_{kind}").read_text(encoding="utf-8")
        if kind.endswith(".csv"):
            found, wanted = (pd.read_csv(io.StringIO(item)) for item in (text, stored))
            pd.testing.assert_frame_equal(found, wanted, rtol=1e-7)
        else:
            assert text == stored, kind


def _write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, store in stores(Path(folder)).items():
            for kind, text in tables(store).items():
                (FOLDER / f"{name}_{kind}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    _write()
