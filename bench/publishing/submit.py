"""From a results folder to a submission: the files that a leaderboard needs, under the card's
name."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.model import audits, cards, costs
from bench.model.cards import SubmissionCard
from bench.model.records import Record
from bench.publishing.board import Board
from bench.publishing.submission import Submission, check
from bench.publishing.submitted_files import BASELINE, DIGESTS, digest_of
from bench.store import Store, baseline, manifest
from bench.store import table as runs_table
from bench.store.manifest import Manifest
from bench.util.atomic import write_text
from bench.util.errors import UsageError, unknown


def submit(
    results: Store,
    board: Board,
    card: Path,
    name: str,
    methods: Sequence[str] = (),
    digests: bool = False,
) -> Submission:
    """Check the rows `methods` (all by default) of a results folder and put them into a board.

    Rows get the card's name; several rows keep their own in brackets. With `digests`, digests of
    the predictions are submitted instead of the predictions. The returned submission lists the
    problems found; if there are any, nothing is written. Raises `UsageError` for an unknown row,
    for results of none of the board's protocols, and for a name that belongs to somebody else.
    """
    target = board.folder(name)
    said = cards.read(card)
    _refuse_theirs(target, said)
    with tempfile.TemporaryDirectory(prefix="iqa-bench-submit-") as folder:
        draft = replace(board, root=Path(folder))
        made = draft.folder(name)
        _write(results, board, said, card, made, name, methods, digests)
        submission = check(draft, name, others=board)
        if submission.found.exit_code:
            return submission
        _swap(made, target)
    return replace(submission, board=board)


def _refuse_theirs(target: Path, card: SubmissionCard) -> None:
    if not (target / cards.FILE).is_file():
        return
    owner = cards.read(target / cards.FILE).submitter
    if owner != card.submitter:
        raise UsageError(
            f"the submission '{target.name}' belongs to {owner}; choose another --name"
        )


def _write(
    results: Store,
    board: Board,
    said: SubmissionCard,
    card: Path,
    made: Path,
    name: str,
    methods: Sequence[str],
    digests: bool,
) -> None:
    chosen = _chosen(results, board, methods)
    labels = dict.fromkeys(cell.label for one in chosen for cell in one.cells)
    for one in chosen:
        cells = [
            cell.model_copy(
                update={
                    "label": said.method if len(labels) == 1 else f"{said.method} ({cell.label})"
                }
            )
            for cell in one.cells
        ]
        protocol = board.protocols[one.protocol.name]
        text = Manifest(protocol=protocol, cells=cells).model_dump_json(indent=1)
        write_text(manifest.path_of(Store(made), protocol.name), text + "\n")
    runs = dict.fromkeys(run for one in chosen for cell in one.cells for run in cell.runs)
    kept = {}
    keys: set[str] = set()
    for run in runs:
        record = results.read(run)
        if record is None or record.status != "done":
            continue
        _copy(results.root / run, made / run)
        keys |= _keys(record)
        predictions = (results.root / run).with_suffix(".parquet")
        if digests and predictions.is_file():
            kept[run] = digest_of(predictions)
        elif predictions.is_file():
            _copy(predictions, (made / run).with_suffix(".parquet"))
    for folder in (audits.FOLDER, costs.FOLDER):
        for key in keys:
            source = results.root / folder / f"{key}.json"
            if source.is_file():
                _copy(source, made / folder / source.name)
    if digests:
        write_text(made / DIGESTS, json.dumps(kept, indent=1) + "\n")
    _copy(card, made / cards.FILE)
    own = baseline.of_runs(runs_table.load(Store(made)), name)
    write_text(made / BASELINE, baseline.text_of(own))


def _chosen(results: Store, board: Board, methods: Sequence[str]) -> list[Manifest]:
    """The manifests of the board's protocols, with the requested cells."""
    found = [one for one in manifest.read_all(results) if one.protocol.name in board.protocols]
    if not found:
        raise UsageError(
            f"'{results.root}' holds nothing of the board's protocols "
            f"({', '.join(board.protocols)}); protocols count by their names"
        )
    labels = {cell.label for one in found for cell in one.cells}
    for method in methods:
        if method not in labels:
            raise unknown("method in these results", method, labels)
    wanted = set(methods) or labels
    kept = [
        one.model_copy(update={"cells": [cell for cell in one.cells if cell.label in wanted]})
        for one in found
    ]
    return [one for one in kept if one.cells]


def _keys(record: Record) -> set[str]:
    """The names of the files with the audit and the costs of a run's method."""
    fit = record.spec.fit
    about = (fit.method, fit.settings, fit.code)
    return {audits.key_of(*about), *(costs.key_of(*about, kind) for kind in ("cpu", "cuda"))}


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _swap(made: Path, target: Path) -> None:
    """Replace a folder by another one; the old one stays until the new one is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as beside:
        new, old = Path(beside) / "new", Path(beside) / "old"
        shutil.copytree(made, new)
        if target.exists():
            target.rename(old)
        new.rename(target)
