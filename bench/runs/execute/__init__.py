"""One run → one record: fit, predict, score, write.

The method works in a separate process (`bench.runs.isolation`). This process holds the test labels,
computes metrics and writes the record.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data import features
from bench.data.data_cache import DataCache
from bench.model.identity import digest
from bench.model.jobs import Event, RunJob
from bench.model.records import Record, RunSpec
from bench.runs.execute import costing, keeping
from bench.runs.execute.failed import failure, first_line
from bench.runs.execute.fitted import FitNote, KeptState, LiveFit
from bench.runs.execute.fitting import (
    EvaluatedEpoch,
    Fitting,
    Interrupted,
    Trajectory,
    checked,
)
from bench.runs.execute.sides import Sides
from bench.runs.isolation import Account, Facts, MethodDied, MethodFailed, MethodProcess, Start
from bench.store import Store, artifacts, read_parquet, set_aside, write_parquet
from bench.store.claims import Claims, Holder
from bench.util.environment import Environment
from bench.util.errors import BenchError, OutOfBudgetError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.api import Epoch, Images

PLAIN = ("srcc", "plcc", "krcc", "rmse")
NO_RESULT = {kind.exit_code: kind for kind in (StoreError, OutOfBudgetError)}
"""Errors in a method's process that are not a result of the run, by their exit codes."""


@dataclass
class RunExecutor:
    """Executes runs in this process; datasets and images are opened once."""

    store: Store
    data_cache: DataCache
    device: str = "cpu"
    batch_size: int = 64
    cuda_graphs: bool = False
    compiled: bool = False
    exact: bool = True
    deterministic: bool = False
    keep: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    """Metrics of records besides the usual ones (`bench.metrics.USUAL`)."""
    emit: Callable[[Event], None] = lambda event: None
    stopping: Callable[[], bool] = lambda: False
    claims: Claims | None = None
    """Claims of the job; by default new ones on the store's folder."""

    def __post_init__(self) -> None:
        self._claims = self.claims or Claims(self.store.root)
        self._scored: dict[str, pd.Series] = {}
        self._noted: dict[str, tuple[str, ...]] = {}
        self._facts: dict[str, Facts] = {}
        self._accounts: dict[str, Account] = {}
        self._live: LiveFit | None = None

    def execute(self, work: RunJob) -> Record:
        """Compute a run and write its record, done or failed.

        Raises `Interrupted`, `StoreError`, `OutOfBudgetError` and `MethodDied` without a record: a
        full disk or a spent budget is not a result of the run, and the supervisor retries a run
        whose process was killed.
        """
        spec = work.spec
        try:
            record, predictions = self._run(work)
        except (Interrupted, KeyboardInterrupt, StoreError, MethodDied):
            self.close()
            raise
        except MethodFailed as error:
            self.close()
            if refusal := NO_RESULT.get(error.exit_code):
                raise refusal(str(error)) from None
            record, predictions = self._failure(spec, error), None
        except Exception as error:  # whatever a method raises is the run's result
            record, predictions = self._failure(spec, error), None
            self.close()
        self.store.write(record, predictions)
        KeptState(self.store, work).drop_when_done()
        return record

    def facts(self, work: RunJob) -> Facts:
        """Properties of the method; asked once for all runs with the same settings."""
        key = digest([work.spec.method, work.settings])
        if key not in self._facts:
            with MethodProcess(self._start(work)) as method:
                self._facts[key] = method.facts
        return self._facts[key]

    def kept_all(self, work: RunJob) -> bool:
        """Whether a finished run has stored every wanted artefact that its method can compute."""
        return artifacts.complete(self.store, work.spec, self._kept(work))

    def _kept(self, work: RunJob) -> frozenset[str]:
        return self.facts(work).able & set(self.keep) if self.keep else frozenset()

    def _run(self, work: RunJob) -> tuple[Record, pd.DataFrame]:
        started = time.perf_counter()
        spec, facts = work.spec, self.facts(work)
        policy = facts.policy if facts.reads_images else None
        sides = Sides.of(spec, self.data_cache, policy)
        if facts.learns and not spec.fit.zero_shot:
            trajectory, account = self._learnt(work, sides)
        else:
            trajectory, account = self._score(work, sides)
        record = self._record(sides, account, trajectory)
        total = round(time.perf_counter() - started, 3)
        changes: dict[str, Any] = {
            "real_names": facts.real_names,
            "seconds": {**record.seconds, "total": total},
        }
        columns = {"prediction": trajectory.chosen()[spec.selection].predictions}
        for name, point in trajectory.chosen().items():
            columns[f"prediction_{name}"] = point.predictions
        table = sides.predictions(columns)
        if unscored := record.sizes["test"] - len(table):
            changes["sizes"] = {**record.sizes, "unscored": unscored}
        return record.model_copy(update=changes), table

    def _learnt(self, work: RunJob, sides: Sides) -> tuple[Trajectory, Account]:
        """Predictions of the run's test side, by the fit that all tests of this fit share."""
        from bench.metrics import metric

        spec = work.spec
        live = self._fit_for(work, sides)
        test = sides.test(spec.tested)
        if live.trajectory is not None and spec.tested == work.tests[0]:
            trajectory = live.trajectory
        else:
            self._recall(live, work)
            validation = next(
                (one for one in sides.validation() if one.dataset == test.dataset), None
            )
            wanted = any("validation" in metric(name).needs for name in self.metrics)
            trajectory = live.predict(test, spec.selection, validation if wanted else None)
        # Artefacts come from the state after the last epoch, whichever epoch `selection` reports.
        kept = self._kept(work)
        keeping.write(self.store, spec, live.method, test.images, sides.known(), kept)
        account = live.method.account()
        self._measure(work, live.method, account.environment, test.images)
        if len(work.tests) == 1:  # no other run can use this fit
            self.close()
        return trajectory, account

    def _measure(
        self, work: RunJob, method: MethodProcess, where: Environment, images: Images
    ) -> None:
        try:
            costing.measure_once(self.store, work.spec.fit, method, where, images)
        except MethodFailed as error:  # the results are valid without the cost
            self.emit(Event(kind="note", run=work.spec.run_id, title=f"cost not measured: {error}"))

    def _fit_for(self, work: RunJob, sides: Sides) -> LiveFit:
        """The fit of this run: the one that is still open, one read from disk, or a new one."""
        fit_id = work.spec.fit.fit_id
        if self._live is not None and self._live.fit_id == fit_id:
            return self._live
        self.close()  # before the next one starts: two networks may not fit into the memory
        state = KeptState(self.store, work)
        self._live = live = LiveFit.opened(fit_id, self._method(work))
        note = state.read()
        if note is not None:
            print(f"{live.method.name} continues with fit {fit_id}, which was learnt before")
            live.method.load(state.path)
            live.note = note
        else:
            # What is printed goes to the job's log, which thus lists each fit once.
            source = work.spec.fit.train
            print(
                f"{live.method.name} learns from {source}, repeat {work.spec.repeat}: fit {fit_id}"
            )
            live.trajectory = self._fit(live.method, work, sides, state)
            chosen = live.trajectory.chosen()[work.spec.selection]
            live.note = FitNote(
                epoch=chosen.epoch,
                curve=live.trajectory.curve,
                fit_seconds=live.trajectory.fit_seconds,
            )
        return live

    def _recall(self, live: LiveFit, work: RunJob) -> None:
        """Load the state of the selected epoch if training continued after it."""
        trajectory = live.trajectory
        if trajectory is None or live.note.epoch == trajectory.checkpoints[-1].epoch:
            return
        if not live.method.facts.saves:
            raise BenchError(
                f"{live.method.name} cannot save its state, and so predicts several test sets "
                "only under selection: last"
            )
        live.method.load(KeptState(self.store, work).path)

    def close(self) -> None:
        """End the process of the fit that is still at hand."""
        if self._live is not None:
            self._live.close()
        self._live = None

    def _start(self, work: RunJob, seed: int | None = None) -> Start:
        spec = work.spec
        pretrained = None
        if spec.fit.pretrained:
            name = spec.method.partition(":")[0]
            pretrained = self.store.pretrained_file(name, spec.fit.pretrained)
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
            compiled=self.compiled,
            exact=self.exact,
            deterministic=self.deterministic,
            replies=self.store.root / "replies",
            pretrained=pretrained,
            features=features.folder(),
            feature_bytes=features.bound(),
        )

    @contextmanager
    def _method(self, work: RunJob, seed: int | None = None) -> Iterator[MethodProcess]:
        """The method in its own process."""

        def say(text: str) -> None:
            self.emit(Event(kind="note", run=work.spec.run_id, title=text))

        with MethodProcess(self._start(work, seed), say) as method:
            if known := method.facts.oracle_of:
                dataset = self.data_cache.dataset(known)
                names, labels = dataset.table["image"], dataset.quality.tolist()
                method.know(dict(zip(names, labels, strict=True)))
            yield method

    def _fit(
        self, method: MethodProcess, work: RunJob, sides: Sides, state: KeptState
    ) -> Trajectory:
        spec = work.spec
        fitting = Fitting(
            method,
            test=sides.test(work.tests[0]),
            val=sides.validation(),
            selection=spec.selection,
            every=spec.fit.evaluate_every,
            may_miss=method.facts.may_miss,
            on_epoch=lambda number, epoch: self._progress(spec, number, epoch),
            on_best=lambda trajectory, epoch: state.save(method, trajectory, epoch),
            stopping=self.stopping,
        )
        return fitting.run(sides.training())

    def _score(self, work: RunJob, sides: Sides) -> tuple[Trajectory, Account]:
        """Predictions that do not depend on the split: the dataset is scored once and kept."""
        spec, policy = work.spec, sides.policy
        test, rows, _ = sides.tested(spec.tested)
        include = {
            *("method", "method_version", "code", "settings", "weights", "pretrained"),
            "image_policy",
        }
        identity = spec.fit.model_dump(mode="json", include=include)
        key = digest([identity, test.digest])
        trajectory, side = Trajectory(), sides.test(spec.tested)
        if key not in self._scored:
            path = self.store.scores_path(key, spec.method, test.info.spec)
            images = self.data_cache.images(spec.test, policy)
            self._score_all(key, path, work, images, trajectory)
            table = read_parquet(path)
            self._scored[key] = table.set_index("image")["score"]
            self._noted[key] = tuple(table.attrs.get("notes", ()))
        names = test.table["image"].iloc[rows]
        predictions = self._scored[key].loc[names].to_numpy(dtype=np.float64)
        trajectory.checkpoints = [EvaluatedEpoch(0, predictions, side.judge(predictions), None)]
        kept = self._kept(work)
        if kept or key not in self._accounts:
            with self._method(work) as method:
                keeping.write(self.store, spec, method, side.images, sides.known(), kept)
                self._accounts[key] = method.account()
        account = self._accounts[key]
        notes = dict.fromkeys([*self._noted[key], *account.notes])
        return trajectory, replace(account, notes=tuple(notes))

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
            # Not the run's seed: these scores serve all splits and repeats. Nor of `key`, in which
            # the method's code is: what is written differently changes no random number.
            with self._method(work, seed=int(digest([work.spec.test, "scores"], 15), 16)) as method:
                start = time.perf_counter()
                found = method.predict(images)
                scores = checked(method.name, images, found, method.facts.may_miss)
                trajectory.predict_seconds = time.perf_counter() - start
                self._accounts[key] = method.account()
                self._measure(work, method, self._accounts[key].environment, images)
            table = pd.DataFrame({"image": images.names, "score": scores})
            # Later runs that read these scores must have the same notes in their records.
            table.attrs["notes"] = list(self._accounts[key].notes)
            write_parquet(table, path)

    def _record(self, sides: Sides, account: Account, trajectory: Trajectory) -> Record:
        from bench.metrics import USUAL

        # Logistic fits may take longer than a small run: only the reported selection has them.
        reported, others = (*USUAL, *self.metrics), (*PLAIN, *self.metrics)
        spec = sides.spec
        side = sides.test(spec.tested)
        chosen = trajectory.chosen()
        return Record(
            run_id=spec.run_id,
            status="done",
            spec=spec,
            metrics={
                selection: side.judge(
                    point.predictions,
                    reported if selection == spec.selection else others,
                    point.calibration.get(side.dataset),
                )
                for selection, point in chosen.items()
            },
            chosen_epoch={selection: point.epoch for selection, point in chosen.items()},
            curve=trajectory.curve,
            sizes=sides.sizes(),
            digests=sides.digests(),
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
        """Show that another process is scoring the dataset of this run."""
        if self.stopping():
            raise Interrupted
        self.emit(Event(kind="waiting", title=holder.host))

    def _failure(self, spec: RunSpec, error: Exception) -> Record:
        trace = error.trace if isinstance(error, MethodFailed) else traceback.format_exc()
        return failure(spec, first_line(error), trace)

    def _progress(self, spec: RunSpec, number: int, epoch: Epoch) -> None:
        loss = epoch.loss if np.isfinite(epoch.loss) else None
        self.emit(Event(kind="epoch", run=spec.run_id, epoch=number, total=epoch.total, loss=loss))


def _lacks(path: Path) -> str:
    """Why stored scores have to be computed (missing or damaged); '' if they are there."""
    if not path.exists():
        return "not there"
    try:
        read_parquet(path)
    except StoreError as error:
        return str(error)
    return ""
