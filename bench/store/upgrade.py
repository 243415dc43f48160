"""`bench upgrade`: turns a results folder of schema 1 into one of schema 2; nothing is lost.

Schema 2 separates the fit from the test side, and a fit is also named by the method's code. A
record of schema 1 does not hold the code: it keeps its numbers, and its code is 'unknown'.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.model.identity import digest
from bench.model.record_format import from_text, to_text
from bench.model.records import SCHEMA, FitSpec, Record, RunSpec, SplitRule
from bench.store import Store
from bench.store.artifacts import SUFFIXES
from bench.util.atomic import write_text
from bench.util.errors import StoreError, UsageError
from bench.util.listing import listed

OLD = 1
UNKNOWN = "unknown"
_LEARNT = ("method", "method_version", "settings", "weights", "pretrained", "selection")
_MEASURED = ("repeat", "evaluate_every", "normalise")


@dataclass(frozen=True)
class Upgraded:
    """What an upgrade did."""

    records: int
    """Records that were rewritten."""
    kept: int
    """Records that were of this schema already."""
    newer: int = 0
    """Records of a schema that a newer iqa-bench wrote."""


def upgrade(results: Path) -> Upgraded:
    """Rewrite every record of schema 1, and the manifests that name them.

    Each record's name is checked against its content first. New files are written before the
    manifests, and old files are removed last, so that an upgrade can be killed and run again.

    Raises `UsageError` if there is no such folder, `StoreError` naming a record that is damaged or
    whose name does not match its content.
    """
    if not results.is_dir():
        raise UsageError(f"no results folder '{results}'")
    store, moved, others = Store(results), dict[str, str](), Counter[bool]()
    for path in listed(store.root / "records", "*/*/*.json"):
        values = _values(path)
        version = values.get("schema_version")
        if version != OLD:
            others[isinstance(version, int) and version > SCHEMA] += 1
            continue
        record = _record(values, path)
        new = store.path(record.spec)
        _copy_beside(path, new)
        write_text(new, to_text(record))
        moved[_place(store, path)] = _place(store, new)
    for manifest in listed(store.root / "protocols", "*.json"):
        _rewrite(manifest, moved)
    for place in moved:
        _remove(store.root / place)
    return Upgraded(len(moved), others[False], others[True])


def _values(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"'{path}' cannot be read: {error}; move it away first") from error
    return values if isinstance(values, dict) else {}


def _record(values: dict[str, Any], path: Path) -> Record:
    """The record of schema 2 with the content of one of schema 1."""
    try:
        return _rewritten(values, path)
    except (LookupError, TypeError, ValueError) as error:  # pydantic's is a ValueError
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise StoreError(
            f"'{path}': no record of schema {OLD} ({reason}); move it away first"
        ) from error


def _rewritten(values: dict[str, Any], path: Path) -> Record:
    spec = values["spec"]
    if values["run_id"] != digest(spec) or path.stem != values["run_id"]:
        raise StoreError(f"'{path}': its name does not match its content; move it away first")
    task = spec["task"]
    whole = task["train"] != task["test"]
    fit = FitSpec(
        train=task["train"],
        learn="all" if whole else "side",
        labels=task["labels"],
        ratio=task["ratio"],
        zero_shot=task["zero_shot"],
        split=SplitRule(**{**spec["split"], "version": OLD}),
        split_digests=(spec["split_digest"],),
        code=UNKNOWN,
        image_policy=values.pop("image_policy", ""),
        **{key: spec[key] for key in (*_LEARNT, *_MEASURED)},
    )
    run = RunSpec(fit=fit, test=task["test"], side="whole" if whole else "own", test_digest="")
    digests = values.pop("digests", {})
    named = {task[role]: digests[role] for role in ("train", "test") if role in digests}
    changes = {"schema_version": 2, "run_id": run.run_id, "spec": run.model_dump(mode="json")}
    text = json.dumps({**values, **changes, "digests": named, "real_names": True})
    return from_text(text.encode())


def _copy_beside(old: Path, new: Path) -> None:
    """Give predictions and artifacts the new name, too; the old one stays until the end."""
    new.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".parquet", *SUFFIXES.values()):
        source, target = old.with_suffix(suffix), new.with_suffix(suffix)
        if source.exists() and not target.exists():
            target.hardlink_to(source)


def _rewrite(path: Path, moved: dict[str, str]) -> None:
    values = _values(path)
    if values.get("schema_version") != OLD:
        return
    values["schema_version"] = 2
    for cell in values["cells"]:
        task = cell["task"]
        if task["train"] != task["test"]:
            task.update(learn="all", side="whole")
        cell["runs"] = [moved.get(run, run) for run in cell["runs"]]
    write_text(path, json.dumps(values, indent=1) + "\n")


def _remove(record: Path) -> None:
    for suffix in (".parquet", *SUFFIXES.values(), ".json"):
        record.with_suffix(suffix).unlink(missing_ok=True)


def _place(store: Store, path: Path) -> str:
    return path.relative_to(store.root).as_posix()
