"""Records and per-image predictions on disk: one file a run, whole or not there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bench.atomic import replacing, write_text
from bench.errors import StoreError
from bench.records import SCHEMA, Record, RunSpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Store:
    """A results folder.

    `records/DATASET/METHOD/RUN.json` and `RUN.parquet` (predictions), `protocols/NAME.json` (which
    runs make up which cell), `pretrained/METHOD-KEY.safetensors`, `scores/` (predictions of whole
    datasets by methods that do not train), `logs/`.
    """

    root: Path
    problems: list[str] = field(default_factory=list)
    """Files that were set aside while reading, each with its reason."""

    def path(self, spec: RunSpec) -> Path:
        """Where a run's record lies."""
        task = slug(spec.task.train)
        if spec.task.test != spec.task.train:
            task += f"__{slug(spec.task.test)}"
        return self.root / "records" / task / slug(spec.method) / f"{spec.run_id}.json"

    def get(self, spec: RunSpec) -> Record | None:
        """The run's record, None where there is none that can be read."""
        return self.read(self.path(spec))

    def write(self, record: Record, predictions: pd.DataFrame | None = None) -> Path:
        """Write a record, its predictions first: a record implies its predictions."""
        path = self.path(record.spec)
        if predictions is not None:
            write_parquet(predictions, path.with_suffix(".parquet"))
        write_text(path, record.model_dump_json(indent=1) + "\n")
        return path

    def records(self) -> Iterator[Record]:
        """Every readable record; what cannot be read is named in `problems`."""
        for path in sorted((self.root / "records").glob("*/*/*.json")):
            record = self.read(path)
            if record is not None:
                yield record

    def predictions(self, spec: RunSpec) -> pd.DataFrame:
        """Per-image predictions of a done run: image, quality, prediction (one per selection)."""
        import pandas as pd

        path = self.path(spec).with_suffix(".parquet")
        try:
            return pd.read_parquet(path)
        except Exception as error:  # pyarrow raises its own family for truncated files
            raise StoreError(f"predictions '{path}' cannot be read: {error}") from error

    def pretrained_file(self, method: str, key: str) -> Path:
        """Where a pre-trained state lies, by method name (without argument) and key."""
        return self.root / "pretrained" / f"{slug(method)}-{key}.safetensors"

    def scores_path(self, key: str, method: str, dataset: str) -> Path:
        """Where the scores of a whole dataset by a method that does not train lie."""
        return self.root / "scores" / slug(dataset) / f"{slug(method)}-{key}.parquet"

    def read(self, path: Path) -> Record | None:
        """A record by its path (under the root, or whole); None, and a problem, if unreadable."""
        path = self.root / path
        if not path.exists():
            return None
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            version = value.get("schema_version")
            if isinstance(version, int) and version > SCHEMA:
                raise ValueError(f"schema {version} is newer than this iqa-bench reads ({SCHEMA})")
            record = Record.model_validate(value)
            if record.run_id != record.spec.run_id or record.run_id != path.stem:
                raise ValueError("its name does not match its content")
        except (OSError, ValueError, AttributeError, ValidationError) as error:
            self.problems.append(f"{path}: {_first_line(error)}")
            return None
        return record


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table atomically."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def slug(text: str) -> str:
    """A file name for any label: safe everywhere, readable, never '.' or '..'.

    >>> slug("pyiqa:clipiqa+"), slug("../x")
    ('pyiqa-clipiqa+', '-x')
    """
    return re.sub(r"[^A-Za-z0-9_.+@-]+", "-", text).lstrip(".") or "-"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
