"""Jobs on this machine, time limits, stopping and going on, and two commands on one folder."""

from __future__ import annotations

import re
import signal
import threading
from collections import Counter
from pathlib import Path
from queue import SimpleQueue

import pytest

from bench.cli.options import Options
from bench.model.jobs import Job
from bench.model.resources import Resources
from bench.runs.dispatch import Session
from bench.runs.dispatch.executors import local
from bench.runs.dispatch.executors.local import LocalExecutor
from bench.runs.dispatch.supervise import JobOutcome, Supervisor
from bench.runs.slots import Gpu, Machine
from tests.conftest import Bench
from tests.runs.dispatch.executors.processes import (
    PROTOCOL,
    alive,
    calls,
    finish,
    records,
    start,
    supervisors,
    until,
)


def test_two_commands_on_one_folder_do_each_run_once(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL.replace("toy_counted", "toy_counted, toy_luminance"))
    arguments = (path, "--datasets", "toy", "--jobs", 1, "--set", "wait=0.3")
    both = [start(bench, *arguments) for _ in range(2)]
    outputs = [finish(process) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    found = records(bench)
    assert [record.status for record in found] == ["done"] * 6
    counted = Counter(call for call in calls(bench) if len(call) > 3)
    assert len(counted) == 3
    assert set(counted.values()) == {1}
    # The database is scored once, too: `toy_luminance` writes how many images it scores.
    assert [call for call in calls(bench) if len(call) <= 3] == ["60"]
    # Each waited for the other's last runs, so that both reports are whole.
    assert not any(re.search(r"\b[0-2]/3\b", output) for output in outputs)
    assert list((bench.results / "claims").iterdir()) == []


@pytest.mark.slow
def test_a_run_that_hangs_is_ended_by_the_time_limit(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL.replace("toy_counted", "toy_hangs"))
    marker = bench.folder / "marker"
    process = start(
        bench, path, "--jobs", 1, "--time-limit", "60s", "--set", f"marker={marker}",
        "--datasets", "toy",
    )  # fmt: skip
    output = finish(process)
    assert process.returncode == 1, output
    states = Counter(record.status for record in records(bench))
    assert states == {"done": 2, "failed": 1}
    failed = next(record for record in records(bench) if record.status == "failed")
    assert failed.error == "no end within the time limit of 1 min: the worker process was killed"
    # The worker's last words say where it was.
    assert "toy_methods.py" in (failed.traceback or "")
    assert "in fit" in (failed.traceback or "")


def test_a_worker_ends_with_the_command_that_started_it(bench: Bench) -> None:
    process = start(bench, bench.protocol(PROTOCOL), "--jobs", 1, "--set", "wait=100")
    until(lambda: calls(bench), process)
    assert supervisors(bench) == [process.pid]
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = [
        int(pid)
        for task in children.parent.parent.iterdir()
        for pid in (task / "children").read_text().split()
    ]
    assert found
    process.kill()
    process.communicate()
    deadline = 100
    while any(map(alive, found)) and deadline:
        deadline -= 1
        signal.sigtimedwait([], 0.1)
    assert not any(map(alive, found))


@pytest.mark.parametrize(
    ("twice", "number"),
    [(False, signal.SIGTERM), pytest.param(True, signal.SIGINT, marks=pytest.mark.slow)],
)
def test_stopping_after_the_epoch_or_at_once(
    bench: Bench, twice: bool, number: signal.Signals
) -> None:
    wait = "wait=60" if twice else "wait=1"
    process = start(bench, bench.protocol(PROTOCOL), "--jobs", 1, "--set", wait)
    until(lambda: calls(bench), process)
    for _ in range(1 + twice):
        process.send_signal(number)
        signal.sigtimedwait([], 1)
    output = finish(process)
    assert process.returncode == 130, output
    assert "ending after the current epoch" in output
    assert "Run the same command again to continue" in output
    assert records(bench) == []
    assert list((bench.results / "claims").iterdir()) == []


def test_an_interrupted_pretraining_goes_on_from_its_checkpoint(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL.replace("toy_counted", "toy_checkpointed"))
    arguments = (
        path, "--repeats", 1, "--datasets", "toy", "--set", "corpus=toy2",
        "--set", "wait_before=0.4",
    )  # fmt: skip
    process = start(bench, *arguments)
    until(lambda: len(calls_as_they_are(bench)) >= 2, process)
    process.send_signal(signal.SIGINT)
    assert finish(process)
    assert process.returncode == 130
    before = calls_as_they_are(bench)
    assert len(before) < 8
    process = start(bench, *arguments)
    assert finish(process)
    assert process.returncode == 0
    assert calls_as_they_are(bench) == [str(epoch) for epoch in range(8)]
    assert [record.status for record in records(bench)] == ["done"]


def calls_as_they_are(bench: Bench) -> list[str]:
    """The epochs of pre-training, in the order in which they were computed."""
    path = bench.folder / "calls"
    return path.read_text().split() if path.exists() else []


def test_a_worker_is_told_its_device_and_threads(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL.replace("toy_counted", "toy_environment"))
    arguments = (path, "--jobs", 1, "--repeats", 1, "--datasets", "toy")
    more = {"OMP_NUM_THREADS": "3", "CUDA_VISIBLE_DEVICES": "0", "TOY_CALLS": "calls"}
    result = bench.run(*arguments, **more)
    assert result.returncode == 0, result.stderr
    (record,) = records(bench)
    assert record.notes == ["CUDA_VISIBLE_DEVICES=", "OMP_NUM_THREADS=3", "device=cpu"]


class Held(Supervisor):
    """Says that it has begun, and ends when it is told."""

    begun: SimpleQueue[Job]
    end: dict[str, threading.Event]

    def __init__(self, job: Job, *_: object) -> None:
        self.job = job

    def run(self) -> JobOutcome:
        Held.begun.put(self.job)
        Held.end[self.job.title].wait(60)
        return JobOutcome()


def test_jobs_start_in_order_of_their_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local, "Supervisor", Held)
    small = Resources(vram=10)
    rows = {"a": small, "whole": Resources(), "b": small, "table": Resources(device="cpu")}
    Held.begun, Held.end = SimpleQueue(), {title: threading.Event() for title in rows}
    session = Session(tmp_path, lambda job, event: None)
    executor = LocalExecutor(Options("few_shot"), session, Machine([Gpu("0", 24.0)], n_cores=16))
    futures = {
        title: executor.submit(Job(title=title, results=tmp_path, needs=needs))
        for title, needs in rows.items()
    }

    def begun(count: int) -> dict[str, str]:
        found = [Held.begun.get(timeout=60) for _ in range(count)]
        return {job.title: job.device for job in found}

    # The row that needs all of the GPU waits, and the small one behind it does not overtake it.
    assert begun(2) == {"a": "cuda", "table": "cpu"}
    for title in ("a", "whole"):
        Held.end[title].set()
        assert futures[title].result(60) == JobOutcome()
        assert begun(1) == {{"a": "whole", "whole": "b"}[title]: "cuda"}
    for event in Held.end.values():
        event.set()
    executor.close()
    assert all(future.done() for future in futures.values())


@pytest.mark.parametrize("command", [["plan"], ["run", "--dry-run"], ["run"]])
def test_rows_that_can_never_run_are_refused_with_the_plan(
    bench: Bench, command: list[str]
) -> None:
    rows = "[{method: toy_counted, needs: {device: cuda}}, {method: random, needs: {vram: 99G}}]"
    path = bench.protocol(f"datasets: [toy]\nrepeats: 1\nmethods: {rows}\n")
    found = bench(*command, path, "--results", bench.results, CUDA_VISIBLE_DEVICES="")
    assert found.returncode == 2
    assert "toy_counted needs a GPU (device: cuda), and there is none here" in found.stderr
    # A plan may be made where the runs are not: what would run is shown all the same.
    assert ("2 to do" in found.stdout) == (command != ["run"])
    assert "random" not in found.stderr  # a sanity row takes no GPU
    assert calls(bench) == []
    assert bench("plan", path, "--device", "cpu").returncode == 0
