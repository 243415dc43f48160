"""Sweeps that are killed, and what must hold afterwards."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.model.records import Record
from bench.store import Store
from bench.store import table as runs_table

START_UP = 0.25
"""Share of the kills within the first two seconds, whatever has been computed by then."""
COMPARED = ["label", "train", "test", "budget", "repeat", "status", "srcc", "plcc"]


class Command(Protocol):
    """A running `bench run`: a subprocess, or a forked process."""

    @property
    def pid(self) -> int | None: ...

    def kill(self) -> None: ...

    def join(self) -> None: ...

    def is_alive(self) -> bool: ...


@dataclass
class Truth:
    """What an undisturbed run leaves behind."""

    results: Path

    def __post_init__(self) -> None:
        self.store = Store(self.results)
        self.records = {record.run_id: record for record in self.store.records()}
        self.table = table(self.results)


@dataclass
class Killed:
    """One results folder, started and killed again until it is complete."""

    results: Path
    truth: Truth
    checked: dict[Path, int] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def count(self) -> int:
        """Records that there are now."""
        return len(list((self.results / "records").glob("*/*/*.json")))

    def complete(self) -> bool:
        """Whether every run is done."""
        return self.done == self.truth.records.keys()

    def check(self) -> None:
        """Every record is whole and right; none is lost or there twice."""
        store = Store(self.results)
        paths = list((self.results / "records").glob("*/*/*.json"))
        names = [path.stem for path in paths]
        assert len(set(names)) == len(names)
        for path in paths:
            written = path.stat().st_mtime_ns
            if self.checked.get(path) == written:
                continue
            record = store.read(path)
            assert store.problems == []
            assert record is not None
            self._check(record)
            self.checked[path] = written
        assert self.done <= set(names)

    def _check(self, record: Record) -> None:
        wanted = self.truth.records[record.run_id]
        assert record.spec == wanted.spec
        if record.status == "failed":
            assert record.run_id not in self.done
            assert "killed by SIGKILL" in (record.error or "")
            return
        assert record.metrics == wanted.metrics
        found, right = (
            store.predictions(record.spec) for store in (Store(self.results), self.truth.store)
        )
        assert found.equals(right)
        self.done.add(record.run_id)

    def check_complete(self) -> None:
        """The table is that of the undisturbed run."""
        self.check()
        assert table(self.results).equals(self.truth.table)


def kill_often(
    kills: int, truth: Truth, folder: Path, start: Callable[[Path], Command], seed: int
) -> int:
    """Start and kill `kills` times, parent and worker by turns; how many sweeps were completed.

    A sweep that is complete makes room for a new one; the last one is run to its end.
    """
    rng = np.random.default_rng(seed)
    sweep, completed = Killed(folder / "0", truth), 0
    for number in range(kills):
        command = start(sweep.results)
        _wait_for_a_moment(command, sweep, rng)
        if number % 2:
            _kill_worker(command)
        else:
            command.kill()
        command.join()
        sweep.check()
        if sweep.complete():
            sweep.check_complete()
            completed += 1
            sweep = Killed(folder / str(completed), truth)
    command = start(sweep.results)
    command.join()
    sweep.check_complete()
    return completed + 1


def _wait_for_a_moment(command: Command, sweep: Killed, rng: np.random.Generator) -> None:
    """A moment within start-up, or within the work: so many records later, and a little more.

    By records rather than by the clock, since a busy machine stretches everything but the clock.
    """
    if rng.random() < START_UP:
        _sleep(command, rng.uniform(0, 2))
        return
    wanted = sweep.count() + rng.integers(len(sweep.truth.records) - len(sweep.done))
    while command.is_alive() and sweep.count() < wanted:
        time.sleep(0.01)
    _sleep(command, rng.uniform(0, 0.2))


def _sleep(command: Command, seconds: float) -> None:
    end = time.monotonic() + seconds
    while command.is_alive() and time.monotonic() < end:
        time.sleep(0.005)


def _kill_worker(command: Command) -> None:
    """Kill the next worker that can be seen, unless the command ends before it starts one."""
    assert command.pid is not None
    while command.is_alive():
        worker = next(workers(command.pid), None)
        if worker is not None:
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return
        time.sleep(0.01)


def workers(pid: int) -> Iterator[int]:
    """Worker processes among the descendants of a process (Linux)."""
    for child in _children(pid):
        line = _read(Path(f"/proc/{child}/cmdline"))
        if b"\0exec\0" in line:
            yield child
        yield from workers(child)


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            after_name = _read(entry / "stat").rpartition(b")")[2].split()
            if len(after_name) > 1 and int(after_name[1]) == pid:
                found.append(int(entry.name))
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended since
        return b""


def table(results: Path) -> object:
    """What tables are made of, without times and places."""
    frame = runs_table.load(results)
    return frame.sort_values(COMPARED).reset_index(drop=True)[COMPARED]
