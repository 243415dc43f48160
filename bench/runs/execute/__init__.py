"""One run → one record: fit, predict, score, write.

The method works in a process of its own (`bench.runs.isolation`); this one holds the test labels,
judges, and writes.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data import selection
from bench.data.data_cache import DataCache
from bench.model.identity import digest
from bench.model.jobs import Event, RunJob
from bench.model.records import Record, RunSpec, Selection
from bench.runs.execute import keeping
from bench.runs.execute.fitting import (
    EvalSet,
    EvaluatedEpoch,
    Fitting,
    Interrupted,
    Trajectory,
    checked,
)
from bench.runs.isolation import Account, Facts, MethodDied, MethodFailed, MethodProcess, Start
from bench.store import Store, artifacts, read_parquet, set_aside, write_parquet
from bench.store.claims import Claims, Holder
from bench.util.environment import environment
from bench.util.errors import BenchError, DataError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.api import Epoch, ImagePolicy, Images
    from bench.data.datasets.base import Dataset
    from bench.data.splits import Split

PLAIN = ("srcc", "plcc", "krcc", "rmse")


@dataclass
class RunExecutor:
    """Executes runs in this process; datasets and images are opened once."""

    store: Store
    data_cache: DataCache
    device: str = "cpu"
    batch_size: int = 64
    cuda_graphs: bool = False
    deterministic: bool = False
    keep: tuple[str, ...] = ()
    emit: Callable[[Event], None] = lambda event: None
    stopping: Callable[[], bool] = lambda: False
    claims: Claims | None = None
    """What other processes of the results folder are at; the store's own by default."""

    def __post_init__(self) -> None:
        self._claims = self.claims or Claims(self.store.root)
        self._scored: dict[str, pd.Series] = {}
        self._facts: dict[str, Facts] = {}
        self._accounts: dict[str, Account] = {}

    def execute(self, work: RunJob) -> Record:
        """Compute a run and write its record, done or failed.

        `Interrupted` passes through, and so do `StoreError` and `MethodDied`: that the disk is full
        is no result of the run, and a process that was killed is tried once more.
        """
        spec = work.spec
        try:
            record, predictions = self._run(work)
        except (Interrupted, KeyboardInterrupt, StoreError, MethodDied):
            raise
        except Exception as error:  # whatever a method raises is the run's result
            record, predictions = self._failure(spec, error), None
        self.store.write(record, predictions)
        return record

    def facts(self, work: RunJob) -> Facts:
        """What the method says of itself; asked once for all runs of one setting."""
        key = digest([work.spec.method, work.settings])
        if key not in self._facts:
            with MethodProcess(self._start(work)) as method:
                self._facts[key] = method.facts
        return self._facts[key]

    def kept_all(self, work: RunJob) -> bool:
        """Whether a finished run has kept all that is asked for and its method can give."""
        return artifacts.complete(self.store, work.spec, self._kept(work))

    def _kept(self, work: RunJob) -> frozenset[str]:
        return self.facts(work).able & set(self.keep) if self.keep else frozenset()

    def _run(self, work: RunJob) -> tuple[Record, pd.DataFrame]:
        started = time.perf_counter()
        spec = work.spec
        train, test = (self.data_cache.dataset(name) for name in (spec.task.train, spec.task.test))
        split, found = self.data_cache.split(spec.task, spec.split, spec.repeat)
        annotations = spec.annotations and self.data_cache.annotations(
            spec.task, spec.split, spec.repeat
        )
        if (found, annotations) != (spec.split_digest, spec.annotations):
            raise DataError(
                f"{spec.task.title}: the data changed after the run was planned; plan it again"
            )
        facts = self.facts(work)
        sides = _sides(train, test, split, self.data_cache, facts.policy, spec)
        known = test.table.iloc[split.test].assign(quality=test.quality[split.test])
        if facts.learns and not spec.task.zero_shot:
            with self._method(work) as method:
                trajectory = self._fit(method, spec, train, split, sides)
                # Of the state after the last epoch, whichever counts.
                keeping.write(self.store, spec, method, sides[0].images, known, self._kept(work))
                account = method.account()
        else:
            trajectory, account = self._score(work, test, split, sides[0], known)
        record = self._record(spec, account, trajectory, split, sides[0])
        digests = {"train": train.digest, "test": test.digest}
        total = round(time.perf_counter() - started, 3)
        record = record.model_copy(
            update={
                "digests": digests,
                "image_policy": str(facts.policy),
                "seconds": {**record.seconds, "total": total},
            }
        )
        return record, _predictions(test, split, trajectory, spec.selection)

    def _start(self, work: RunJob, seed: int | None = None) -> Start:
        spec = work.spec
        pretrained = None
        if spec.pretrained:
            name = spec.method.partition(":")[0]
            pretrained = self.store.pretrained_file(name, spec.pretrained)
            if not pretrained.exists():
                raise BenchError(
                    f"{name}: its pre-training ({pretrained.name}) did not succeed; see the log of "
                    "the pre-training and run again with --retry-failed"
                )
        return Start(
            method=spec.method,
            settings=work.settings,
            device=self.device,
            seed=spec.seed if seed is None else seed,
            batch_size=self.batch_size,
            cuda_graphs=self.cuda_graphs,
            deterministic=self.deterministic,
            pretrained=pretrained,
        )

    @contextmanager
    def _method(self, work: RunJob, seed: int | None = None) -> Iterator[MethodProcess]:
        """The method in a process of its own."""

        def say(text: str) -> None:
            self.emit(Event(kind="note", run=work.spec.run_id, title=text))

        with MethodProcess(self._start(work, seed), say) as method:
            if known := method.facts.oracle_of:
                dataset = self.data_cache.dataset(known)
                names, labels = dataset.table["image"], dataset.quality.tolist()
                method.know(dict(zip(names, labels, strict=True)))
            yield method

    def _fit(
        self,
        method: MethodProcess,
        spec: RunSpec,
        train: Dataset,
        split: Split,
        sides: tuple[EvalSet, EvalSet | None],
    ) -> Trajectory:
        from bench.runs.execute.labels import normalise

        scores = normalise(train.quality, split.train, spec.normalise, train)[split.train]
        images = self.data_cache.images(spec.task.train, method.facts.policy)
        labelled = selection.labelled(train, split.train, images, scores)
        fitting = Fitting(
            method,
            test=sides[0],
            val=sides[1],
            selection=spec.selection,
            every=spec.evaluate_every,
            on_epoch=lambda number, epoch: self._progress(spec, number, epoch),
            stopping=self.stopping,
        )
        return fitting.run(labelled)

    def _score(
        self, work: RunJob, test: Dataset, split: Split, side: EvalSet, known: pd.DataFrame
    ) -> tuple[Trajectory, Account]:
        """Predictions that do not depend on the split: the dataset is scored once and kept."""
        spec, policy = work.spec, self.facts(work).policy
        identity = spec.model_dump(
            mode="json", include={"method", "method_version", "settings", "weights", "pretrained"}
        )
        key = digest([identity, test.digest, str(policy)])
        trajectory = Trajectory()
        if key not in self._scored:
            path = self.store.scores_path(key, spec.method, test.info.spec)
            images = self.data_cache.images(spec.task.test, policy)
            self._score_all(key, path, work, images, trajectory)
            self._scored[key] = read_parquet(path).set_index("image")["score"]
        names = test.table["image"].iloc[split.test]
        predictions = self._scored[key].loc[names].to_numpy(dtype=np.float64)
        trajectory.checkpoints = [EvaluatedEpoch(0, predictions, side.judge(predictions), None)]
        if self.keep or key not in self._accounts:
            with self._method(work) as method:
                keeping.write(self.store, spec, method, side.images, known, self._kept(work))
                self._accounts[key] = method.account()
        return trajectory, self._accounts[key]

    def _score_all(
        self, key: str, path: Path, work: RunJob, images: Images, trajectory: Trajectory
    ) -> None:
        """Write the scores of all images to `path`, unless they are there."""
        import pandas as pd

        with self._claims.holding(f"scores-{key}", lambda: not _lacks(path), self._wait) as mine:
            if not mine:
                return
            if path.exists():
                self.emit(Event(kind="note", title=f"set aside: {_lacks(path)}"))
                set_aside(path)
            with self._method(work, seed=int(digest([key, "scores"], 15), 16)) as method:
                start = time.perf_counter()
                scores = checked(method.name, images, method.predict(images))
                trajectory.predict_seconds = time.perf_counter() - start
                self._accounts[key] = method.account()
            write_parquet(pd.DataFrame({"image": images.names, "score": scores}), path)

    def _record(
        self,
        spec: RunSpec,
        account: Account,
        trajectory: Trajectory,
        split: Split,
        side: EvalSet,
    ) -> Record:
        from bench.metrics import METRICS

        chosen = trajectory.chosen()
        return Record(
            run_id=spec.run_id,
            status="done",
            spec=spec,
            metrics={
                # Logistic fits take longer than small runs: only what the run reports has them.
                selection: side.judge(
                    point.predictions, tuple(METRICS) if selection == spec.selection else PLAIN
                )
                for selection, point in chosen.items()
            },
            chosen_epoch={selection: point.epoch for selection, point in chosen.items()},
            curve=trajectory.curve,
            sizes={"train": len(split.train), "val": len(split.val), "test": len(split.test)},
            seconds={
                "fit": round(trajectory.fit_seconds, 3),
                "predict": round(trajectory.predict_seconds, 3),
            },
            peak_memory_mb=account.peak_memory_mb,
            trained_on=list(account.trained_on),
            notes=list(account.notes),
            environment=account.environment,
        )

    def _wait(self, holder: Holder) -> None:
        """Another process is scoring the dataset that this run is about."""
        if self.stopping():
            raise Interrupted
        self.emit(Event(kind="waiting", title=holder.host))

    def _failure(self, spec: RunSpec, error: Exception) -> Record:
        trace = error.trace if isinstance(error, MethodFailed) else traceback.format_exc()
        return failure(spec, _first_line(error), trace)

    def _progress(self, spec: RunSpec, number: int, epoch: Epoch) -> None:
        loss = epoch.loss if np.isfinite(epoch.loss) else None
        self.emit(Event(kind="epoch", run=spec.run_id, epoch=number, total=epoch.total, loss=loss))


def failure(spec: RunSpec, error: str, trace: str) -> Record:
    """The record of a run that failed."""
    return Record(
        run_id=spec.run_id,
        status="failed",
        spec=spec,
        error=error,
        traceback=trace,
        environment=environment("cpu"),
    )


def _sides(
    train: Dataset,
    test: Dataset,
    split: Split,
    data_cache: DataCache,
    policy: ImagePolicy,
    spec: RunSpec,
) -> tuple[EvalSet, EvalSet | None]:
    quality = test.quality[split.test] if test.info.labelled else None
    images = data_cache.images(spec.task.test, policy)
    side = EvalSet(images.subset(split.test), quality)
    if not len(split.val):
        return side, None
    training = data_cache.images(spec.task.train, policy)
    return side, EvalSet(training.subset(split.val), train.quality[split.val])


def _predictions(
    test: Dataset, split: Split, trajectory: Trajectory, selection: Selection
) -> pd.DataFrame:
    import pandas as pd

    chosen = trajectory.chosen()
    columns: dict[str, Any] = {
        "image": test.table["image"].iloc[split.test].to_numpy(),
        "quality": test.quality[split.test],
        "prediction": chosen[selection].predictions,
    }
    for name, point in chosen.items():
        columns[f"prediction_{name}"] = point.predictions
    return pd.DataFrame(columns)


def _first_line(error: BaseException) -> str:
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}" if not isinstance(error, BenchError) else text


def _lacks(path: Path) -> str:
    """Why kept scores are to be computed: they are not there, or were damaged since; else ''."""
    if not path.exists():
        return "not there"
    try:
        read_parquet(path)
    except StoreError as error:
        return str(error)
    return ""
