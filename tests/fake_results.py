"""Results folders made without running anything: records, predictions and manifests that agree.

`FakeResults` takes the numbers of each cell; `FakeSweep` draws predictions and takes what metrics
they have. Both write what `bench run` would have written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics import compute
from bench.model.identity import digest
from bench.model.measure import Measure
from bench.model.records import CurvePoint, Environment, Record, RunSpec, Selection, SplitRule, Task
from bench.protocol import Protocol
from bench.store import Store
from bench.store.manifest import CellEntry, Manifest
from bench.util.atomic import write_text
from bench.util.filenames import slug

EVIL = "<script>window.hacked=1</script>"
ENVIRONMENT = Environment(
    commit="0f3c2a9d51", python="3.12.3", platform="Linux x86_64", device="a CPU", threads=2
)
SWEEP_IMAGES = 40
"""Test images of each run of a `FakeSweep`."""


@dataclass
class FakeResults:
    """Builds one protocol's results, cell by cell."""

    root: Path
    protocol: Protocol
    entries: list[CellEntry] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The folder as the harness sees it."""
        return Store(self.root)

    def cell(
        self,
        label: str,
        task: Task,
        values: Sequence[float | str | None],
        *,
        best: Sequence[float] = (),
        method: str = "",
        settings: dict[str, Any] | None = None,
        expected: int | None = None,
        selection: Selection = "last",
        weights: dict[str, str] | None = None,
        **record: Any,
    ) -> list[Record]:
        """A cell: one SRCC a run, None where undefined, a text for the error of a failed run."""
        specs = [
            RunSpec.of(
                task,
                test_digest=digest([task.title, task.budget, repeat]),
                split=self.protocol.split_rule(),
                split_digests=(digest([task.title, task.budget, repeat]),),
                repeat=repeat,
                method=method or label,
                method_version="1",
                code="c0de",
                settings={"label": label, **(settings or {})},
                selection=selection,
                weights=weights or {},
                evaluate_every=5,
            )
            for repeat in range(expected or len(values))
        ]
        records = []
        for repeat, value in enumerate(values):
            other = best[repeat] if best else value
            records.append(self._write(specs[repeat], value, other, record))
        self.add(label, specs)
        return records

    def add(self, label: str, specs: Sequence[RunSpec]) -> None:
        """Put a cell of these runs into the manifest, whether or not they have records."""
        first = specs[0]
        paths = (self.store.path(spec).relative_to(self.root).as_posix() for spec in specs)
        self.entries.append(
            CellEntry(
                label=label,
                method=first.method,
                task=first.task,
                selection=first.selection,
                runs=tuple(paths),
                measure=Measure.of(first.fit),
            )
        )

    def save(self) -> Store:
        """Write the manifest."""
        manifest = Manifest(protocol=self.protocol, cells=self.entries)
        path = self.root / "protocols" / f"{slug(self.protocol.name)}.json"
        write_text(path, manifest.model_dump_json(indent=1) + "\n")
        return self.store

    def _write(self, spec: RunSpec, value: Any, best: Any, changes: dict[str, Any]) -> Record:
        if isinstance(value, str):
            record = failed(spec, value)
            self.store.write(record)
            return record
        curve = [] if value is None else _curve(value, best)
        record = Record(
            run_id=spec.run_id,
            status="done",
            spec=spec,
            metrics={
                "last": _metrics(value),
                spec.selection: _metrics(best if spec.selection == "best_test" else value),
                "best_test": _metrics(best),
            },
            chosen_epoch={"last": 20, "best_test": 15},
            sizes={"train": spec.task.labels or 0, "val": 0, "test": 80},
            seconds={"fit": 9.5, "predict": 0.5, "total": 10.0},
            environment=ENVIRONMENT,
            created="2025-01-01T00:00:00+00:00",
        ).model_copy(update={"curve": curve, **changes})
        self.store.write(record, _predictions(spec.seed, value or 0.5))
        return record


@dataclass
class FakeSweep:
    """Methods whose predictions are quality plus noise; equal arguments give equal results."""

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
        """The folder as the harness sees it."""
        return Store(self.root)

    def write(self) -> Store:
        """Write all runs and the manifest."""
        protocol = Protocol(name=self.protocol, datasets=tuple(self.datasets), labels=(10,))
        made = FakeResults(self.root, protocol)
        for method in self.noise:
            for dataset in self.datasets:
                for repeat in range(self.repeats):
                    self._write(method, dataset, repeat)
                made.add(method, [self.spec(method, dataset, k) for k in range(self.repeats)])
        return made.save()

    def spec(self, method: str, dataset: str, repeat: int) -> RunSpec:
        """What a run is."""
        text = f"{dataset} {self.seed} {repeat}"
        return RunSpec.of(
            Task(train=dataset, test=dataset, labels=10),
            test_digest=hashlib.sha256(text.encode()).hexdigest(),
            split=SplitRule(seed=self.seed),
            split_digests=(hashlib.sha256(text.encode()).hexdigest(),),
            repeat=repeat,
            method=method,
            method_version="1",
            code="c0de",
            settings=dict(self.settings),
            selection=self.selection,
        )

    def record(self, method: str, dataset: str, repeat: int) -> tuple[Record, pd.DataFrame]:
        """A done run and its predictions, not written."""
        spec = self.spec(method, dataset, repeat)
        rng = np.random.default_rng(spec.seed % 2**32)
        quality = rng.normal(size=SWEEP_IMAGES)
        prediction = quality + self.noise[method] * rng.normal(size=SWEEP_IMAGES)
        if method in self.constant:
            prediction = np.zeros(SWEEP_IMAGES)
        names = [f"{repeat}-{index}.png" for index in range(SWEEP_IMAGES)]
        table = pd.DataFrame({"image": names, "quality": quality, "prediction": prediction})
        table[f"prediction_{self.selection}"] = prediction
        values = compute(self.metrics, prediction, quality)
        record = Record(
            run_id=spec.run_id,
            status="done",
            spec=spec,
            metrics={self.selection: {k: v if v == v else None for k, v in values.items()}},
            sizes={"train": 10, "val": 0, "test": SWEEP_IMAGES},
            seconds={"fit": 1.0, "total": 2.0},
            digests={dataset: f"digest of {dataset}"},
            environment=Environment(commit=self.commit),
        )
        return record, table

    def _write(self, method: str, dataset: str, repeat: int) -> None:
        record, table = self.record(method, dataset, repeat)
        if (method, repeat) in self.failed:
            update = {"status": "failed", "metrics": {}, "error": "Boom: broken"}
            self.store.write(record.model_copy(update=update))
        elif (method, repeat) not in self.absent:
            self.store.write(record, table)


def failed(spec: RunSpec, error: str) -> Record:
    """The record of a run that ended in an error."""
    trace = f"Traceback (most recent call last):\n{error}"
    return Record(run_id=spec.run_id, status="failed", spec=spec, error=error, traceback=trace)


def task(dataset: str = "livec", labels: int | None = 50, **more: Any) -> Task:
    """A task within one dataset."""
    return Task(**{"train": dataset, "test": dataset, "labels": labels, **more})


def maker(root: Path, **protocol: Any) -> FakeResults:
    """An empty results folder with a protocol."""
    values: dict[str, Any] = {"name": "few_shot", "title": "Few-shot", "metrics": ("srcc",)}
    return FakeResults(root, Protocol(**{**values, **protocol}))


def showcase(root: Path, repeats: int = 10, trouble: bool = True) -> Store:
    """A results folder with most of what can happen, and plausible numbers."""
    made = maker(
        root,
        title="Few-shot adaptation",
        description="SRCC with 50, 100 and 200 labels, median over ten splits.",
        metrics=("srcc", "plcc"),
    )
    rng = np.random.default_rng(3)
    rows: list[tuple[str, str, float, float]] = [
        ("GRMP-IQA", "grmp", 0.72, 0.045),
        ("PromptIQA", "promptiqa", 0.66, 0.05),
        ("CLIP zero-shot", "clip_zeroshot", 0.41, 0.0),
        ("PIQE", "pyiqa:piqe", 0.30, 0.0),
    ]
    for label, method, base, gain in rows:
        for dataset, shift in (("demo_authentic", 0.0), ("demo_synthetic", 0.08)):
            for step, labels in enumerate((50, 100, 200)):
                middle = base + shift + gain * step
                values: list[Any] = list(rng.normal(middle, 0.018, repeats))
                best = [value + abs(rng.normal(0.012, 0.006)) for value in values]
                if trouble and (label, dataset, labels) == ("PromptIQA", "demo_synthetic", 200):
                    values[3] = "RuntimeError: the loss is not finite after epoch 7"
                curve = {} if gain else {"curve": [], "chosen_epoch": {"last": 0, "best_test": 0}}
                made.cell(
                    label,
                    task(dataset, labels),
                    values,
                    best=best if gain else [],
                    method=method,
                    settings={"lr": 1e-4, "epochs": 20},
                    weights={"name": "tiny", "weights": "sha256:5f"} if method[:3] != "pyi" else {},
                    trained_on=["demo_synthetic"] if trouble and label == "PIQE" else [],
                    **curve,
                )
    return made.save()


def _metrics(value: float | None) -> dict[str, float | None]:
    return {"srcc": value, "plcc": None if value is None else min(1.0, value + 0.01)}


def _curve(value: float, best: float) -> list[CurvePoint]:
    points = []
    for epoch in range(1, 21):
        share = 1 - np.exp(-epoch / 4)
        srcc = best if epoch == 15 else value if epoch == 20 else value * share
        points.append(
            CurvePoint(
                epoch=epoch,
                loss=float(0.3 * np.exp(-epoch / 6) + 0.02),
                diagnostics={
                    "angle": float(70 + 25 * share + np.sin(epoch + 9 * np.clip(value, -1, 1)))
                },
                seconds=epoch * 0.47,
                test=_metrics(float(srcc)) if epoch % 5 == 0 else None,
            )
        )
    return points


def _predictions(seed: int, strength: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed % 2**32)
    quality = np.clip(rng.normal(3.1, 0.8, 80), 1, 5)
    noise = np.sqrt(max(0.0, 1 / min(max(strength, 0.05), 1.0) ** 2 - 1))
    raw = (quality - 3.1) / 0.8 + noise * rng.normal(size=80)
    prediction = 1 / (1 + np.exp(-raw))
    return pd.DataFrame(
        {
            "image": [f"img{index:03}.png" for index in range(80)],
            "quality": quality,
            "prediction": prediction,
        }
    )
