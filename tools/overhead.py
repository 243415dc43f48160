"""What the harness itself costs.

`python -m tools.overhead` measures seconds. The compared sides take turns, and the best round of
each counts. Both sides learn and score in fresh processes of one fork server, since the harness
gives each fit one; what starting them takes is stated beside, and not counted:

start     `bench --help` against an interpreter that does nothing (CPU time)
training  a training run through the harness against the bare loop over `fit`, `predict` and the
          same metrics
scoring   a database scored through the harness, its images decoded before, against pyiqa on files
repeats   ten repeats of a method that does not train against one

It uses the demo sets, which are rendered on first use.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

from bench.api import Context
from bench.data import selection
from bench.data.data_cache import DataCache
from bench.metrics import METRICS, compute, logistic
from bench.model.jobs import RunJob
from bench.protocol import Protocol
from bench.protocol.variants import choose
from bench.registry import settings_for
from bench.runs.execute import RunExecutor
from bench.runs.execute.labels import normalise
from bench.runs.isolation import MethodProcess
from bench.runs.plan import Plan, Planner
from bench.store import Store
from tools import command_line

DATASET = "demo_authentic"
TRAINED = "coop"
SCORED = "piqe"


@dataclass
class ProcessStarts:
    """What starting and ending processes of methods has taken, in seconds."""

    seconds: float = 0.0
    count: int = 0

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count the processes that the block starts."""
        plain = {name: getattr(MethodProcess, name) for name in ("__enter__", "__exit__")}

        def clocked(name: str) -> Callable[..., object]:
            def run(process: MethodProcess, *arguments: object) -> object:
                start = time.perf_counter()
                found = plain[name](process, *arguments)
                if name == "__enter__":
                    _ = process.facts  # it answers once it is up
                    self.count += 1
                self.seconds += time.perf_counter() - start
                return found

            return run

        with contextlib.ExitStack() as stack:
            for name in plain:
                stack.enter_context(mock.patch.object(MethodProcess, name, clocked(name)))
            yield


class OverheadSide:
    """The harness in this process: what a worker does once it has started."""

    def __init__(self, method: str, repeats: int, **settings: object) -> None:
        protocol = Protocol(
            name="overhead", datasets=(DATASET,), labels=(50,), repeats=repeats, evaluate_every=0
        )
        self.data_cache = DataCache([])
        self.folder = Path(tempfile.mkdtemp(prefix="iqa-bench-overhead-"))
        variants = choose(protocol, [method], settings)
        self.variant = variants[0]
        self.plan: Plan = Planner(protocol, self.data_cache).plan(variants, Store(self.folder))

    def run(self) -> None:
        """Every run, from an empty results folder to written records."""
        executor = RunExecutor(Store(self.folder), self.data_cache)
        for spec in self.plan.runs.values():
            record = executor.execute(RunJob(spec=spec, settings=self.variant.raw))
            if record.status != "done":
                sys.exit(f"{spec.method}: {record.error}")

    def timed(self) -> tuple[float, ProcessStarts]:
        """Seconds of every run without the starts of processes, and those starts."""
        self.clear()
        starts = ProcessStarts()
        with starts.counted():
            whole = seconds(self.run)
        return whole - starts.seconds, starts

    def clear(self) -> None:
        """Forget the results."""
        shutil.rmtree(self.folder, ignore_errors=True)


def seconds(work: Callable[[], object]) -> float:
    """Seconds that `work` takes. Not of CPU: the harness runs methods in other processes."""
    logistic._fitted.cache_clear()  # the same predictions come again in every round
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def by_turns(rounds: int, *works: Callable[[], float]) -> list[float]:
    """The best of each measurement; they take turns, after one round that is not counted."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for place, work in enumerate(works):
            taken = work()
            if number:
                times[place].append(taken)
    return [min(values) for values in times]


def measure_start(rounds: int) -> None:
    """Print what `bench --help` costs."""

    def command(*arguments: str) -> Callable[[], float]:
        def run() -> float:
            before = _children()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            return _children() - before

        return run

    shown, nothing = by_turns(rounds, command("-m", "bench", "--help"), command("-c", "pass"))
    print(f"start     bench --help {shown:.3f} s, an interpreter that does nothing {nothing:.3f} s")


def measure_training(rounds: int, epochs: int) -> None:
    """Print the harness's share of a training run."""
    settings = {"backbone": "tiny", "steps": 2 * epochs, "epoch_steps": 2}
    side = OverheadSide(TRAINED, 1, **settings)
    starts: list[ProcessStarts] = []

    def harness() -> float:
        whole, found = side.timed()
        starts.append(found)
        return whole

    whole, bare = by_turns(rounds, harness, lambda: fresh(_bare_training, TRAINED, settings))
    spec = next(iter(side.plan.runs.values()))
    table = Store(side.folder).predictions(spec)
    judged = seconds(lambda: compute(tuple(METRICS), table["prediction"], table["quality"]))
    share = (whole - bare) / whole
    least = min(starts, key=lambda item: item.seconds)
    print(
        f"training  {TRAINED}, {epochs} epochs: {whole:.3f} s through the harness, {bare:.3f} s "
        f"bare (metrics {judged:.3f} s); its share {100 * share:.1f} %; starting {least.count} "
        f"processes took {least.seconds:.3f} s more"
    )
    side.clear()


def measure_scoring(rounds: int) -> None:
    """Print the cost of scoring a database against pyiqa on its files, and of ten repeats."""
    once, often = OverheadSide(SCORED, 1), OverheadSide(SCORED, 10)
    one, ten, plain = by_turns(
        rounds,
        lambda: once.timed()[0],
        lambda: often.timed()[0],
        lambda: fresh(_bare_scoring, SCORED, {}),
    )
    images = len(once.data_cache.dataset(DATASET))
    print(
        f"scoring   {images} images by {SCORED}: {one:.3f} s through the harness, "
        f"{plain:.3f} s by pyiqa itself; {one / plain:.3f} times as long"
    )
    print(f"repeats   ten repeats {ten:.3f} s, one {one:.3f} s; {ten / one:.3f} times as long")
    once.clear()
    often.clear()


def fresh(work: Callable[[str, dict[str, object]], float], *arguments: object) -> float:
    """What `work` returns in a process of the fork server that methods come from."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, work, *arguments), daemon=True)
    process.start()
    found: float = ours.recv()
    process.join()
    return found


def _answer(pipe: Connection, work: Callable[..., float], *arguments: object) -> None:
    pipe.send(work(*arguments))


def _bare_training(method: str, settings: dict[str, object]) -> float:
    side = OverheadSide(method, 1, **settings)
    # What the harness has at hand by its first run: imports, and the files' pixels in memory.
    compute(tuple(METRICS), range(9), range(9))
    policy = settings_for(method, settings)[0](side.variant.settings, Context()).policy
    side.data_cache.images(DATASET, policy)
    try:
        return seconds(lambda: _bare(side))
    finally:
        side.clear()


def _bare_scoring(method: str, settings: dict[str, object]) -> float:
    import pyiqa
    import torch

    dataset = DataCache([]).dataset(DATASET)
    files = [str(dataset.root / name) for name in dataset.table["image"]]

    def direct() -> None:
        metric = pyiqa.create_metric(method, device=torch.device("cpu"))
        with torch.no_grad():
            for file in files:
                float(metric(file))

    return seconds(direct)


def _bare(side: OverheadSide) -> None:
    """What anybody would write: labels scaled, `fit` walked through, test images predicted and
    judged."""
    spec = next(iter(side.plan.runs.values()))
    dataset = side.data_cache.dataset(DATASET)
    (source,), _ = side.data_cache.sources(spec.task, spec.fit.split, spec.repeat)
    tested, _ = side.data_cache.tested(spec.task, spec.fit.split, spec.repeat)
    cls, settings = settings_for(spec.method, side.variant.raw)
    method = cls(settings, Context(seed=spec.seed))
    images = side.data_cache.images(DATASET, method.policy)
    scores = normalise(dataset.quality, source.train, spec.fit.normalise, dataset)[source.train]
    for _ in method.fit(selection.labelled(dataset, source.train, images, scores)):
        pass
    predictions = method.predict(images.subset(tested))
    compute(tuple(METRICS), predictions, dataset.quality[tested])


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the lines."""
    parser = command_line("overhead", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10, help="of the training run")
    parser.add_argument("--only", nargs="+", choices=("start", "training", "scoring"))
    options = parser.parse_args()
    # One thread: the sum over several says nothing about how long a run takes.
    os.environ["OMP_NUM_THREADS"] = "1"
    wanted = options.only or ("start", "training", "scoring")
    if "start" in wanted:
        measure_start(options.rounds)
    if "training" in wanted:
        measure_training(options.rounds, options.epochs)
    if "scoring" in wanted:
        measure_scoring(options.rounds)


if __name__ == "__main__":
    main()
