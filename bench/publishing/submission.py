"""Checks of one submission. Nothing of it is run: files are read, never imported or executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench import registry
from bench.api import Context
from bench.data.selection import scores_digest
from bench.model import audits, cards
from bench.model.cards import SubmissionCard
from bench.model.contamination import saw_test_labels
from bench.model.measure import Measure
from bench.model.records import Record
from bench.protocol import Protocol
from bench.protocol.measures import measure_of
from bench.publishing import submitted_files
from bench.publishing.board import Board
from bench.publishing.other_submissions import check_others
from bench.publishing.submitted_files import BASELINE, DIGESTS
from bench.store import Store, baseline, manifest
from bench.store import table as runs_table
from bench.store.manifest import CellEntry
from bench.store.validate import Finding, Kind, Validation, validate
from bench.util.errors import BenchError, StoreError
from bench.util.listing import visible

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Submission:
    """A submission's folder, read once, and the problems found."""

    board: Board
    name: str
    others: Board
    """The board with the other submissions: its own, or that of the target branch."""
    found: Validation = field(default_factory=Validation)

    @cached_property
    def root(self) -> Path:
        """Its folder."""
        return self.board.folder(self.name)

    @cached_property
    def store(self) -> Store:
        """It as a results folder."""
        return Store(self.root)

    @cached_property
    def card(self) -> SubmissionCard:
        """Its card. Raises `UsageError` if it is missing or cannot be read."""
        return cards.read(self.root / cards.FILE)

    @cached_property
    def cells(self) -> list[tuple[Protocol, CellEntry]]:
        """Its cells. Raises `StoreError` if no manifest can be read."""
        found = manifest.read_all(self.store)
        return [(one.protocol, cell) for one in found for cell in one.cells]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Its table of runs."""
        return runs_table.load(Store(self.root))

    @cached_property
    def records(self) -> dict[str, Record]:
        """Its readable records by their paths."""
        store = Store(self.root)
        read = ((name, store.read(name, curve=False)) for name in store.names())
        return {name: record for name, record in read if record is not None}

    def wrong(self, where: str, what: str) -> None:
        """Note that something is wrong."""
        self.found.findings.append(Finding("wrong", where, what))


def check(board: Board, name: str, others: Board | None = None) -> Submission:
    """Check a submission to a board as far as possible without its databases.

    `others` is the board with whose other submissions it is compared, by default the same.
    `Submission.found` lists the problems. Raises `UsageError` if there is no such submission.
    """
    submission = Submission(board, name, others or board)
    if not submission.root.is_dir():
        raise StoreError(f"there is no submission '{name}' in '{board.root}'")
    # Of a link nothing is read, not even names: what it leads to is the checking machine's own.
    if submission.root.is_symlink() or submission.root.parent.is_symlink():
        submission.wrong("", "is a link; a submission is a folder of files")
        return submission
    submission.found.findings += submitted_files.findings(
        submission.root, board.rules.max_megabytes
    )
    if submission.found.findings:  # nothing of a folder that is not one is read
        return submission
    rules = board.rules
    kept = _digests(submission)
    audited = rules.audit == "required"
    found = validate(submission.root, audited=audited, kept_elsewhere=kept)
    found.findings += submission.found.findings
    submission.found = found
    try:
        card = submission.card
        cells = submission.cells
    except BenchError as error:
        for line in str(error).replace(f"{submission.root}/", "").splitlines():
            submission.wrong("", line)
        return submission
    _check_labels(submission, card, cells)
    check_others(submission, card, {cell.label for _, cell in cells})
    for protocol, cell in cells:
        _check_cell(submission, protocol, cell)
    _check_audits(submission)
    _check_tasks(submission, cells)
    _check_tested(submission, kept)
    _check_declared(submission, card)
    _check_baseline(submission)
    return submission


def _digests(submission: Submission) -> set[str]:
    """Records whose predictions are given by digest."""
    path = submission.root / DIGESTS
    if not path.exists():
        return set()
    if submission.board.rules.predictions == "required":
        submission.wrong(DIGESTS, "this board asks for predictions, not for their digests")
        return set()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        names = {name for name, text in found.items() if re.fullmatch("[0-9a-f]{64}", text)}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        submission.wrong(DIGESTS, "cannot be read: expected records with the SHA-256 of each")
        return set()
    both = sorted(
        name for name in names if (submission.root / name).with_suffix(".parquet").exists()
    )
    for name in both:
        submission.wrong(name, f"has predictions, and a digest in {DIGESTS} that stands for them")
    there = f"metrics of {len(names)} runs were not computed again: predictions by digest alone"
    submission.found.findings.append(Finding("note", DIGESTS, there))
    return names


def _check_labels(
    submission: Submission, card: SubmissionCard, cells: list[tuple[Protocol, CellEntry]]
) -> None:
    for label in sorted({cell.label for _, cell in cells}):
        if visible(label) != label:
            what = f"its row '{label}' holds characters that readers would not see"
            submission.wrong(cards.FILE, what)
        if not card.calls(label):
            submission.wrong(
                cards.FILE,
                f"its row '{label}' is not called by its method, '{card.method}' (several rows: "
                f"'{card.method} (…)')",
            )


def _check_cell(submission: Submission, protocol: Protocol, cell: CellEntry) -> None:
    """A cell is one of the board's, and its runs match it."""
    where = f"{protocol.name}: {cell.label} on {cell.task.title}, {cell.task.budget}"
    asked = submission.board.protocols.get(protocol.name)
    if asked is None:
        known = ", ".join(submission.board.protocols)
        submission.wrong(where, f"the board has no protocol '{protocol.name}'; it has {known}")
        return
    if cell.task not in asked.tasks():
        submission.wrong(where, f"is no task of the board's {protocol.name}")
        return
    if other := _says_otherwise(protocol, asked):
        submission.wrong(where, f"its protocol has another {other} than the board's")
    if cell.selection != asked.selection:
        what = f"counts the epoch '{cell.selection}'; the board asks for '{asked.selection}'"
        submission.wrong(where, what)
    own, theirs = cell.measure or measure_of(protocol), measure_of(asked)
    if other := own.difference(theirs):
        what = f"is measured with {other}; the board asks for {theirs.difference(own)}"
        submission.wrong(where, what)
    if len(cell.runs) != asked.repeats:
        what = f"has {len(cell.runs)} of {asked.repeats} repeats"
        submission.found.findings.append(Finding("incomplete", where, what))
    for repeat, run in enumerate(cell.runs):
        record = submission.records.get(run)
        if record is not None and (other := _otherwise(record, cell, own, repeat)):
            submission.wrong(where, f"its run {record.run_id} is {other}")


def _says_otherwise(protocol: Protocol, asked: Protocol) -> str:
    """How a copy of a board's protocol differs in its tables; '' if it does not."""
    shown = ("title", "metrics", "means", "notes", "published")
    there = [name for name in shown if name in Protocol.model_fields]
    return ", ".join(name for name in there if getattr(protocol, name) != getattr(asked, name))


def _otherwise(record: Record, cell: CellEntry, measure: Measure, repeat: int) -> str:
    """How a run differs from its cell; '' if it belongs there."""
    spec = record.spec
    # Labels may be scaled as the method asks, whatever the protocol says.
    own = Measure.of(spec.fit).model_copy(update={"normalise": measure.normalise})
    if spec.task != cell.task:
        return f"of another task: {spec.task.title}, {spec.task.budget}"
    if (spec.method, spec.selection) != (cell.method, cell.selection):
        return f"of {spec.method}, selection {spec.selection}"
    if spec.repeat != repeat:
        return f"of repeat {spec.repeat}, not {repeat}"
    other = own.filled(measure.split.validation).difference(measure)
    return f"measured with {other}" if other else ""


def _check_audits(submission: Submission) -> None:
    """Methods that cannot be audited are refused if the board requires audits."""
    if submission.board.rules.audit != "required":
        return
    methods = dict.fromkeys(record.spec.method for record in submission.records.values())
    for method in methods:
        reason = audits.EXEMPT.get(method.partition(":")[0])
        if reason:
            submission.wrong(method, f"cannot be audited, which this board asks for: {reason}")


def _check_tasks(submission: Submission, cells: list[tuple[Protocol, CellEntry]]) -> None:
    """Every row has all tasks of a protocol that it enters, if the board requires them."""
    there: dict[tuple[str, str], set[str]] = {}
    for protocol, cell in cells:
        place = f"{cell.task.title}, {cell.task.budget}"
        there.setdefault((protocol.name, cell.label), set()).add(place)
    if not there:
        submission.found.findings.append(Finding("incomplete", "protocols", "there is no cell"))
    for (name, label), places in there.items():
        asked = submission.board.protocols.get(name)
        tasks = asked.tasks() if asked else []
        lacking = [t for t in (f"{task.title}, {task.budget}" for task in tasks) if t not in places]
        if lacking:
            kind: Kind = "incomplete" if submission.board.rules.tasks == "all" else "note"
            what = f"has no run on {'; '.join(lacking)}"
            submission.found.findings.append(Finding(kind, f"{name}: {label}", what))


def _check_tested(submission: Submission, kept_elsewhere: set[str]) -> None:
    """The images and labels beside predictions match the run's name."""
    for name, record in submission.records.items():
        if record.status != "done":
            continue
        if unscored := record.sizes.get("unscored"):
            # Which ones, its predictions do not say, so that no label beside them can be checked.
            submission.wrong(name, f"{unscored} of its test images have no score")
            continue
        if name in kept_elsewhere:
            continue
        try:
            table = submission.store.predictions(record.spec)
            names = [str(image) for image in table["image"]]
            scores = [float(value) for value in table["quality"]]
        except (StoreError, KeyError, ValueError, TypeError):
            continue  # `validate` has named it
        # Predictions hold qualities, upwards; a database's own labels may fall.
        signs = ([score * sign + 0.0 for score in scores] for sign in (1, -1))
        digests = {scores_digest(record.spec.test, names, one) for one in signs}
        if record.spec.test_digest not in digests:
            what = "the images or labels beside its predictions are not those of its split"
            submission.wrong(name, what)


def _check_declared(submission: Submission, card: SubmissionCard) -> None:
    """Card, records and methods known here declare the same contamination.

    Texts are compared: a split on a card (`koniq10k#official`) does not cover records that name
    the whole database, nor the other way round.
    """
    declared = set(card.training_data)
    recorded: dict[str, str] = {}
    hidden: dict[str, str] = {}
    for name, record in submission.records.items():
        if record.status != "done":
            continue
        for entry in record.trained_on:
            recorded.setdefault(entry, name)
        for entry in _known_of(record) - set(record.trained_on):
            hidden.setdefault(f"{record.spec.method} declares {entry}", name)
        spec = record.spec
        for entry in declared - set(record.trained_on):
            if saw_test_labels([entry], spec.task, spec.fit.split, spec.repeat):
                hidden.setdefault(f"{cards.FILE} declares {entry}", name)
    for entry, name in recorded.items():
        if entry not in declared:
            what = f"its weights had seen labels of {entry} ({name}); training_data must name it"
            submission.wrong(cards.FILE, f"undeclared contamination: {what}")
    for text, name in hidden.items():
        what = f"{text} as seen by its weights, and the record does not"
        submission.wrong(name, f"undeclared contamination: {what} (`Method.trained_on`)")


def _known_of(record: Record) -> set[str]:
    """Databases that the weights of a method of iqa-bench have seen; empty for other methods."""
    fit = record.spec.fit
    entry = registry.entries().get(registry.split_name(fit.method)[0])
    # Methods of one's own would be code that somebody else wrote.
    if entry is None or entry.source is not None or not entry.module.startswith("bench.methods"):
        return set()
    try:
        cls, settings = registry.settings_for(fit.method, dict(fit.settings))
        return set(cls(settings, Context()).trained_on())
    except Exception:  # settings of another version, files that are not here, or made up
        return set()


def _check_baseline(submission: Submission) -> None:
    path = submission.root / BASELINE
    if not path.is_file():
        submission.found.findings.append(Finding("incomplete", BASELINE, "is missing"))
        return
    own = baseline.text_of(baseline.of_runs(submission.runs, submission.name))
    if path.read_text(encoding="utf-8", errors="replace") != own:
        submission.wrong(BASELINE, "is not what the records give; `bench submit` writes it")


def findings_in_words(found: Validation) -> Iterator[str]:
    """A line for each finding, as `bench validate` prints them."""
    for finding in found.findings:
        where = f"{finding.where}: " if finding.where else ""
        yield visible(f"{finding.kind}: {where}{finding.what}")
