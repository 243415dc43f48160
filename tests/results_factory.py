"""Results folders made without running anything: records, predictions and manifests that agree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer
from typer.testing import CliRunner

from bench.cli import results as cli_results
from bench.metrics import compute
from bench.model.records import Environment, Record, RunSpec, Selection, SplitRule, Task
from bench.protocol import Protocol
from bench.store import Store
from bench.store.manifest import CellEntry, Manifest
from bench.util.errors import BenchError

TEST = 40


@dataclass
class Factory:
    """Writes a results folder; equal arguments give equal results."""

    root: Path
    noise: Mapping[str, float] = field(default_factory=lambda: {"good": 0.5, "fair": 1.0})
    """Method -> how far its predictions lie from quality; the draws are shared (paired)."""
    datasets: Sequence[str] = ("livec", "koniq10k")
    repeats: int = 10
    protocol: str = "few_shot"
    selection: Selection = "last"
    failed: frozenset[tuple[str, int]] = frozenset()
    absent: frozenset[tuple[str, int]] = frozenset()
    """(method, repeat) of runs that failed, or have no record."""
    constant: frozenset[str] = frozenset()
    """Methods that predict one value for all."""
    metrics: Sequence[str] = ("srcc", "plcc", "rmse")
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    commit: str = "c0ffee"

    @property
    def store(self) -> Store:
        return Store(self.root)

    def write(self) -> Store:
        cells = [self._cell(method, name) for method in self.noise for name in self.datasets]
        protocol = Protocol(name=self.protocol, datasets=tuple(self.datasets), labels=(10,))
        manifest = Manifest(protocol=protocol, cells=cells)
        path = self.root / "protocols" / f"{self.protocol}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return self.store

    def spec(self, method: str, dataset: str, repeat: int) -> RunSpec:
        text = f"{dataset} {self.seed} {repeat}"
        return RunSpec(
            task=Task(train=dataset, test=dataset, labels=10),
            split=SplitRule(seed=self.seed),
            split_digest=hashlib.sha256(text.encode()).hexdigest(),
            repeat=repeat,
            method=method,
            method_version="1",
            settings=dict(self.settings),
            selection=self.selection,
        )

    def record(self, method: str, dataset: str, repeat: int) -> tuple[Record, pd.DataFrame]:
        spec = self.spec(method, dataset, repeat)
        rng = np.random.default_rng(spec.seed % 2**32)
        quality = rng.normal(size=TEST)
        prediction = quality + self.noise[method] * rng.normal(size=TEST)
        if method in self.constant:
            prediction = np.zeros(TEST)
        names = [f"{repeat}-{index}.png" for index in range(TEST)]
        table = pd.DataFrame({"image": names, "quality": quality, "prediction": prediction})
        table[f"prediction_{self.selection}"] = prediction
        values = compute(self.metrics, prediction, quality)
        record = Record(
            run_id=spec.run_id,
            status="done",
            spec=spec,
            metrics={self.selection: {k: v if v == v else None for k, v in values.items()}},
            sizes={"train": 10, "val": 0, "test": TEST},
            seconds={"fit": 1.0, "total": 2.0},
            digests={"train": f"digest of {dataset}", "test": f"digest of {dataset}"},
            environment=Environment(commit=self.commit),
        )
        return record, table

    def _cell(self, method: str, dataset: str) -> CellEntry:
        paths = []
        for repeat in range(self.repeats):
            record, table = self.record(method, dataset, repeat)
            path = self.store.path(record.spec)
            paths.append(path.relative_to(self.root).as_posix())
            if (method, repeat) in self.failed:
                update = {"status": "failed", "metrics": {}, "error": "Boom: broken"}
                self.store.write(record.model_copy(update=update))
            elif (method, repeat) not in self.absent:
                self.store.write(record, table)
        task = Task(train=dataset, test=dataset, labels=10)
        return CellEntry(
            label=method, method=method, task=task, selection=self.selection, runs=tuple(paths)
        )


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    text: str


def command(*arguments: object) -> Ended:
    """Run one of the commands on stored results in this process, as the command line would."""
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    cli_results.register(app)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, BenchError):
        return Ended(result.exception.exit_code, f"error: {result.exception}")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.output)
