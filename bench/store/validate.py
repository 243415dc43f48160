"""Validation of a results folder, before submitting it or accepting one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.data.at_hand import AtHand
from bench.model import audits
from bench.model.records import Record
from bench.store import Store
from bench.store.judging import judge, known_of
from bench.store.manifest import Manifest, apart, read_all
from bench.util.errors import BenchError, StoreError, UsageError
from bench.util.listing import listed

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.data_cache import DataCache
    from bench.metrics import Known

Kind = Literal["wrong", "incomplete", "note"]
OK, WRONG, INCOMPLETE = 0, 1, 3
EXACT = 1e-6
"""Largest difference allowed between a recorded metric and one computed from stored predictions."""
FITTED = 1e-3
"""The same for metrics after a fitted curve; the fit depends on library versions."""


@dataclass(frozen=True)
class Finding:
    """An error in a results folder, or something that readers should know."""

    kind: Kind
    where: str
    """A file under the results folder, or a cell."""
    what: str


@dataclass
class Validation:
    """Counts of the runs that were checked, and the findings."""

    done: int = 0
    failed: int = 0
    expected: int = 0
    """Number of runs that protocols ask for."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 valid, 1 something is wrong, 3 incomplete or empty."""
        kinds = {finding.kind for finding in self.findings}
        if "wrong" in kinds:
            return WRONG
        return INCOMPLETE if "incomplete" in kinds or not self.done else OK


@dataclass
class _Seen:
    """Values that records must agree on: key -> (value, first file with it)."""

    values: dict[tuple[Any, ...], tuple[str, str]] = field(default_factory=dict)

    def differs(self, key: tuple[Any, ...], value: str, where: str) -> str | None:
        """The first file with another value under this key."""
        known, first = self.values.setdefault(key, (value, where))
        return first if known != value else None


def validate(
    results: Path,
    data_roots: Sequence[Path] = (),
    *,
    audited: bool = False,
    kept_elsewhere: Collection[str] = (),
) -> Validation:
    """Check schema, names, digests, completeness, and metrics against stored predictions.

    With `data_roots`, splits and datasets are also checked against the databases found there.
    `kept_elsewhere` are records whose predictions may be missing. Raises `UsageError` if there
    is no such folder.
    """
    if not results.is_dir():
        raise UsageError(f"no results folder '{results}'")
    store, validation, seen = Store(results), Validation(), _Seen()
    data_cache = _library(data_roots)
    done: set[str] = set()
    for path in listed(store.root / "records", "*/*/*.json"):
        name = path.relative_to(store.root).as_posix()
        record = store.read(path)
        if record is None:
            what = "".join(store.problems).removeprefix(f"{path}: ")
            validation.findings.append(Finding("wrong", name, what))
            store.problems.clear()
            continue
        if record.status == "failed":
            validation.failed += 1
        else:
            validation.done += 1
            done.add(name)
        texts = _check_record(store, record, path, seen, data_cache, name in kept_elsewhere)
        validation.findings += [Finding("wrong", name, text) for text in texts]
    _check_manifests(store, done, validation)
    if audited:
        validation.findings += _unaudited(store)
    if data_cache is not None:
        # With data roots the user asked for this check: without any database it is incomplete.
        kind: Kind = "note" if data_cache.checked else "incomplete"
        validation.findings += [Finding(kind, key, text) for key, text in data_cache.absent.items()]
    return validation


def _unaudited(store: Store) -> list[Finding]:
    """Methods with done runs that have no passed audit, each once."""
    passed = {key for key, audit in audits.read_all(store.root).items() if audit.passed}
    fits = {
        audits.key_of(fit.method, fit.settings, fit.code): fit
        for record in store.records(curve=False)
        if record.status == "done"
        for fit in [record.spec.fit]
    }
    exempt = tuple(audits.EXEMPT)
    return [
        Finding("wrong", fit.method, f"has no passed audit of its code {fit.code} and settings")
        for key, fit in fits.items()
        if key not in passed and not fit.method.startswith(exempt)
    ]


def _check_record(
    store: Store,
    record: Record,
    path: Path,
    seen: _Seen,
    data_cache: _Data | None,
    kept_elsewhere: bool,
) -> Iterator[str]:
    name = path.relative_to(store.root).as_posix()
    if store.path(record.spec) != path:
        yield "does not lie where its content says"
    yield from _check_digests(record, seen, name)
    if data_cache is not None:
        yield from data_cache.check(record)
    if record.status == "failed":
        return
    if record.spec.selection not in record.metrics:
        yield f"has no metrics of its selection '{record.spec.selection}'"
    if kept_elsewhere:
        return
    try:
        table = store.predictions(record.spec)
        yield from _check_predictions(table, record, seen, name)
        yield from _check_metrics(record, table, data_cache)
        if data_cache is not None:
            yield from data_cache.check_labels(record, table)
    except (StoreError, ValueError, TypeError) as error:
        yield str(error).splitlines()[0]


def _check_digests(record: Record, seen: _Seen, name: str) -> Iterator[str]:
    spec = record.spec
    for dataset in dict.fromkeys([*spec.task.sources, spec.test]):
        digest = record.digests.get(dataset)
        if digest is None:
            if record.status == "done":
                yield f"has no digest of its database {dataset}"
        elif other := seen.differs(("dataset", dataset), digest, name):
            yield f"was computed on another version of '{dataset}' than {other}"
    key = ("split", spec.task, spec.fit.split, spec.repeat)
    if other := seen.differs(key, spec.split_digest, name):
        yield f"has another split of repeat {spec.repeat} than {other}"


def _check_predictions(
    table: pd.DataFrame, record: Record, seen: _Seen, name: str
) -> Iterator[str]:
    from bench.metrics import GROUPS

    missing = {"image", "quality", "prediction"} - set(table.columns)
    if missing:
        yield f"predictions have no column {', '.join(sorted(missing))}"
        return
    unscored = record.sizes.get("unscored", 0)
    if len(table) != record.sizes.get("test", -1) - unscored:
        but = f", {unscored} of which have no score" if unscored else ""
        yield f"{len(table)} predictions for {record.sizes.get('test')} test images{but}"
    own = f"prediction_{record.spec.selection}"
    if own in table and not table[own].equals(table["prediction"].rename(own)):
        yield f"its columns 'prediction' and '{own}' differ"
    if table["image"].duplicated().any():
        yield "predictions name an image twice"
    # Without labels the column 'quality' is empty; it must not be partly empty.
    unlabelled = not record.judged and table["quality"].isna().all()
    texts = [name for name in ("image", *GROUPS) if name in table]
    numbers = table.drop(columns=[*texts, "quality"] if unlabelled else texts)
    if not numbers.map(lambda value: abs(value) < float("inf")).all(axis=None):
        yield "predictions hold values that are not numbers"
    ordered = table.sort_values("image")[["image", "quality"]]
    text = json.dumps([[image, repr(score)] for image, score in ordered.itertuples(index=False)])
    own = hashlib.sha256(text.encode()).hexdigest()
    if unscored:
        return  # images are missing, so that runs of other methods have different ones
    if other := seen.differs(("test", record.spec.split_digest), own, name):
        yield f"has other test images or labels than {other}, on the same split"


def _check_metrics(record: Record, table: pd.DataFrame, data_cache: _Data | None) -> Iterator[str]:
    from bench.metrics import BY, METRICS, metric

    known = data_cache.known(record, table) if data_cache is not None else None
    lacking = {"validation"} if known is not None else {"validation", "ratings", "five levels"}

    for selection, recorded in record.metrics.items():
        if selection != record.spec.selection and f"prediction_{selection}" not in table:
            yield f"has metrics of selection '{selection}' without predictions"
            continue
        names = [
            name
            for name in recorded
            if name.partition(BY)[0] in METRICS and not lacking & set(metric(name).needs)
        ]
        again = judge(table, record, selection, names, known)
        for name in names:
            if not _agree(name, recorded[name], again[name]):
                values = f"{recorded[name]}, its predictions give {again[name]}"
                yield f"{name} ({selection}) is {values}"


def _agree(metric: str, recorded: float | None, again: float) -> bool:
    if recorded is None or again != again:
        return recorded is None and again != again
    tolerance = FITTED if "logistic" in metric else EXACT
    return abs(recorded - again) <= tolerance * max(1.0, abs(recorded))


def _check_manifests(store: Store, done: set[str], validation: Validation) -> None:
    try:
        manifests = read_all(store)
    except StoreError as error:
        kind: Kind = "wrong" if listed(store.root / "protocols", "*.json") else "incomplete"
        validation.findings.append(Finding(kind, "protocols", str(error)))
        return
    validation.findings += [Finding("wrong", "protocols", text) for text in store.problems]
    for text in apart(store):
        what = f"{text}; their tables stand apart: give each a results folder of its own"
        validation.findings.append(Finding("wrong", "protocols", what))
    mentioned: set[str] = set()
    for manifest in manifests:
        mentioned |= _check_manifest(manifest, done, validation)
    spare = len(done - mentioned)
    if spare:
        text = f"{spare} finished runs belong to no protocol's table"
        validation.findings.append(Finding("note", "records", text))


def _check_manifest(manifest: Manifest, done: set[str], validation: Validation) -> set[str]:
    for cell in manifest.cells:
        validation.expected += len(cell.runs)
        there = sum(run in done for run in cell.runs)
        if there < len(cell.runs):
            where = f"{manifest.protocol.name}: {cell.label} on {cell.task.title}"
            what = f"{there} of {len(cell.runs)} runs are done ({cell.task.budget})"
            validation.findings.append(Finding("incomplete", where, what))
    return {run for cell in manifest.cells for run in cell.runs}


class _Data:
    """The databases on this machine."""

    def __init__(self, data_cache: DataCache) -> None:
        self.data_cache = data_cache
        self.absent: dict[str, str] = {}
        """Datasets that could not be checked -> why."""
        self.checked = 0
        """Records that could."""

    def check(self, record: Record) -> Iterator[str]:
        spec = record.spec
        try:
            _, learnt = self.data_cache.sources(spec.task, spec.fit.split, spec.repeat)
            _, tested = self.data_cache.tested(spec.task, spec.fit.split, spec.repeat)
            names = [*spec.task.sources, spec.test]
            found = {name: self.data_cache.dataset(name).digest for name in names}
        except BenchError as error:
            why = " ".join(line.strip() for line in str(error).splitlines())
            self.absent.setdefault(spec.task.title, f"not checked: {why}")
            return
        self.checked += 1
        if spec.test_digest and (learnt, tested) != (spec.fit.split_digests, spec.test_digest):
            yield "its split is not the one that its data and rule give"
        for name, digest in found.items():
            if record.digests.get(name, digest) != digest:
                yield f"its database {name} is not the one on this machine"

    def known(self, record: Record, table: pd.DataFrame) -> Known | None:
        """Facts on the test images that metrics need besides labels; None if they are not known."""
        from bench.metrics import Known

        found = known_of(AtHand(self.data_cache.data_roots), record.spec.test, table)
        return found if isinstance(found, Known) else None

    def check_labels(self, record: Record, table: pd.DataFrame) -> Iterator[str]:
        """Check the labels stored with predictions: altered labels would alter the result."""
        spec = record.spec
        if spec.task.title in self.absent:
            return
        rows, _ = self.data_cache.tested(spec.task, spec.fit.split, spec.repeat)
        dataset = self.data_cache.dataset(spec.task.test)
        names = dataset.table["image"].iloc[rows].astype(str)
        # Compared as text, so that NaN equals NaN.
        labels = dict(zip(names, map(repr, dataset.quality[rows].tolist()), strict=True))
        qualities = map(repr, table["quality"].tolist())
        found = dict(zip(table["image"].astype(str), qualities, strict=True))
        if labels != found:
            yield "its test images or labels are not those of the dataset"


def _library(data_roots: Sequence[Path]) -> _Data | None:
    if not data_roots:
        return None
    from bench.data.data_cache import DataCache

    return _Data(DataCache(data_roots))
