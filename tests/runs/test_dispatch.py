"""What the dispatcher makes of executors that lose jobs, get stuck or fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench.model.jobs import Event, Job
from bench.runs import dispatch
from bench.runs.dispatch import Dispatcher
from bench.runs.dispatch.executors import Deliver, Desk
from bench.runs.dispatch.executors.remote import Desktop, Mailbox
from bench.runs.dispatch.supervise import Outcome
from bench.util.errors import StoreError

JOBS = [Job(title=name, group=name, results=Path()) for name in ("a", "b", "c")]
Script = Callable[[Job], Outcome | None]


class Scripted:
    """Delivers what a script says; None stands for nothing at all."""

    def __init__(self, *scripts: Script, stuck: bool = False) -> None:
        self.scripts = list(scripts)
        self.rounds: list[list[str]] = []
        self.stuck = stuck
        self.hopeless = False

    def run(self, jobs: Sequence[Job], deliver: Deliver) -> None:
        self.rounds.append([job.group for job in jobs])
        script = self.scripts.pop(0)
        for job in jobs:
            outcome = script(job)
            if outcome is not None:
                deliver(outcome)
        if self.stuck:
            threading.Event().wait()

    def attend(self, missing: int) -> bool:
        return not (self.hopeless and missing)


def well(job: Job) -> Outcome:
    return Outcome(job.group)


def b_vanishes(job: Job) -> Outcome | None:
    return None if job.group == "b" else well(job)


def b_is_lost(job: Job) -> Outcome:
    return Outcome(job.group, lost=job.group == "b", errors=["b: no answer"][: job.group == "b"])


def run(executor: Scripted, desk: Desk | None = None) -> dict[str, Outcome]:
    desk = desk or Desk(Path(), lambda job, event: None)
    outcomes = Dispatcher(executor, desk).run(JOBS)
    assert len(outcomes) == len({outcome.group for outcome in outcomes})
    return {outcome.group: outcome for outcome in outcomes}


@pytest.mark.parametrize("first", [b_vanishes, b_is_lost])
def test_what_is_lost_is_sent_once_more(first: Script) -> None:
    executor = Scripted(first, well)
    outcomes = run(executor)
    assert executor.rounds == [["a", "b", "c"], ["b"]]
    assert outcomes == {name: Outcome(name) for name in "abc"}


def test_what_is_lost_twice_is_named_and_costs_nothing_else() -> None:
    executor = Scripted(b_vanishes, b_vanishes)
    outcomes = run(executor)
    assert executor.rounds == [["a", "b", "c"], ["b"]]
    assert outcomes["b"].lost
    assert outcomes["b"].errors == [
        "b: what supervised its worker was lost twice; the same command goes on"
    ]
    assert outcomes["a"] == Outcome("a")
    # An executor that knows more says it itself.
    assert run(Scripted(b_is_lost, b_is_lost))["b"].errors == ["b: no answer"]


def test_an_executor_that_never_comes_back_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "GRACE", 0.2)
    executor = Scripted(b_vanishes, well, stuck=True)
    executor.hopeless = True  # as Dask knows of a task that it has given up
    assert run(executor)["b"] == Outcome("b")
    assert executor.rounds == [["a", "b", "c"], ["b"]]


def test_a_second_ctrl_c_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "GRACE", 0.2)
    said: list[str] = []
    desk = Desk(Path(), lambda job, event: None, said.append)

    def stop(job: Job) -> None:
        desk.level = 2

    executor = Scripted(stop, stuck=True)
    outcomes = run(executor, desk)
    assert executor.rounds == [["a", "b", "c"]]
    assert all(outcome.interrupted and not outcome.errors for outcome in outcomes.values())
    assert said == ["ending after the current epoch; Ctrl-C again ends at once"]


def test_an_error_of_the_executor_reaches_the_command() -> None:
    def full(job: Job) -> Outcome:
        raise StoreError("cannot write: disk full")

    with pytest.raises(StoreError, match="disk full"):
        run(Scripted(full))


def test_a_full_disk_ends_everything_and_is_said_once() -> None:
    desk = Desk(Path(), lambda job, event: None)
    executor = Scripted(lambda job: Outcome(job.group, fatal="cannot write 'x': disk full"))
    with pytest.raises(StoreError, match=r"^cannot write 'x': disk full$"):
        run(executor, desk)
    assert executor.rounds == [["a", "b", "c"]]
    assert desk.level == 1  # what else is at work is asked to end


def test_every_end_is_shown_once() -> None:
    ended: list[str] = []

    def listen(job: Job, event: Event) -> None:
        if event.kind == "ended":
            ended.append(job.group)

    run(Scripted(well), Desk(Path(), listen))
    assert sorted(ended) == ["a", "b", "c"]


def test_events_travel_through_the_results_folder(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    desk = Desk(tmp_path, lambda job, event: heard.append((job.group, event.run)))
    desktop = Desktop(desk)
    desktop.open(JOBS)
    box = Mailbox(desktop.folder)
    box.post(JOBS[0], Event(kind="start", run="1"))
    box.post(JOBS[1], Event(kind="start", run="2"))
    with (desktop.folder / "a.events").open("a") as file:
        file.write('{"kind": "do')  # a supervisor is just writing
    desktop.look(everything=True)
    assert heard == [("a", "1"), ("b", "2")]
    with (desktop.folder / "a.events").open("a") as file:
        file.write('ne", "run": "3"}\nnonsense\n')
    desktop.look(everything=True)
    assert heard[2:] == [("a", "3")]
    desktop.close()
    assert not desktop.folder.exists()


def test_the_wish_to_stop_travels_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runs.dispatch.executors.remote.LOOK", -1.0)
    desk = Desk(tmp_path, lambda job, event: None)
    desktop = Desktop(desk)
    desktop.open(JOBS)
    box = Mailbox(desktop.folder)
    assert box.level() == 0
    desk.level = 1
    desktop.look()
    assert box.level() == 1
    desktop.close()  # the command has ended: nobody waits for this supervisor any more
    assert box.level() == 2
    assert Mailbox(desktop.folder).level() == 0  # one that starts later found none to lose
    assert Mailbox(desktop.folder, parent=1).level() == 2  # a parent that is not ours is gone
