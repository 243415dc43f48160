"""The report on LIVEC that the start page leads to, rendered from stored results.

The results are records and predictions without images; their README holds the notices of the
database and of the public predictions.
"""

from __future__ import annotations

import tarfile
import tempfile
from functools import cache
from pathlib import Path

from bench.reports.render import Rendered, render
from bench.store import Store

ARCHIVE = Path(__file__).resolve().parents[2] / "docs" / "livec-results.tar.xz"
FOLDER = "livec"
"""Where the site has the report."""


def unpack(folder: Path) -> Store:
    """The stored results, in a folder of their own."""
    with tarfile.open(ARCHIVE) as files:
        files.extractall(folder, filter="data")
    return Store(folder / "livec-results")


@cache
def report() -> Rendered:
    """The report, in a folder that goes when the program ends."""
    place = Path(_work().name)
    # A folder without databases: LIVEC's images are not shown, wherever the site is built.
    nothing = place / "no databases"
    nothing.mkdir()
    return render(unpack(place), place / "report", [nothing])


@cache
def _work() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="iqa-bench-site-")
