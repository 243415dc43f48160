"""One job to its end, whatever its worker does: with a stub that starts at once."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.model.jobs import Event, Job, RunJob
from bench.model.records import Record
from bench.runs.dispatch import supervise
from bench.runs.dispatch.supervise import JobOutcome, Supervisor
from bench.store import Store
from tests.fake_results import FakeSweep
from tests.runs.dispatch.executors.processes import alive

STUB = Path(__file__).parent / "executors" / "stub_worker.py"


@dataclass
class Stage:
    """A job of three runs, and what its worker is to do at each."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    events: list[Event] = field(default_factory=list)
    level: int = 0

    def run(self, *actions: str, time_limit: float | None = None) -> JobOutcome:
        factory = FakeSweep(self.folder / "results")
        self.specs = [factory.spec("m", "livec", repeat) for repeat in range(len(actions))]
        told = {
            str(spec.repeat): [spec.run_id, action]
            for spec, action in zip(self.specs, actions, strict=True)
        }
        self.monkeypatch.setattr(supervise, "WORKER", (sys.executable, "-S", str(STUB)))
        job = Job(
            title="m on livec",
            group="session-0",
            results=factory.root,
            runs=[RunJob(spec=spec, settings={}) for spec in self.specs],
            time_limit=time_limit,
            environment={"STUB": json.dumps(told), "STUB_LOG": str(self.folder / "begun")},
        )
        return Supervisor(job, self._listen, lambda: self.level).run()

    def _listen(self, job: Job, event: Event) -> None:
        self.events.append(event)

    @property
    def begun(self) -> list[int]:
        """The repeats in the order in which they were begun."""
        return [int(line) for line in (self.folder / "begun").read_text().split()]

    @property
    def failed(self) -> dict[int, Record]:
        """Records by repeat; the stub writes none, so that all are the supervisor's."""
        records = list(Store(self.folder / "results").records())
        assert {record.status for record in records} <= {"failed"}
        return {record.spec.repeat: record for record in records}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_a_job_without_trouble(stage: Stage) -> None:
    assert stage.run("done", "done", "done") == JobOutcome()
    assert stage.begun == [0, 1, 2]
    assert [event.kind for event in stage.events] == [*["start", "done"] * 3, "ended"]
    assert stage.failed == {}


def test_a_killed_worker_costs_a_retry(stage: Stage) -> None:
    stage.run("done", "killed once", "done")
    assert stage.begun == [0, 1, 2, 1]  # after the others, which are not to wait for it
    assert stage.failed == {}
    notes = [event.title for event in stage.events if event.kind == "note"]
    assert notes == ["the worker process was killed by SIGKILL (out of memory?); trying once more"]


def test_a_run_that_kills_its_worker_twice_fails_alone(stage: Stage) -> None:
    outcome = stage.run("done", "killed", "done")
    assert not outcome.lost
    assert not outcome.interrupted
    assert stage.begun == [0, 1, 2, 1]
    (record,) = stage.failed.values()
    assert record.spec.repeat == 1
    assert "killed by SIGKILL" in (record.error or "")


def test_an_exit_with_an_error_is_not_tried_again(stage: Stage) -> None:
    stage.run("done", "exits", "done")
    assert stage.begun == [0, 1, 2]
    assert stage.failed[1].error == "the worker process ended with exit code 4"
    assert stage.failed[1].traceback == "the reason"


def test_a_run_over_its_time_is_ended_and_says_where_it_was(stage: Stage) -> None:
    stage.run("done", "hangs", "done", time_limit=2)
    assert stage.begun == [0, 1, 2]
    (record,) = stage.failed.values()
    assert record.error == "no end within the time limit of 2 s: the worker process was killed"
    assert "in hang" in (record.traceback or "")


def test_children_of_a_dead_worker_end_with_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.run("leaves a child", "done")
    assert stage.failed.keys() == {0}
    child = int((stage.folder / "once").read_text())
    deadline = time.monotonic() + 60
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("action", "levels"), [("hangs", [1]), ("is deaf", [1, 2])])
def test_stopping_is_asked_for_and_then_done(stage: Stage, action: str, levels: list[int]) -> None:
    def stop() -> None:
        wanted = "start" if action == "hangs" else "note"
        while not any(event.kind == wanted for event in stage.events):
            time.sleep(0.02)
        for level in levels:
            stage.level = level
            time.sleep(1)

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    outcome = stage.run(action, "done")
    thread.join(timeout=30)
    assert outcome.interrupted
    assert stage.begun == [0]
    assert stage.failed == {}


def test_nothing_starts_once_the_user_wants_an_end(stage: Stage) -> None:
    stage.level = 1
    assert stage.run("done").interrupted
    assert not (stage.folder / "begun").exists()
