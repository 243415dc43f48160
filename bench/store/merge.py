"""Merging results folders: equal files are copied once, conflicts are reported, nothing is lost.

Two records of a run are equal if they differ only in when, where and how fast they were computed. A
failed run is replaced by the same run if that is done in another folder.
"""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.model import audits, costs
from bench.model.records import Record
from bench.store import Store
from bench.store.artifacts import SUFFIXES, TITLES
from bench.store.manifest import Manifest, editing, joined, path_of, read_all
from bench.util.atomic import replacing, write_text
from bench.util.errors import StoreError, UsageError
from bench.util.listing import listed

_CIRCUMSTANCES: dict[str, Any] = {
    "created": True,
    "environment": True,
    "seconds": True,
    "peak_memory_mb": True,
    "curve": {"__all__": {"seconds"}},
}

_FIRST = (f"{audits.FOLDER}/", f"{costs.FOLDER}/", "replies/")
"""Folders whose files may differ each time they are made (audits, timings, answers): the first file
is kept."""

_BESIDE = {".parquet": "predictions"} | {SUFFIXES[kind]: TITLES[kind] for kind in SUFFIXES}
"""Files beside a record, by suffix."""


@dataclass
class Merged:
    """What a merge did, or why it did nothing."""

    copied: int = 0
    """Number of files that the target did not have."""
    same: int = 0
    """Number of files that the target had already, or that two sources share."""
    conflicts: list[str] = field(default_factory=list)
    """One text for each conflict, with both files and what differs."""
    problems: list[str] = field(default_factory=list)
    """Files of the sources that cannot be read; they are not copied."""


@dataclass
class _Merge:
    """A merge in two steps: `add` decides what to copy, `write` copies it."""

    into: Store
    result: Merged = field(default_factory=Merged)
    chosen: dict[str, Path] = field(default_factory=dict)
    """Path under the target -> the file that is copied to it."""
    replacing: set[str] = field(default_factory=set)
    """Paths of `chosen`, without suffix, that replace a failed run."""
    manifests: dict[str, Manifest] = field(default_factory=dict)

    def add(self, source: Store) -> None:
        for path, record in _records(source, self.result.problems):
            self._add_run(path, record, source)
        for folder in ("pretrained", "scores", audits.FOLDER, costs.FOLDER, "replies"):
            for path in listed(source.root / folder, "**/*"):
                if path.is_file():
                    self._add_file(path, path.relative_to(source.root).as_posix())
        before = len(source.problems)
        for manifest in _manifests(source):
            self._add_manifest(manifest, source)
        self.result.problems += source.problems[before:]

    def _current(self, name: str) -> Path | None:
        target = self.into.root / name
        return self.chosen.get(name) or (target if target.exists() else None)

    def _add_run(self, path: Path, record: Record, source: Store) -> None:
        name = path.relative_to(source.root).as_posix()
        current = self._current(name)
        if current is None:
            self._choose(path, name)
            return
        # A separate store: the conflict below reports the problem, which must not count twice.
        other = Store(current.parents[3]).read(current)
        if other is None:
            self._conflict(current, path, "the first cannot be read")
        elif other.status != record.status:
            if record.status == "done":
                self.replacing.add(name.removesuffix(".json"))
                self._choose(path, name)
        elif record.status == "done" and (reason := _difference(current, other, path, record)):
            self._conflict(current, path, reason)
        else:
            self.result.same += 1
            self._choose_beside(path, name, current)

    def _choose(self, path: Path, name: str) -> None:
        self.chosen[name] = path
        for suffix in _BESIDE:
            if (beside := path.with_suffix(suffix)).exists():
                self.chosen[_with_suffix(name, suffix)] = beside

    def _choose_beside(self, path: Path, name: str, current: Path) -> None:
        """Choose predictions and artifacts that only the second of two equal records has."""
        for suffix in _BESIDE:
            found, there = path.with_suffix(suffix), current.with_suffix(suffix)
            if found.exists() and not there.exists():
                self.chosen[_with_suffix(name, suffix)] = found

    def _add_file(self, path: Path, name: str) -> None:
        current = self._current(name)
        if current is None:
            self.chosen[name] = path
        elif (
            name.startswith(_FIRST)
            or _same_content(current, path)
            or _same_pretraining(current, path)
        ):
            self.result.same += 1
        else:
            self._conflict(current, path, "their contents differ")

    def _add_manifest(self, manifest: Manifest, source: Store) -> None:
        name = manifest.protocol.name
        first = self.manifests.get(name, manifest)
        self.manifests[name], conflicts = joined(first, manifest)
        self.result.conflicts += [f"{text} in {source.root}" for text in conflicts]

    def _conflict(self, first: Path, second: Path, reason: str) -> None:
        self.result.conflicts.append(f"{first} and {second}: {reason}")

    def write(self) -> None:
        # Records are copied last, since a record promises that its predictions are there.
        for name in sorted(self.chosen, key=lambda name: (name.endswith(".json"), name)):
            target, source = self.into.root / name, self.chosen[name]
            replaceable = _stem(name) in self.replacing
            if target.exists() and not replaceable:
                self._conflict(target, source, "the first was written during the merge")
                continue
            with replacing(target) as temporary:
                shutil.copyfile(source, temporary)
            self.result.copied += 1
        for name, manifest in self.manifests.items():
            path = path_of(self.into, name)
            with editing(self.into, path):
                # Read the manifest again: another command may have added cells in the meantime.
                there = [item for item in _manifests(self.into) if item.protocol.name == name]
                whole = joined(there[0], manifest)[0] if there else manifest
                write_text(path, whole.model_dump_json(indent=1) + "\n")


def merge(sources: Sequence[Path], into: Path, keep_first: bool = False) -> Merged:
    """Copy all that `into` lacks from `sources`. If there is a conflict, nothing is written.

    With `keep_first`, conflicts are reported but do not stop the merge: files of `into` stay as
    they are, and the first source takes precedence over later ones. Manifests of protocols with the
    same name are joined cell by cell; if a cell has more repeats in one folder than in another, the
    larger one is kept. Logs are not copied.

    Raises `UsageError` for a source that is not a results folder, `StoreError` if a manifest of
    `into` cannot be read.
    """
    for source in sources:
        if not any((source / name).is_dir() for name in ("records", "protocols")):
            raise UsageError(f"'{source}' is not a results folder")
    work = _Merge(Store(into))
    for manifest in _manifests(work.into):
        work.manifests[manifest.protocol.name] = manifest
    if work.into.problems:  # nothing is written over a file that cannot be read
        raise StoreError(work.into.problems[0])
    for source in sources:
        if source.resolve() != into.resolve():
            work.add(Store(source))
    if keep_first or not work.result.conflicts:
        work.write()
    return work.result


def _records(source: Store, problems: list[str]) -> Iterator[tuple[Path, Record]]:
    for path in listed(source.root / "records", "*/*/*.json"):
        record = source.read(path)
        if record is not None and source.path(record.spec) != path:
            problems.append(f"{path}: does not lie where its content says")
        elif record is not None:
            yield path, record
    problems += source.problems


def _manifests(store: Store) -> list[Manifest]:
    return read_all(store) if listed(store.root / "protocols", "*.json") else []


def _stem(name: str) -> str:
    """A file's path without its suffixes. Names of folders may contain dots, run ids do not."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _with_suffix(name: str, suffix: str) -> str:
    return name.removesuffix(".json") + suffix


def _difference(first: Path, one: Record, second: Path, two: Record) -> str:
    """What differs between two records of a finished run; '' if only circumstances differ."""
    here, there = (record.model_dump(exclude=_CIRCUMSTANCES) for record in (one, two))
    fields = [name for name in here if here[name] != there[name]]
    if fields:
        return f"{', '.join(fields)} differ"
    for suffix, what in _BESIDE.items():
        files = [path.with_suffix(suffix) for path in (first, second)]
        if all(path.exists() for path in files) and not _same_content(*files):
            return f"their {what} differ"
    return ""


def _same_pretraining(first: Path, second: Path) -> bool:
    """Whether two notes on a pre-training differ only in when, where and how fast it ran.

    The state itself is a file beside its note and compared byte by byte, like every other file.
    """
    if first.suffix != ".json" or first.parent.name != "pretrained":
        return False
    try:
        one, two = (
            _without_circumstances(json.loads(path.read_bytes())) for path in (first, second)
        )
    except ValueError:
        return False
    return bool(one == two)


def _without_circumstances(note: Any) -> Any:
    """A note on a pre-training without the fields that `_CIRCUMSTANCES` names."""
    if not isinstance(note, dict):
        return note
    kept = {key: value for key, value in note.items() if _CIRCUMSTANCES.get(key) is not True}
    points = kept.get("curve")
    if isinstance(points, list) and all(isinstance(point, dict) for point in points):
        kept["curve"] = [
            {key: value for key, value in point.items() if key != "seconds"} for point in points
        ]
    return kept


def _same_content(first: Path, second: Path) -> bool:
    if filecmp.cmp(first, second, shallow=False):
        return True
    if first.suffix != ".parquet":
        return False
    import pandas as pd

    try:
        return bool(pd.read_parquet(first).equals(pd.read_parquet(second)))
    except Exception as error:  # pyarrow has its own exceptions for truncated files.
        raise StoreError(f"'{first}' or '{second}' cannot be read: {error}") from error
