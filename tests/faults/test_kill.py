"""SIGKILL at random moments, parent and worker by turns."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.store import Store
from tests.conftest import Bench
from tests.faults.sweeps import Command, Truth, kill_often, workers

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="finds workers through /proc"
)

TOY = """
datasets: [toy]
labels: [10, 20]
repeats: 4
evaluate_every: 1
methods: [toy_linear]
"""
DEMO = """
datasets: [demo_authentic]
labels: [20, 50]
repeats: 5
methods: [label_mean, random, "oracle:demo_authentic", toy_linear]
"""
TRAINED = """
datasets: [demo_authentic]
labels: [50]
repeats: 3
methods: [{method: ridge, set: {backbone: tiny}}]
"""


class Started:
    """The real command line as a process that can be killed."""

    def __init__(self, bench: Bench, protocol: Path, results: Path) -> None:
        command = [sys.executable, "-m", "bench", "run", str(protocol), "--device", "cpu",
                   "--jobs", "2", "--retry-failed", "--results", str(results)]  # fmt: skip
        self._process = subprocess.Popen(
            command, cwd=bench.folder, env=bench.environment(IQA_DATA=str(bench.data)),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.pid = self._process.pid
        self.kill = self._process.kill

    def join(self) -> None:
        self._process.wait()

    def is_alive(self) -> bool:
        return self._process.poll() is None


def session(protocol: str, results: str, environment: dict[str, str]) -> None:
    """What `bench run` does before it reports; its workers are the real ones."""
    from rich.console import Console

    from bench.cli.session import Options, run

    os.environ.update(environment)
    options = Options(protocol, results=Path(results), device="cpu", jobs=2, retry_failed=True)
    with open(os.devnull, "w") as silence:  # noqa: PTH123
        run(options, Console(file=silence))


def truth(folder: Path, start: Callable[[Path], Command]) -> Truth:
    start(folder).join()
    return Truth(folder)


def forked(bench: Bench, protocol: Path, **environment: str) -> Callable[[Path], Command]:
    """Starts a session in a process of its own.

    A server that has imported everything forks them, which saves their start-up.
    """
    context = multiprocessing.get_context("forkserver")
    preloaded = [
        "bench.cli.session",
        "bench.runs.dispatch.executors.local",
        "bench.data.datasets.base",
    ]
    context.set_forkserver_preload([*preloaded, "pandas", "rich.console", __name__])

    def start(results: Path) -> Command:
        given = bench.environment(**environment)
        process = context.Process(target=session, args=(str(protocol), str(results), given))
        process.start()
        return process

    return start


def test_four_kills(bench: Bench) -> None:
    start = forked(bench, bench.protocol(TOY))
    known = truth(bench.folder / "undisturbed", start)
    assert len(known.records) == 8
    assert kill_often(4, known, bench.folder / "killed", start, seed=4) >= 1


def test_eight_copies_share_a_folder_whoever_of_them_is_killed(bench: Bench) -> None:
    """What any scheduler does that starts one command N times and starts again what has died."""
    rng = np.random.default_rng(8)
    begun = bench.folder / "begun"
    path = bench.protocol(
        TOY.replace("toy_linear", "toy_counted").replace("repeats: 4", "repeats: 12")
    )
    start = forked(bench, path, TOY_CALLS=str(begun))
    copies = [start(bench.results) for _ in range(8)]
    for number in range(6):
        time.sleep(rng.uniform(0.1, 1.0))
        victim = int(rng.integers(len(copies)))
        worker = next(workers(copies[victim].pid or 0), None)
        if number % 2 and worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        else:
            copies[victim].kill()
            copies[victim].join()
            copies[victim] = start(bench.results)
    for copy in copies:
        copy.join()
    found = list(Store(bench.results).records())
    assert [record.status for record in found] == ["done"] * 24
    assert len({record.run_id for record in found}) == 24
    assert not list((bench.results / "claims").iterdir())
    # Nothing was computed twice but what a kill had cut off.
    seeds = [line.split()[0] for line in begun.read_text().splitlines()]
    assert len(set(seeds)) == 24
    assert len(seeds) <= 24 + 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "runs", "kills"), [(DEMO, 40, 190), (TRAINED, 3, 10)], ids=["cheap", "trained"]
)
def test_two_hundred_kills(bench: Bench, protocol: str, runs: int, kills: int) -> None:
    path = bench.protocol(protocol)
    start = partial(Started, bench, path)
    known = truth(bench.folder / "undisturbed", start)
    assert len(known.records) == runs
    assert {record.status for record in known.records.values()} == {"done"}
    completed = kill_often(kills, known, bench.folder / "killed", start, seed=kills)
    print(f"{kills} kills, {completed} sweeps completed")


def test_a_worker_that_segfaults_costs_its_runs_and_no_others(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 2\nmethods: [toy_luminance]\n")
    result = bench.run(path, "--methods", "toy_segfault,toy_luminance")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    found = list(Store(bench.results).records())
    ended = {(record.spec.method, record.status) for record in found}
    assert ended == {("toy_segfault", "failed"), ("toy_luminance", "done")}
    assert len(found) == 4
    errors = {record.error for record in found if record.error}
    assert all("killed by SIGSEGV" in error for error in errors)
