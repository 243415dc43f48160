"""Slots of this machine, time limits, stopping and going on, and two commands on one folder."""

from __future__ import annotations

import io
import re
import signal
import sys
import threading
import types
from collections import Counter
from pathlib import Path
from queue import SimpleQueue

import pytest
from rich.console import Console

from bench.cli.options import Options
from bench.model.jobs import Event, Job
from bench.model.resources import Resources
from bench.runs.dispatch import Session
from bench.runs.dispatch.executors import local
from bench.runs.dispatch.executors.local import LocalExecutor
from bench.runs.dispatch.progress import Display
from bench.runs.dispatch.slots import Gpu, Machine, Place
from bench.runs.dispatch.supervise import JobOutcome, Supervisor
from bench.util.environment import cores
from tests.conftest import Bench
from tests.runs.executors.processes import (
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
    assert "The same command goes on" in output
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


NOTHING = Resources()
SMALL, LARGE = Resources(vram=10), Resources(vram=20)
CPU = Resources(device="cpu")


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """A machine with so many GPUs."""
    cuda = types.SimpleNamespace(
        device_count=lambda: count,
        get_device_properties=lambda number: types.SimpleNamespace(total_memory=24 * 2**30),
    )
    torch = types.SimpleNamespace(cuda=cuda)
    monkeypatch.setitem(sys.modules, "torch", torch)  # type: ignore[arg-type]


def places(machine: Machine, needs: Resources = NOTHING) -> list[Place]:
    """All places that jobs with these needs find on an empty machine."""
    found: list[Place] = []
    while (place := machine.take(needs)) is not None:
        found.append(place)
    return found


@pytest.mark.parametrize(
    ("mask", "device", "jobs", "expected"),
    [
        (None, "cuda", None, ["0", "1"]),
        (None, "cuda", 3, ["0", "1", "0"]),
        ("4,6", "cuda", None, ["4", "6"]),
        ("4,6", "cuda:1", 2, ["6", "6"]),
        ("GPU-aa,GPU-bb", "cuda", 2, ["GPU-aa", "GPU-bb"]),
    ],
)
def test_each_slot_sees_its_gpu(
    monkeypatch: pytest.MonkeyPatch,
    mask: str | None,
    device: str,
    jobs: int | None,
    expected: list[str],
) -> None:
    gpus(monkeypatch, 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if mask is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    found = places(Machine.here(device, jobs))
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in found] == expected
    assert {slot.device for slot in found} == {"cuda"}  # each worker sees one, as its first
    threads = {int(slot.environment["OMP_NUM_THREADS"]) for slot in found}
    assert threads == {max(1, cores() // len(found))}


@pytest.mark.parametrize(
    ("said", "jobs", "threads", "expected"),
    [
        (None, 1, None, cores()),
        (None, 2, None, max(1, cores() // 2)),
        (None, 1, 5, 5),
        ("1", 1, None, 1),
        ("7,2", 1, None, 7),
        ("1", 1, 5, 5),
        ("many", 1, None, cores()),
        ("0", 1, None, cores()),
    ],
)
def test_threads_are_those_said_or_a_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
    said: str | None,
    jobs: int,
    threads: int | None,
    expected: int,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    found = places(Machine.here("cpu", jobs, threads))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    assert {slot.environment[name] for slot in found for name in names} == {str(expected)}
    assert len(found) == jobs


def machine(count: int = 2, jobs: int | None = None) -> Machine:
    return Machine([Gpu(str(number), 24.0) for number in range(count)], jobs, n_cores=16)


def on(found: list[Place]) -> list[int | None]:
    return [place.gpu for place in found]


def test_small_jobs_share_a_gpu_once_there_is_no_free_one() -> None:
    assert on(places(machine(), SMALL)) == [0, 1, 0, 1]
    assert on(places(machine(), LARGE)) == [0, 1]
    assert on(places(machine(jobs=3), SMALL)) == [0, 1, 0]


def test_a_job_without_needs_has_a_gpu_to_itself() -> None:
    own = machine()
    first = own.take(NOTHING)
    assert first is not None
    assert on(places(own, SMALL)) == [1, 1]
    own.give_back(first)
    assert on(places(own, NOTHING)) == [0]


def test_rows_of_the_cpu_take_no_gpu_and_wait_for_none() -> None:
    own = machine()
    places(own, NOTHING)
    found = places(own, CPU)
    assert on(found) == [None, None]
    assert {(place.device, place.environment["CUDA_VISIBLE_DEVICES"]) for place in found} == {
        ("cpu", "")
    }


def test_cpus_are_threads_and_their_sum_is_that_of_the_cores() -> None:
    found = places(Machine(n_cores=16), Resources(cpus=6))
    assert [place.environment["OMP_NUM_THREADS"] for place in found] == ["6", "6"]
    assert len(places(Machine(n_cores=2), Resources(cpus=6))) == 1  # more than there are: alone
    assert len(places(Machine(n_cores=16, jobs=3), Resources(cpus=1))) == 3


def test_a_job_that_no_gpu_can_hold_is_refused() -> None:
    assert "needs 80 GiB of GPU memory" in machine().refusal(Resources(vram=80))
    assert machine().refusal(LARGE) == ""
    assert machine().refusal(Resources(vram=80, device="cpu")) == ""


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
    rows = {"a": SMALL, "whole": NOTHING, "b": SMALL, "table": CPU}
    Held.begun, Held.end = SimpleQueue(), {title: threading.Event() for title in rows}
    session = Session(tmp_path, lambda job, event: None)
    executor = LocalExecutor(Options("few_shot"), session, machine(1))
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


def test_a_row_for_gpus_alone_says_so_where_there_is_none() -> None:
    needs = Resources(device="cuda")
    assert Machine(n_cores=2).refusal(needs).startswith("needs a GPU (device: cuda)")
    assert machine().refusal(needs) == ""


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


def shown(terminal: bool) -> str:
    """What a display prints of a run that is done, one that failed and one that is elsewhere."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120)
    job = Job(title="grmp on livec", results=Path(), group="g")
    with Display(console, 3) as display:
        display.show(job, Event(kind="start", run="a", title="50 #1"))
        display.show(job, Event(kind="epoch", run="a", epoch=1, total=4, loss=0.5))
        if terminal:
            display._progress.refresh()
        display.show(job, Event(kind="done", run="a", value=0.25))
        display.show(job, Event(kind="failed", run="b", error="boom [b]"))
        display.show(job, Event(kind="elsewhere", run="c"))
        display.elsewhere(1)
        display.show(job, Event(kind="ended"))
        assert display.done == 3
        assert len(display._progress.tasks) == 1
    return file.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    assert shown(terminal=False).splitlines() == [
        "[1/3] grmp on livec, 50 #1: SRCC 0.2500",
        "[2/3] grmp on livec: FAILED boom [b]",
    ]


def test_bars_on_a_terminal() -> None:
    text = shown(terminal=True)
    assert "grmp on livec 50 #1" in text
    assert "1/4" in text
    assert "loss 0.5000" in text
    assert "FAILED boom [b]" in text
    assert "SRCC" not in text
    assert "3/3" in text
