"""`bench audit`: checks that a method predicts from images and training labels only.

The method runs, through the command line and in new processes, on databases that differ in one
respect each: other test labels, other file names, another order, another batch size, no repeat
before it, or nothing at all. Its predictions must not change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml

from bench import source
from bench.api import OWN
from bench.data import features
from bench.data.data_cache import DataCache
from bench.model.audits import EXEMPT, Audit, Property
from bench.model.records import Record, Task
from bench.protocol import Protocol
from bench.protocol.variants import Variant
from bench.store import Store
from bench.util.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.datasets.base import Dataset

Predictions = npt.NDArray[np.float64]
NAME = "audited"
"""Name of the databases on which a method is audited."""
MOST = 240
"""Images of a database that take part, two thirds of them labelled."""
TOLERANCE = 1e-4
"""Largest change allowed with order and batch size, as a share of the predictions' deviation."""


@dataclass(frozen=True)
class Arrangement:
    """One way of laying out the same images."""

    labels: Callable[[npt.NDArray[np.float64], npt.NDArray[np.bool_]], npt.NDArray[np.float64]] = (
        lambda scores, tested: scores
    )
    """All scores from the true ones and a mask of the test images."""
    file: Callable[[int, bool], str] = lambda row, tested: f"{row:05d}"
    """The stem of an image's file name, by its row and by whether it is tested."""


def redrawn(
    scores: npt.NDArray[np.float64], tested: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """The scores, those of test images reversed in order of quality and the others unchanged."""
    changed = scores.copy()
    own = np.flatnonzero(tested)
    ranked = own[np.argsort(scores[own], kind="stable")]
    changed[ranked] = scores[ranked[::-1]]
    return changed


def renamed(row: int, tested: bool) -> str:
    """Another file name that sorts as the row does, since the harness orders images by name."""
    return f"photo_{row * 7 + 3:06d}"


def shuffled(row: int, tested: bool) -> str:
    """Other names of the test images, which sort differently and so change their order."""
    return f"{(row * 7919 + 13) % 100_003:06d}" if tested else f"{row:05d}"


PLAIN = Arrangement()


@dataclass
class Auditor:
    """Audits one method on one database."""

    variant: Variant
    dataset: Dataset
    protocol: Protocol
    roots: Sequence[Path]
    device: str
    folder: Path
    say: Callable[[str], None] = lambda text: None
    _rows: npt.NDArray[np.int64] = field(init=False)
    _tested: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self._rows, self._tested = self._chosen()

    def properties(self) -> Iterator[Property]:
        """One property after another; the first that fails to run ends the audit."""
        try:
            base = self._run("plain", PLAIN, repeats=2)
            first, second = self._predictions(base, 0), self._predictions(base, 1)
        except MethodError as error:
            yield Property(name="runs", holds=False, detail=str(error))
            return
        yield self._varies(first)
        if float(np.ptp(first)) == 0.0:
            return
        again = self._attempt("a second run", lambda: self._plain("again"))
        noise = 0.0
        if isinstance(again, Property):
            yield again
        else:
            yield self._equal("a second run under one seed", first, again, 0.0)
            noise = float(np.abs(first - again).max()) if self.device != "cpu" else 0.0
        loose = max(TOLERANCE * float(np.std(first)), 2 * noise)
        plain, loose_plain = (first, noise), (first, loose)
        looks: tuple[tuple[str, Callable[[], Predictions], tuple[Predictions, float]], ...] = (
            ("other test labels", lambda: self._plain("labels", Arrangement(redrawn)), plain),
            ("other file names", lambda: self._plain("files", Arrangement(file=renamed)), plain),
            ("no repeat before it", lambda: self._alone(base), (second, noise)),
            (
                "another order of images",
                lambda: self._plain("order", Arrangement(file=shuffled)),
                loose_plain,
            ),
            (
                "another batch size",
                lambda: self._plain("batch", PLAIN, "--batch-size", "7"),
                loose_plain,
            ),
        )
        for title, look, (reference, tolerance) in looks:
            found = self._attempt(title, look)
            yield (
                found
                if isinstance(found, Property)
                else self._equal(title, reference, found, tolerance)
            )

    def _chosen(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The rows that take part, and a mask of the tested ones, by the protocol's first split."""
        data_cache = DataCache(self.roots)
        rule = self.protocol.split_rule()
        budget = self.protocol.tasks()[0] if self.protocol.tasks() else None
        spec = self.dataset.info.spec
        labels = budget.labels if budget else None
        task = Task(train=spec, test=spec, labels=labels)
        sources, _ = data_cache.sources(task, rule, 0)
        tested, _ = data_cache.tested(task, rule, 0)
        train = sources[0].train[: MOST * 2 // 3]
        tested = tested[: MOST - len(train)]
        rows = np.concatenate([train, tested])
        mask = np.arange(len(rows)) >= len(train)
        if len(tested) < 5 or len(train) < 5:
            raise DataError(f"{spec} is too small to audit on: {len(rows)} images take part")
        return rows, mask

    def _attempt(self, title: str, run: Callable[[], Predictions]) -> Predictions | Property:
        try:
            return run()
        except MethodError as error:
            return Property(name=title, holds=False, detail=f"failed: {error}")

    def _varies(self, predictions: Predictions) -> Property:
        if float(np.ptp(predictions)) == 0.0:
            detail = f"nothing to audit: every image got {predictions[0]:g}"
            return Property(name="predictions differ", holds=False, detail=detail)
        return Property(name="predictions differ", holds=True, detail="")

    def _equal(
        self, title: str, first: Predictions, other: Predictions, tolerance: float
    ) -> Property:
        moved = np.flatnonzero(~(np.abs(first - other) <= tolerance))
        if not len(moved):
            return Property(name=title, holds=True, detail="")
        row = int(moved[0])
        name = self.dataset.table["image"].iloc[self._rows[self._tested][row]]
        detail = (
            f"{len(moved)} of {len(first)} predictions moved, first '{name}': "
            f"{first[row]:.9g} became {other[row]:.9g}"
        )
        return Property(name=title, holds=False, detail=detail)

    def _plain(self, name: str, how: Arrangement = PLAIN, *options: str) -> Predictions:
        return self._predictions(self._run(name, how, 1, *options), 0)

    def _alone(self, base: Run) -> Predictions:
        """The second repeat in a process that has not computed the first."""
        copy = self.folder / "alone"
        shutil.copytree(base.results, copy)
        store = Store(copy)
        for record in list(store.records(curve=False)):
            if record.spec.repeat == 1:
                store.path(record.spec).unlink()
        for kept in ("scores", "features"):
            shutil.rmtree(copy / kept, ignore_errors=True)
        run = Run(base.root, copy, base.how)
        self._bench(run, 2)
        return self._predictions(run, 1)

    def _run(self, name: str, how: Arrangement, repeats: int, *options: str) -> Run:
        self.say(name)
        run = Run(self.folder / name / "data", self.folder / name / "results", how)
        self._lay_out(run.root, how)
        before = self.folder / "plain" / "results" / "pretrained"
        # A state that was pre-trained on other databases has seen no label of this one: reuse it.
        if name != "plain" and before.is_dir() and OWN not in self.variant.build().corpora():
            shutil.copytree(before, run.results / "pretrained")
        self._bench(run, repeats, *options)
        return run

    def _bench(self, run: Run, repeats: int, *options: str) -> None:
        protocol = run.root / "protocol.yaml"
        protocol.write_text(yaml.safe_dump(self._protocol(), allow_unicode=True), encoding="utf-8")
        command = [sys.executable, "-m", "bench", "run", str(protocol), "--repeats", str(repeats)]
        command.append("--no-report")
        command += ["--results", str(run.results), "--device", self.device, "--jobs", "1"]
        for root in (run.root, *self.roots):
            command += ["--data-root", str(root)]
        # Its own feature cache, so that the single repeat cannot use features of an earlier one.
        kept = {features.FOLDER_NAME: str(run.results / "features")}
        environment = {**os.environ, **kept, "COLUMNS": "200"}
        found = subprocess.run(
            [*command, *options], capture_output=True, text=True, check=False, env=environment
        )
        failed = [r for r in Store(run.results).records(curve=False) if r.status == "failed"]
        if failed:
            raise MethodError(failed[0].error or "failed")
        if found.returncode not in (0, 1):
            raise MethodError((found.stderr.strip().splitlines() or ["failed"])[-1])

    def _protocol(self) -> dict[str, Any]:
        asked = self.protocol
        return {
            "name": NAME,
            "datasets": [NAME],
            "split": "official",
            "selection": "last",
            "zero_shot": asked.zero_shot,
            "evaluate_every": asked.evaluate_every,
            "normalise": asked.normalise,
            "methods": [{"method": self.variant.method, "set": self.variant.raw}],
        }

    def _lay_out(self, root: Path, how: Arrangement) -> None:
        """A database of its own in a data root: table, configuration and links to the images."""
        from bench.data.images.files import find_files

        info, table = self.dataset.info, self.dataset.table.iloc[self._rows]
        images = root / NAME / "images"
        images.mkdir(parents=True)
        files = find_files(self.dataset.root, list(table["image"]))
        names = []
        for row, file in enumerate(files):
            if file is None:
                raise DataError(f"{info.spec}: image '{table['image'].iloc[row]}' is missing")
            stem = how.file(row, bool(self._tested[row]))
            names.append(f"{stem}{file.suffix.lower()}")
            (images / names[-1]).symlink_to(file.resolve())
        scores = how.labels(table["score"].to_numpy(dtype=np.float64), self._tested)
        part = np.where(self._tested, "test", "train")
        frame = table[["reference", "scene", "distortion"]].assign(
            image=names, score=scores, part=part, group=table["group"]
        )
        frame.to_csv(root / NAME / "table.csv", index=False)
        columns = {"reference": "reference", "scene": "scene", "distortion": "distortion"}
        entry = {
            "root": NAME,
            "images": "images",
            "table": "table.csv",
            "label": info.label,
            "range": [info.low, info.high],
            "group": "group",
            "split": "part",
            **{key: name for key, name in columns.items() if (table[key] != "").any()},
        }
        text = yaml.safe_dump({"databases": {NAME: entry}})
        (root / "iqa-data.yaml").write_text(text, encoding="utf-8")

    def _predictions(self, run: Run, repeat: int) -> Predictions:
        """Predictions of the test images, in the order of their rows."""
        store = Store(run.results)
        record = next(_of_repeat(store, repeat), None)
        if record is None:
            raise MethodError("left no record")
        table: pd.DataFrame = store.predictions(record.spec)
        stems = table["image"].str.rpartition(".")[0]
        found = dict(zip(stems, table["prediction"], strict=True))
        rows = np.flatnonzero(self._tested)
        return np.array([found[run.how.file(int(row), True)] for row in rows], dtype=np.float64)


@dataclass(frozen=True)
class Run:
    """One run of the command line."""

    root: Path
    """Its data root."""
    results: Path
    """Its results folder."""
    how: Arrangement


class MethodError(Exception):
    """The method failed while it was audited."""


def audit(
    variant: Variant,
    dataset: str,
    protocol: Protocol,
    roots: Sequence[Path],
    results: Path,
    device: str,
    show: Callable[[Property], None] = lambda item: None,
) -> Audit:
    """Audit a method and write the finding to `results/audits`.

    Raises `UsageError` for methods that cannot be audited.
    """
    reason = EXEMPT.get(variant.cls.name)
    if reason:
        raise UsageError(f"{variant.cls.name} cannot be audited: {reason}")
    found = DataCache(roots).dataset(dataset)
    with tempfile.TemporaryDirectory(prefix="iqa-bench-audit-") as folder:
        auditor = Auditor(variant, found, protocol, roots, device, Path(folder))
        properties = []
        for item in auditor.properties():
            show(item)
            properties.append(item)
    code = source.digest(variant.cls.name)
    finding = Audit.of(variant.method, variant.identity(), code, dataset, device, properties)
    finding.write(results)
    return finding


def _of_repeat(store: Store, repeat: int) -> Iterator[Record]:
    return (record for record in store.records(curve=False) if record.spec.repeat == repeat)
