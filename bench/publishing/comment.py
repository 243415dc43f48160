"""The result of a check for the author of a submission: a comment in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.analysis.check import CellCheck, judge, pair
from bench.analysis.check.writers import WORDS, markdown
from bench.analysis.grid import GridCell, grid, metric_title, number
from bench.analysis.summary import summarise
from bench.model.titles import budget_title
from bench.publishing.board import Board
from bench.publishing.submission import Submission
from bench.store import Store
from bench.store import table as runs_table
from bench.util.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

    from bench.protocol import Protocol

MOST = 40
"""Findings in a comment: a host refuses comments that are too long."""
_LONGEST = 400
"""Characters of a place and of a text in a comment."""
VERDICTS = {0: "accepted by the checks", 1: "refused", 3: "incomplete"}
_HEADS = ("task", "labels", "this", "rank", "best other", "its value", "change", "interval", "")


def comment(
    submission: Submission, refused: Sequence[str] = (), before: Board | None = None
) -> str:
    """Verdict, findings and the difference to a board.

    `refused` are reasons beside those of the submission; `before` is the board without the change
    (by default the submission's own). The difference is left out if there are problems.
    """
    code = 1 if refused else submission.found.exit_code
    lines = [f"## {markdown(submission.name)}: {VERDICTS[code]}", ""]
    counts = submission.found
    lines += [f"{counts.done} runs done, {counts.expected} expected.", ""]
    said = [("wrong", "", text) for text in refused]
    said += [(one.kind, one.where, one.what) for one in counts.findings]
    for kind, where, what in said[:MOST]:
        place = f"{markdown(_short(where))}: " if where else ""
        lines.append(f"- **{kind}**: {place}{markdown(_short(what))}")
    if len(said) > MOST:
        lines.append(f"- and {len(said) - MOST} more; `bench leaderboard check` lists them all")
    if said:
        lines.append("")
    if code != 1:
        lines += difference(submission, before or submission.board)
    return "\n".join(lines).rstrip() + "\n"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def difference(submission: Submission, before: Board) -> Iterator[str]:
    """Each protocol's tasks: the new rows, their ranks, and the best earlier row."""
    others = _others(before, submission.name)
    earlier = _earlier(before, submission)
    for name, protocol in submission.board.protocols.items():
        own = submission.runs[submission.runs["protocol"] == name]
        if own.empty:
            continue
        metric = protocol.metrics[0]
        yield f"### {markdown(protocol.title or name)}, {metric_title(metric)}"
        yield ""
        theirs = others[others["protocol"] == name] if len(others) else others
        yield from _table(_HEADS, _rows(own, theirs, protocol, metric))
        yield ""
        if earlier is not None:
            yield "Against the earlier version of this submission:"
            yield ""
            checked = judge(pair(own, earlier, metric), metric)
            yield from _table(("task", "labels", "before", "now", "change", "interval", ""),
                              (_against_earlier(cell) for cell in checked))  # fmt: skip
            yield ""


def _rows(
    own: pd.DataFrame, theirs: pd.DataFrame, protocol: Protocol, metric: str
) -> Iterator[tuple[str, ...]]:
    import pandas as pd

    together = pd.concat([own, theirs]) if len(theirs) else own
    arranged = grid(
        summarise(together, [protocol]),
        rows=("label",),
        columns=("dataset", "labels", "train", "test", "metric"),
    )
    labels = list(dict.fromkeys(own["label"]))
    for column in arranged.columns:
        dataset, budget, train, test, name = column
        if name != metric:
            continue
        cells = ((row[0], arranged.cells.get((row, column))) for row in arranged.rows)
        there = {label: cell for label, cell in cells if cell is not None}
        best = _best(there, labels)
        for label in labels:
            cell = there.get(label)
            if cell is None:
                continue
            place = (train, test, budget)
            compared = _compared(own, theirs, place, label, best, metric) if best else None
            own_value = (number(cell.median), cell.over_splits(), cell.count)
            yield (
                dataset,
                budget_title(budget),
                f"{label}: {', '.join(filter(None, own_value))}",
                f"{cell.rank} of {len(there)}" if cell.rank else "not ranked",
                best,
                number(there[best].median) if best else "",
                *_change(compared),
            )


def _best(there: Mapping[str, GridCell], labels: Sequence[str]) -> str:
    """The best row of other submissions, '' if there is none."""
    ranked = [
        (cell.rank if cell.rank else math.inf, label)
        for label, cell in there.items()
        if label not in labels and cell.n
    ]
    return min(ranked)[1] if ranked else ""


def _compared(
    own: pd.DataFrame,
    theirs: pd.DataFrame,
    place: tuple[str, str, str],
    label: str,
    best: str,
    metric: str,
) -> CellCheck | None:
    """A row against another one, over the same splits, by the rules of `bench check`."""
    here, there = _of(own, label, place), _of(theirs, best, place)
    found = judge(pair(here, there, metric, best), metric, tolerance=0.0)
    return found[0] if found else None


def _of(runs: pd.DataFrame, label: str, place: tuple[str, str, str]) -> pd.DataFrame:
    train, test, budget = place
    own = (runs["label"] == label) & (runs["train"] == train) & (runs["test"] == test)
    return runs[own & (runs["budget"] == budget)]


def _change(found: CellCheck | None) -> tuple[str, str, str]:
    """Change, interval and the verdict of `bench check`."""
    if found is None:
        return "", "", ""
    if math.isnan(found.change):
        return "", "", WORDS[found.verdict]
    interval = "" if math.isnan(found.low) else f"[{found.low:+.4f}, {found.high:+.4f}]"
    return f"{found.change:+.4f}", interval, WORDS[found.verdict]


def _against_earlier(cell: CellCheck) -> tuple[str, ...]:
    before, now = (number(value, 4) for value in (cell.old, cell.new))
    return cell.task, budget_title(cell.budget), before, now, *_change(cell)


def _others(board: Board, name: str) -> pd.DataFrame:
    """The table of runs of all other submissions, except unreadable ones."""
    import pandas as pd

    tables = []
    for other in board.submissions:
        if other == name:
            continue
        try:
            tables.append(runs_table.load(Store(board.folder(other))))
        except BenchError:
            continue
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _earlier(board: Board, submission: Submission) -> pd.DataFrame | None:
    """The submission's runs in another board; None if it is new."""
    if board.root == submission.board.root or submission.name not in board.submissions:
        return None
    try:
        return replace(submission, board=board).runs
    except BenchError:
        return None


def _table(heads: Sequence[str], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + " --- |" * len(heads)
    for row in rows:
        yield f"| {' | '.join(map(markdown, row))} |"
