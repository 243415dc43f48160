"""Comparing a submission with the others of its board: shared names, runs and splits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from bench.model import cards
from bench.model.cards import SubmissionCard
from bench.publishing.board import SplitKey
from bench.publishing.submitted_files import BASELINE
from bench.store import Store, baseline, manifest
from bench.util.errors import BenchError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.publishing.submission import Submission


def check_others(submission: Submission, card: SubmissionCard, labels: set[str]) -> None:
    """Note in `Submission.found` where a submission clashes with an earlier one."""
    for name in _names(submission):
        folder = submission.others.folder(name)
        for what in _clashes(folder, card, labels):
            submission.wrong(cards.FILE, f"the submission '{name}' {what}")
        _check_runs(submission, name, Store(folder))
    _check_splits(submission)


def _names(submission: Submission) -> list[str]:
    return [name for name in submission.others.submissions if name != submission.name]


def _clashes(folder: Path, card: SubmissionCard, labels: set[str]) -> Iterator[str]:
    """Names that another submission already uses."""
    try:
        theirs = cards.read(folder / cards.FILE)
    except BenchError:  # of somebody else: no fault of this submission
        return
    if cards.looks_like(theirs.method, card.method):
        yield f"is called {theirs.method} too"
        return
    for label in sorted(labels):
        if theirs.calls(label):
            yield f"is called {theirs.method}, so that '{label}' would be a row of its own"
    for label in sorted(_labels(folder)):
        if card.calls(label):
            yield f"has a row '{label}', which would be one of this submission's"


def _labels(folder: Path) -> set[str]:
    try:
        found = manifest.read_all(Store(folder))
    except BenchError:  # of somebody else
        return set()
    return {cell.label for one in found for cell in one.cells}


def _check_runs(submission: Submission, name: str, theirs: Store) -> None:
    """A run that another submission also has must have the same result and content."""
    shared = submission.records.keys() & set(theirs.names())
    for path in sorted(shared):
        own, other = submission.records[path], theirs.read(path, curve=False)
        if other is not None and (own.metrics, own.sizes) != (other.metrics, other.sizes):
            what = f"the submission '{name}' has this run with other numbers"
            submission.wrong(path, what)


def _check_splits(submission: Submission) -> None:
    """Splits must be those of the board, or else of the earlier submissions."""
    known = {key: (digest, "the board") for key, digest in submission.board.splits.items()}
    for name in _names(submission):
        for key, digest in _baseline_splits(submission.others.folder(name)).items():
            known.setdefault(key, (digest, f"the submission '{name}'"))
    told: set[tuple[str, ...]] = set()
    for key, digest in _splits(submission.runs).items():
        theirs, whose = known.get(key, (digest, ""))
        if theirs != digest and key[:4] not in told:
            told.add(key[:4])
            where = f"{key[0]}: {key[2]}, {key[3]}"
            what = f"repeat {key[4]} is another split than that of {whose}, or has other labels"
            submission.wrong(where, what)


def _splits(runs: pd.DataFrame) -> Mapping[SplitKey, str]:
    columns = ["protocol", "train", "test", "budget", "repeat", "split_digest"]
    done = runs[(runs["status"] == "done") & (runs["protocol"] != "")]
    return {
        (str(protocol), str(train), str(test), str(budget), int(repeat)): str(digest)
        for protocol, train, test, budget, repeat, digest in done[columns].itertuples(index=False)
        if not (isinstance(digest, float) and math.isnan(digest))
    }


def _baseline_splits(folder: Path) -> Mapping[SplitKey, str]:
    try:
        return _splits(baseline.read(folder / BASELINE))
    except (BenchError, OSError):  # of somebody else: no fault of this submission
        return {}
