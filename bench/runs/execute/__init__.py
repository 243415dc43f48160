"""One run → one record: fit, predict, score, write."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import registry
from bench.api import Context, Method
from bench.data import selection
from bench.data.data_cache import DataCache
from bench.model.identity import digest
from bench.model.jobs import Event, RunJob
from bench.model.records import Environment, Record, RunSpec, Selection
from bench.runs.execute import keeping
from bench.runs.execute.fitting import (
    EvalSet,
    EvaluatedEpoch,
    Fitting,
    Interrupted,
    Trajectory,
    predict,
)
from bench.runs.execute.memory import advice
from bench.store import Store, read_parquet, set_aside, write_parquet
from bench.store.claims import Claims, Holder
from bench.util.environment import environment, peak_memory_mb
from bench.util.errors import BenchError, DataError, StoreError, ran_out

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.api import Epoch, Images
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
    keep: tuple[str, ...] = ()
    emit: Callable[[Event], None] = lambda event: None
    stopping: Callable[[], bool] = lambda: False
    claims: Claims | None = None
    """What other processes of the results folder are at; the store's own by default."""

    def __post_init__(self) -> None:
        self._claims = self.claims or Claims(self.store.root)
        self._scored: dict[str, pd.Series] = {}

    def execute(self, work: RunJob) -> Record:
        """Compute a run and write its record, done or failed.

        `Interrupted` passes through, and so does `StoreError`: that the disk is full is no result
        of the run.
        """
        spec = work.spec
        try:
            record, predictions = self._run(work)
        except (Interrupted, KeyboardInterrupt, StoreError):
            raise
        except Exception as error:  # whatever a method raises is the run's result
            record, predictions = self._failure(spec, error), None
        self.store.write(record, predictions)
        return record

    def _run(self, work: RunJob) -> tuple[Record, pd.DataFrame]:
        started = time.perf_counter()
        spec = work.spec
        train, test = (
            self.data_cache.dataset(spec.task.train),
            self.data_cache.dataset(spec.task.test),
        )
        split, found = self.data_cache.split(spec.task, spec.split, spec.repeat)
        if found != spec.split_digest:
            raise DataError(
                f"{spec.task.title}: the data changed after the run was planned; plan it again"
            )
        method = self._method(work)
        images = self.data_cache.images(spec.task.test, method.policy)
        sides = _sides(train, test, split, images, self.data_cache, method, spec)
        if type(method).learns() and not spec.task.zero_shot:
            trajectory = self._fit(method, spec, train, split, sides)
        else:
            trajectory = self._score(method, spec, test, images, split, sides[0])
        record = self._record(spec, method, trajectory, split, sides[0])
        digests = {"train": train.digest, "test": test.digest}
        total = round(time.perf_counter() - started, 3)
        record = record.model_copy(
            update={"digests": digests, "seconds": {**record.seconds, "total": total}}
        )
        # Of the state after the last epoch, whichever counts.
        known = test.table.iloc[split.test].assign(quality=test.quality[split.test])
        keeping.write(self.store, spec, method, sides[0].images, known, self.keep)
        return record, _predictions(test, split, trajectory, spec.selection)

    def _method(self, work: RunJob, seed: int | None = None) -> Method:
        spec = work.spec
        cls, settings = registry.settings_for(spec.method, work.settings)
        context = Context(
            device=self.device,
            seed=spec.seed if seed is None else seed,
            batch_size=self.batch_size,
            cuda_graphs=self.cuda_graphs,
            say=lambda text: self.emit(Event(kind="note", run=spec.run_id, title=text)),
        )
        method = cls(settings, context)
        if known := method.oracle_of():
            dataset = self.data_cache.dataset(known)
            labels = dataset.quality.tolist()
            context.labels = dict(zip(dataset.table["image"], labels, strict=True))
        if spec.pretrained:
            path = self.store.pretrained_file(cls.name, spec.pretrained)
            if not path.exists():
                raise BenchError(
                    f"{cls.name}: its pre-training ({path.name}) did not succeed; see the log of "
                    "the pre-training and run again with --retry-failed"
                )
            method.load_pretrained(path)
        return method

    def _fit(
        self, method: Method, spec: RunSpec, train: Dataset, split: Split, sides: tuple[Any, Any]
    ) -> Trajectory:
        from bench.runs.execute.labels import normalise

        scores = normalise(train.quality, split.train, spec.normalise, train)[split.train]
        images = self.data_cache.images(spec.task.train, method.policy)
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
        self,
        method: Method,
        spec: RunSpec,
        test: Dataset,
        images: Images,
        split: Split,
        side: EvalSet,
    ) -> Trajectory:
        """Predictions that do not depend on the split: the dataset is scored once and kept."""
        identity = spec.model_dump(
            mode="json", include={"method", "method_version", "settings", "weights", "pretrained"}
        )
        key = digest([identity, test.digest, str(method.policy)])
        trajectory = Trajectory()
        if key not in self._scored:
            path = self.store.scores_path(key, spec.method, test.info.spec)
            self._score_all(key, path, method, images, trajectory)
            self._scored[key] = read_parquet(path).set_index("image")["score"]
        names = test.table["image"].iloc[split.test]
        predictions = self._scored[key].loc[names].to_numpy(dtype=np.float64)
        trajectory.checkpoints = [EvaluatedEpoch(0, predictions, side.judge(predictions), None)]
        return trajectory

    def _score_all(
        self, key: str, path: Path, method: Method, images: Images, trajectory: Trajectory
    ) -> None:
        """Write the scores of all images to `path`, unless they are there."""
        import pandas as pd

        with self._claims.holding(f"scores-{key}", lambda: not _lacks(path), self._wait) as mine:
            if not mine:
                return
            if path.exists():
                self.emit(Event(kind="note", title=f"set aside: {_lacks(path)}"))
                set_aside(path)
            method.context.seed = int(digest([key, "scores"], 15), 16)
            start = time.perf_counter()
            table = pd.DataFrame({"image": images.names, "score": predict(method, images)})
            trajectory.predict_seconds = time.perf_counter() - start
            write_parquet(table, path)

    def _record(
        self,
        spec: RunSpec,
        method: Method,
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
            peak_memory_mb=peak_memory_mb(self.device),
            image_policy=str(method.policy),
            trained_on=list(method.trained_on()),
            notes=list(method.notes),
            environment=environment(self.device),
        )

    def _wait(self, holder: Holder) -> None:
        """Another process is scoring the dataset that this run is about."""
        if self.stopping():
            raise Interrupted
        self.emit(Event(kind="waiting", title=holder.host))

    def _failure(self, spec: RunSpec, error: Exception) -> Record:
        text = _first_line(error)
        if ran_out(error):
            text += f"; {advice(registry.load(registry.split_name(spec.method)[0]))}"
        return failure(spec, text, traceback.format_exc(), self.device)

    def _progress(self, spec: RunSpec, number: int, epoch: Epoch) -> None:
        loss = epoch.loss if np.isfinite(epoch.loss) else None
        self.emit(Event(kind="epoch", run=spec.run_id, epoch=number, total=epoch.total, loss=loss))


def failure(spec: RunSpec, error: str, trace: str, device: str = "") -> Record:
    """The record of a run that failed."""
    return Record(
        run_id=spec.run_id,
        status="failed",
        spec=spec,
        error=error,
        traceback=trace,
        environment=environment(device) if device else Environment(),
    )


def _sides(
    train: Dataset,
    test: Dataset,
    split: Split,
    images: Images,
    data_cache: DataCache,
    method: Method,
    spec: RunSpec,
) -> tuple[EvalSet, EvalSet | None]:
    quality = test.quality[split.test] if test.info.labelled else None
    side = EvalSet(images.subset(split.test), quality)
    if not len(split.val):
        return side, None
    training = data_cache.images(spec.task.train, method.policy)
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
