"""Baselines: the part of a result set that `bench check` needs, as one small file for git."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from bench.model.records import SCHEMA, Selection, refuse_newer
from bench.store import Store
from bench.store import table as runs_table
from bench.util.atomic import write_text
from bench.util.errors import StoreError, UsageError, hint
from bench.util.filenames import present, readable, slug
from bench.util.listing import listed
from bench.util.strict import StrictModel
from bench.util.validation import first_reason

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path("baselines")
DECIMALS = 6
"""Decimals of stored metrics, and those that `bench check` compares."""
_CELL = ("protocol", "label", "method", "train", "test", "budget", "selection", "measured")
_SPLIT = ("split_digest", "repeat", "n_train", "n_val", "n_test", "n_pool")


class BaselineCell(StrictModel):
    """One cell of a table with its finished runs."""

    protocol: str
    """Name of its protocol, '' if it belongs to none."""
    label: str
    """The row's name in tables."""
    method: str
    """Method name, argument included."""
    train: str
    """Dataset whose labels are learnt."""
    test: str
    """Dataset that is predicted."""
    budget: str
    """Label budget or training ratio, as `Task.budget` writes it."""
    selection: Selection
    """The epoch that is reported."""
    measured: str = ""
    """How its runs are measured, as `Measure.title` writes it; '' in files of older versions."""
    missing: int = 0
    """Number of runs that the protocol asks for and that are not done."""
    runs: list[list[float | None]] = Field(default_factory=list)
    """One row for each run: index of its split, then its metrics in the order of `metrics`."""


class Baseline(StrictModel):
    """The content of a file. Equal results give equal bytes, so that git shows what changed."""

    schema_version: int = SCHEMA
    """Version of this format."""
    name: str
    """Name of the baseline."""
    newest: str = ""
    """When its newest run was written, UTC."""
    commits: list[str] = Field(default_factory=list)
    """Commits of the project that computed it."""
    metrics: list[str]
    """Names of the metrics in each row, in order."""
    splits: list[tuple[str, int, int | None, int | None, int | None, int | None]]
    """Digest, repeat, and numbers of images: training, validation, test and training pool."""
    cells: list[BaselineCell]
    """In the order of the tables."""


def save(results: Path | Store, name: str, folder: Path = FOLDER) -> tuple[Path, Baseline]:
    """Write a result set as FOLDER/NAME.json, over an older file of this name.

    Raises `StoreError` if none of its runs is done.
    """
    store = results if isinstance(results, Store) else Store(results)
    baseline = of_runs(runs_table.load(store), name)
    if not any(cell.runs for cell in baseline.cells):
        raise StoreError(f"'{store.root}' holds no finished run to keep")
    path = folder / f"{slug(name)}.json"
    write_text(path, text_of(baseline))
    return path, baseline


def of_runs(runs: pd.DataFrame, name: str) -> Baseline:
    """The baseline of a table of runs (`bench.store.table.load`)."""
    done = runs[runs["status"] == "done"]
    metrics = [column for column in runs.columns if column not in runs_table.COLUMNS]
    splits: dict[tuple[Any, ...], int] = {}
    cells = []
    for key, part in runs.groupby(list(_CELL), sort=False, dropna=False):
        finished = part[part["status"] == "done"]
        rows = [
            [splits.setdefault(_split(values[: len(_SPLIT)]), len(splits))]
            + [_number(value) for value in values[len(_SPLIT) :]]
            for values in finished[[*_SPLIT, *metrics]].itertuples(index=False, name=None)
        ]
        missing = len(part) - len(finished)
        own = dict(zip(_CELL, key, strict=True))
        cells.append(BaselineCell.model_validate({**own, "runs": rows, "missing": missing}))
    commits = sorted({commit for commit in done["commit"].dropna() if commit})
    return Baseline(
        name=name,
        newest=max(done["created"], default=""),
        commits=commits,
        metrics=metrics,
        splits=list(splits),
        cells=cells,
    )


def find(text: str) -> Path:
    """The results folder or baseline file that a command line names.

    Raises `UsageError` if there is neither, with the most similar name of a baseline.
    """
    older = FOLDER / f"{readable(text)}.json"
    for path in (Path(text), FOLDER / f"{slug(text)}.json"):
        if present(path):
            return path
    # Older versions gave similar names one file; it belongs to the baseline that it names.
    if present(older) and _parse(older).name == text:
        return older
    known = [_name(path) for path in listed(FOLDER, "*.json")]
    raise UsageError(f"no results folder, file or baseline '{text}'.{hint(text, known)}")


def read(path: Path) -> pd.DataFrame:
    """The runs of a baseline file in columns of `bench.store.table`; missing runs have no split.

    Raises `UsageError` for a file that is not a baseline, or that a newer version wrote.
    """
    import pandas as pd

    baseline = _parse(path)
    rows: list[dict[str, Any]] = []
    for cell in baseline.cells:
        own = {key: getattr(cell, key) for key in _CELL}
        for run in cell.runs:
            split = dict(zip(_SPLIT, baseline.splits[int(run[0] or 0)], strict=True))
            values = dict(zip(baseline.metrics, run[1:], strict=True))
            rows.append({**own, **split, **values, "status": "done"})
        rows += [{**own, "status": "missing"}] * cell.missing
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=[*_CELL, *_SPLIT, "status", *baseline.metrics])
    return frame.astype(dict.fromkeys(baseline.metrics, float))


def _name(path: Path) -> str:
    try:
        return _parse(path).name
    except UsageError:
        return path.stem


def _parse(path: Path) -> Baseline:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        refuse_newer(value.get("schema_version") if isinstance(value, dict) else None)
        baseline = Baseline.model_validate(value)
        _check(baseline)
    except ValidationError as error:
        raise _unreadable(path, first_reason(error, Baseline)) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    except RecursionError:
        raise _unreadable(path, "nested too deeply") from None
    return baseline


def _unreadable(path: Path, reason: str) -> UsageError:
    return UsageError(f"'{path}' is not a baseline that can be read: {reason}")


def _check(baseline: Baseline) -> None:
    width = 1 + len(baseline.metrics)
    for cell in baseline.cells:
        for run in cell.runs:
            index = run[0] if len(run) == width else None
            if index is None or index not in range(len(baseline.splits)):
                raise ValueError(f"a run of '{cell.label}' fits neither metrics nor splits")


def _split(values: tuple[Any, ...]) -> tuple[Any, ...]:
    import pandas as pd

    digest, *counts = values
    return (digest, *(None if pd.isna(value) else int(value) for value in counts))


def _number(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), DECIMALS)


def text_of(baseline: Baseline) -> str:
    """JSON with a line for each split and each cell: readable, and small in a diff."""
    value = baseline.model_dump(mode="json")
    lists = {key: value.pop(key) for key in ("splits", "cells")}
    head = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    parts = [head]
    for key, items in lists.items():
        rows = ",\n  ".join(
            json.dumps(item, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            for item in items
        )
        parts.append(f' "{key}": [\n  {rows}\n ]')
    return ",\n".join(parts) + "\n}\n"
