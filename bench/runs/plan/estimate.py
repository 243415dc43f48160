"""Estimates how long a plan takes, from the times of stored runs.

A run is estimated from done runs of the same method on the same backbone: from those with the same
settings on the same task or, if there are none, from those of another task in proportion to the
images (training time to the training images, prediction to the test images). The same settings
matter more than the same task, because the number of epochs matters more than that of images.
Without any such run there is no estimate.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.model.identity import canonical
from bench.model.records import PretrainSpec, Record, RunSpec
from bench.store import Store
from bench.util import filenames
from bench.util.environment import Environment, on_gpu

if TYPE_CHECKING:
    from bench.data.data_cache import DataCache
    from bench.runs.plan import Cell, Plan

SAMPLE = 50
"""Records read of each method on each dataset: enough for a median."""


@dataclass(frozen=True)
class Guess:
    """An estimated time and its source."""

    seconds: float
    gpu: bool
    device: str
    count: int
    """Number of stored timings behind it."""
    scaled: bool
    """Whether they are of other settings, images or corpora."""


@dataclass
class Estimate:
    """Estimated times of a plan."""

    cells: list[Guess | None] = field(default_factory=list)
    """For the remaining runs of each cell of the plan, in order; None: no timing, or no run
    left."""
    pretrainings: dict[str, Guess | None] = field(default_factory=dict)
    """By key, of those that do not exist yet."""
    unknown: list[str] = field(default_factory=list)
    """Names of remaining work without a stored timing."""
    phases: list[list[float]] = field(default_factory=list)
    """Seconds of the jobs that start at once, and of those that need a pre-training."""

    @property
    def guesses(self) -> list[Guess]:
        """All estimates."""
        return [item for item in (*self.pretrainings.values(), *self.cells) if item is not None]

    @property
    def seconds(self) -> float:
        """Time of all work, one piece after the other."""
        return sum(guess.seconds for guess in self.guesses)

    @property
    def gpu_hours(self) -> float:
        """Hours of work on a GPU, by the devices on which the timings were measured."""
        return sum(guess.seconds for guess in self.guesses if guess.gpu) / 3600

    def elapsed(self, slots: int) -> float:
        """Wall-clock seconds on so many slots."""
        return sum(makespan(jobs, slots) for jobs in self.phases)


def makespan(jobs: Iterable[float], slots: int) -> float:
    """When the last of the jobs ends, if each starts in order on the first free slot.

    >>> makespan([4, 3, 2, 1], 2)
    5.0
    """
    free = [0.0] * slots
    for seconds in jobs:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def by_run(plan: Plan, found: Estimate) -> dict[str, float]:
    """Seconds of every remaining run with an estimate: equal shares of its cell's."""
    seconds: dict[str, float] = {}
    for cell, guess in zip(plan.cells, found.cells, strict=True):
        todo = [run.run_id for run in cell.runs if plan.states[run.run_id] == "todo"]
        seconds |= {run_id: guess.seconds / len(todo) for run_id in todo} if guess else {}
    return seconds


def estimate(plan: Plan, store: Store, data_cache: DataCache) -> Estimate:
    """Estimate all remaining work; reads records and runs nothing."""
    return _Estimator(plan, store, data_cache).estimate()


@dataclass(frozen=True)
class _Timing:
    """One stored run."""

    spec: RunSpec
    settings: str
    fit: float
    predict: float
    other: float
    sizes: dict[str, int]
    environment: Environment
    created: str

    @classmethod
    def of(cls, record: Record) -> _Timing:
        seconds = record.seconds
        fit, predict = seconds.get("fit", 0.0), seconds.get("predict", 0.0)
        return cls(
            spec=record.spec,
            settings=canonical(record.spec.fit.settings),
            fit=fit,
            predict=predict,
            other=max(0.0, seconds.get("total", fit + predict) - fit - predict),
            sizes=record.sizes,
            environment=record.environment,
            created=record.created,
        )


class _Estimator:
    def __init__(self, plan: Plan, store: Store, data_cache: DataCache) -> None:
        self.plan = plan
        self.store = store
        self.data_cache = data_cache
        self._timings: dict[str, list[_Timing]] = {}
        self._scored: set[tuple[str, str]] = set()

    def estimate(self) -> Estimate:
        result = Estimate()
        first: dict[tuple[str, ...], float] = {}
        later: dict[tuple[str, ...], float] = {}
        for key, job in self.plan.pretrains.items():
            if self._is_needed(key):
                guess = result.pretrainings[key] = self._pretraining(job.spec)
                if guess is None:
                    result.unknown.append(f"the pre-training of {job.variant.title}")
                else:
                    first[("pre-training", key)] = guess.seconds
        for cell in self.plan.cells:
            runs = [run for run in cell.runs if self.plan.states[run.run_id] == "todo"]
            guess = self._cell(cell, runs) if runs else None
            result.cells.append(guess)
            if runs and guess is None and cell.variant.title not in result.unknown:
                result.unknown.append(cell.variant.title)
            if guess is not None:
                waits = any(run.fit.pretrained in result.pretrainings for run in runs)
                jobs = later if waits else first
                group = (cell.variant.title, cell.task.train or cell.task.test)
                jobs[group] = jobs.get(group, 0.0) + guess.seconds
        result.phases = [list(jobs.values()) for jobs in (first, later) if jobs]
        return result

    def _is_needed(self, key: str) -> bool:
        spec = self.plan.pretrains[key].spec
        wanted = any(
            run.fit.pretrained == key and self.plan.states[run_id] == "todo"
            for run_id, run in self.plan.runs.items()
        )
        return wanted and not self.store.pretrained_file(spec.method, key).exists()

    def _cell(self, cell: Cell, runs: Sequence[RunSpec]) -> Guess | None:
        learns = cell.variant.cls.learns() and not cell.task.zero_shot
        best = self._best(runs[0], cell.variant.cls.learns())
        if not best:
            return None
        same = best[0].spec.task == cell.task
        rule, repeat = runs[0].fit.split, runs[0].repeat
        sources, _ = self.data_cache.sources(cell.task, rule, repeat)
        tested, _ = self.data_cache.tested(cell.task, rule, repeat)
        sizes = {"train": sum(len(side.train) for side in sources), "test": len(tested)}
        if learns:
            # Further tests of a fit only cost their predictions.
            further = self.plan.fits[runs[0].fit.fit_id][0] != runs[0]
            cost = _predicting if further else _scaled
            seconds = len(runs) * median(cost(timing, sizes) for timing in best)
        else:
            seconds = len(runs) * median(timing.other for timing in best)
            seconds += self._scoring(cell, best, sizes)
        exact = same and best[0].settings == canonical(runs[0].fit.settings)
        where = best[0].environment
        return Guess(seconds, on_gpu(where), where.device, len(best), not exact)

    def _scoring(self, cell: Cell, best: Sequence[_Timing], sizes: dict[str, int]) -> float:
        """Seconds for scoring a whole dataset, which only the first run of a fixed method does."""
        key = (cell.variant.title, cell.task.test)
        before = any(
            self.plan.states[run.run_id] == "done"
            for other in self.plan.cells
            if (other.variant.title, other.task.test) == key
            for run in other.runs
        )
        if before or key in self._scored:
            return 0.0
        self._scored.add(key)
        return max(timing.predict * _ratio(sizes, timing, "test") for timing in best)

    def _best(self, spec: RunSpec, learns: bool) -> list[_Timing]:
        """The stored timings that fit a run best, all from the device of the newest one."""
        settings = canonical(spec.fit.settings)

        def rank(timing: _Timing) -> tuple[bool, bool]:
            return timing.settings == settings, timing.spec.task == spec.task

        known = [
            timing
            for timing in self._of_method(spec.method)
            if timing.spec.fit.weights == spec.fit.weights
            # A method that learns takes a different time in a zero-shot task.
            and not (learns and timing.spec.task.zero_shot != spec.task.zero_shot)
        ]
        if not known:
            return []
        top = max(rank(timing) for timing in known)
        nearest = [timing for timing in known if rank(timing) == top]
        device = max(nearest, key=lambda timing: timing.created).environment.device
        return [timing for timing in nearest if timing.environment.device == device]

    def _of_method(self, method: str) -> list[_Timing]:
        if method not in self._timings:
            found: list[_Timing] = []
            for folder in sorted(
                (self.store.root / "records").glob(f"*/{filenames.folder(method)}")
            ):
                # Names are hashes, so that the first ones are a random sample.
                paths = sorted(folder.glob("[!.]*.json"))[:SAMPLE]
                records = (self.store.read(path, curve=False) for path in paths)
                found += [
                    _Timing.of(record)
                    for record in records
                    if record is not None and record.status == "done"
                ]
            self._timings[method] = [item for item in found if item.spec.method == method]
        return self._timings[method]

    def _pretraining(self, spec: PretrainSpec) -> Guess | None:
        known = []
        for path in (self.store.root / "pretrained").glob(
            f"{filenames.folder(spec.method)}-*.json"
        ):
            try:
                card = json.loads(path.read_text(encoding="utf-8"))
                own = PretrainSpec.model_validate(card["spec"])
                where = Environment.model_validate(card["environment"])
                known.append((own, float(card["seconds"]), where))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not a card that this version writes: no timing
        known = [item for item in known if (item[0].method, item[0].weights) == _kind(spec)]

        def rank(own: PretrainSpec) -> tuple[bool, bool]:
            return own.settings == spec.settings, own.corpora.keys() == spec.corpora.keys()

        if not known:
            return None
        top = max(rank(own) for own, _, _ in known)
        nearest = [item for item in known if rank(item[0]) == top]
        where = nearest[0][2]
        seconds = median(item[1] for item in nearest)
        return Guess(seconds, on_gpu(where), where.device, len(nearest), top != (True, True))


def _scaled(timing: _Timing, sizes: dict[str, int]) -> float:
    fit = timing.fit * _ratio(sizes, timing, "train")
    return fit + timing.predict * _ratio(sizes, timing, "test") + timing.other


def _predicting(timing: _Timing, sizes: dict[str, int]) -> float:
    return timing.predict * _ratio(sizes, timing, "test")


def _ratio(sizes: dict[str, int], timing: _Timing, side: str) -> float:
    there = timing.sizes.get(side, 0)
    return sizes[side] / there if there else 1.0


def _kind(spec: PretrainSpec) -> tuple[str, dict[str, Any]]:
    return spec.method, spec.weights
