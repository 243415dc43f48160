"""A leaderboard as a static site: the report of all submissions together, and a list of them."""

from __future__ import annotations

import html
import tempfile
from pathlib import Path

import pandas as pd

from bench.analysis.published import NOTHING
from bench.model import cards
from bench.publishing.board import Board
from bench.reports.render import Rendered, render
from bench.store import Store
from bench.store.merge import merge
from bench.util.atomic import write_text

_EMPTY = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body><main><h1>{title}</h1><p>There are no submissions yet.</p></main></body>
</html>
"""


def build(board: Board, out: Path) -> Rendered:
    """Render all submissions to `out`, without any image of a database.

    If two records of one run have different numbers, the first submission's counts, with a note.
    A board without submissions gets a page that says so.
    """
    names = board.submissions
    if not names:
        write_text(out / "index.html", _EMPTY.format(title=html.escape(board.rules.title)))
        return Rendered(out, pd.DataFrame(), NOTHING)
    with tempfile.TemporaryDirectory(prefix="iqa-bench-site-") as folder:
        together = Path(folder) / "results"
        merged = merge([board.folder(name) for name in names], together, keep_first=True)
        for name in names:
            card = board.folder(name) / cards.FILE
            if card.is_file():
                text = card.read_text(encoding="utf-8")
                write_text(together / cards.FOLDER / f"{name}.yaml", text)
        # A folder without databases: none would mean where the environment says.
        nothing = Path(folder) / "no databases"
        nothing.mkdir()
        rendered = render(Store(together), out, [nothing])
    root = f"{board.root}/"
    texts = [*merged.problems, *(f"two records of one run: {text}" for text in merged.conflicts)]
    rendered.notes += [text.replace(root, "") for text in texts]
    return rendered
