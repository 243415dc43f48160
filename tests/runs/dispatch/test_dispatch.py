"""What becomes of jobs on executors that lose supervisors or fail, and how the user stops them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from bench.model.jobs import Event, Job
from bench.runs import dispatch
from bench.runs.dispatch import Executor, Session, stopping_on_signals
from bench.runs.dispatch.executors.remote import EventLog, RemoteMonitor
from bench.runs.dispatch.supervise import AFTER_EPOCH, NOW, JobOutcome
from bench.util.errors import StoreError

JOBS = [Job(title=name, group=name, results=Path()) for name in ("a", "b", "c")]
Script = Callable[[Job], JobOutcome]


class Scripted(Executor):
    """Resolves futures as a script says, one script a batch; what it raises is a loss."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.batches: list[list[str]] = []

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        self.batches.append([])
        yield
        self.scripts.pop(0)

    def submit(self, job: Job) -> Future[JobOutcome]:
        self.batches[-1].append(job.group)
        future: Future[JobOutcome] = Future()
        try:
            future.set_result(self.scripts[0](job))
        except ConnectionError as error:
            future.set_exception(error)
        return future

    def close(self) -> None: ...


def well(job: Job) -> JobOutcome:
    return JobOutcome()


def b_is_lost(job: Job) -> JobOutcome:
    if job.group == "b":
        raise ConnectionError("no answer")
    return well(job)


class Heard(list[tuple[str, Event]]):
    """What a session is told of jobs."""

    def __call__(self, job: Job, event: Event) -> None:
        self.append((job.group, event))


def run(
    executor: Executor, session: Session | None = None, jobs: Sequence[Job] = JOBS
) -> dict[str, JobOutcome]:
    return dispatch.run(jobs, executor, session or Session(Path(), Heard()))


def test_a_job_whose_supervisor_was_lost_is_submitted_once_more() -> None:
    executor, heard = Scripted(b_is_lost, well), Heard()
    outcomes = run(executor, Session(Path(), heard))
    assert executor.batches == [["a", "b", "c"], ["b"]]
    assert outcomes == dict.fromkeys("abc", JobOutcome())
    assert [(group, event.kind, event.title) for group, event in heard] == [
        ("b", "ended", ""),  # its line in the display goes
        ("b", "note", "its supervisor was lost; trying once more"),
    ]


def test_a_job_that_is_lost_twice_is_an_error_and_costs_no_other() -> None:
    executor = Scripted(b_is_lost, b_is_lost)
    outcomes = run(executor)
    assert executor.batches == [["a", "b", "c"], ["b"]]
    assert outcomes["b"].lost
    assert outcomes["b"].errors == ["b: its supervisor was lost: no answer"]
    assert outcomes["a"] == JobOutcome()


def test_nothing_is_submitted_once_the_user_wants_an_end() -> None:
    session = Session(Path(), Heard())

    def stop(job: Job) -> JobOutcome:
        session.level = AFTER_EPOCH
        return b_is_lost(job)

    executor = Scripted(stop)
    outcomes = run(executor, session)
    assert executor.batches == [["a", "b", "c"]]
    assert outcomes["b"] == JobOutcome(interrupted=True)
    later = [Job(title="d", group="d", results=Path())]
    assert run(executor, session, later) == {"d": JobOutcome(interrupted=True)}
    assert executor.batches == [["a", "b", "c"]]


def test_an_error_of_the_executor_reaches_the_command() -> None:
    def full(job: Job) -> JobOutcome:
        raise StoreError("cannot write: disk full")

    with pytest.raises(StoreError, match="disk full"):
        run(Scripted(full))


def test_a_full_disk_ends_everything_and_is_said_once() -> None:
    session = Session(Path(), Heard())
    executor = Scripted(lambda job: JobOutcome(fatal=StoreError("cannot write 'x': disk full")))
    with pytest.raises(StoreError, match=r"^cannot write 'x': disk full$"):
        run(executor, session)
    assert executor.batches == [["a", "b", "c"]]
    assert session.level == AFTER_EPOCH  # what else is at work is asked to end


def test_signals_raise_the_level_and_the_third_one_is_pythons_own() -> None:
    said: list[str] = []
    session = Session(Path(), Heard(), said.append)
    levels = []

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        levels.append(session.level)

    with stopping_on_signals(session):
        interrupt()
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert levels == [AFTER_EPOCH, NOW]
    until(lambda: said)
    assert said == ["ending after the current epoch; Ctrl-C again ends at once"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_in_the_command_ends_its_work_at_once() -> None:
    session = Session(Path(), Heard())
    with pytest.raises(RuntimeError), stopping_on_signals(session):
        raise RuntimeError
    assert session.level == NOW


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_events_travel_through_the_results_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runs.dispatch.executors.remote.LOOK", 0.01)
    heard = Heard()
    monitor = RemoteMonitor(Session(tmp_path, heard))
    for job in JOBS:
        monitor.follow(job, "cpu")
    log = EventLog(monitor.folder)
    log.append(JOBS[0], Event(kind="start", run="1"))
    log.append(JOBS[1], Event(kind="start", run="2"))
    path = monitor.folder / "a.events"
    with path.open("a") as file:
        file.write('{"kind": "do')  # a supervisor is just writing
    until(lambda: len(heard) == 2)
    assert {(group, event.run) for group, event in heard} == {("a", "1"), ("b", "2")}
    with path.open("a") as file:
        file.write('ne", "run": "3"}\nnonsense\n')
    monitor.close()  # not before it has shown what is left
    assert [(group, event.kind, event.run) for group, event in heard[2:]] == [("a", "done", "3")]
    assert not monitor.folder.exists()


def test_the_wish_to_stop_travels_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runs.dispatch.executors.remote.LOOK", 0.01)
    session = Session(tmp_path, Heard())
    monitor = RemoteMonitor(session)
    log = EventLog(monitor.folder)
    assert log.level() == 0
    session.level = AFTER_EPOCH
    until(lambda: log.level() == AFTER_EPOCH)
    monitor.close()  # the command has ended: nobody waits for this supervisor any more
    until(lambda: log.level() == NOW)
    assert EventLog(monitor.folder).level() == 0  # one that starts later goes on without a command


def test_folders_that_killed_commands_left_go_in_time(tmp_path: Path) -> None:
    old, new = tmp_path / "jobs" / "old", tmp_path / "jobs" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "a.events").touch()
        os.utime(folder, (0, 0))
    os.utime(old / "a.events", (0, 0))
    RemoteMonitor(Session(tmp_path, Heard())).close()
    assert new.exists()  # its command, perhaps elsewhere, is at work
    assert not old.exists()
