"""SIGKILL at random moments, parent and worker by turns."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from bench.store import Store
from tests.conftest import Bench
from tests.faults.sweeps import Command, Truth, kill_often

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


def test_four_kills(bench: Bench) -> None:
    # A server that has imported everything forks the parents, which saves their start-up.
    context = multiprocessing.get_context("forkserver")
    preloaded = [
        "bench.cli.session",
        "bench.runs.dispatch.executors.local",
        "bench.data.datasets.base",
    ]
    context.set_forkserver_preload([*preloaded, "pandas", "rich.console", __name__])
    protocol = bench.protocol(TOY)

    def start(results: Path) -> Command:
        process = context.Process(
            target=session, args=(str(protocol), str(results), bench.environment())
        )
        process.start()
        return process

    known = truth(bench.folder / "undisturbed", start)
    assert len(known.records) == 8
    assert kill_often(4, known, bench.folder / "killed", start, seed=4) >= 1


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
