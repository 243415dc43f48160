"""Claims: one holder at a time, dead holders lose theirs, nobody loses a live one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.store import claims as module
from bench.store.claims import STALE, Claims, Holder


def elsewhere(folder: Path, name: str, age: float = 0.0, group: str = "") -> Path:
    """A claim of a process on another machine, last touched `age` seconds ago."""
    holder = Holder(token="t", machine="another machine", host="other", pid=1, group=group)
    path = folder / "claims" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(holder.model_dump_json())
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_claim_has_one_holder_until_it_is_given_back(tmp_path: Path) -> None:
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take("run")
    assert not second.take("run")
    assert second.take("another")
    second.release("run")  # not its own
    assert not second.take("run")
    first.release("run")
    assert second.take("run")
    assert list(tmp_path.glob("claims/.*")) == []


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_at_once_one_gets_it(tmp_path: Path, stale: bool) -> None:
    for turn in range(20):
        if stale:
            elsewhere(tmp_path, f"run{turn}", age=STALE + 1)
        barrier = threading.Barrier(8)

        def take(_: int, name: str = f"run{turn}", barrier: threading.Barrier = barrier) -> bool:
            claims = Claims(tmp_path)
            barrier.wait()
            return claims.take(name)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(take, range(8))) == 1


def test_a_machine_that_is_silent_for_long_loses_its_claim(tmp_path: Path) -> None:
    mine = Claims(tmp_path)
    path = elsewhere(tmp_path, "run", age=STALE - 60)
    assert not mine.take("run")
    holder = mine.holder("run")
    assert holder is not None
    assert holder.host == "other"
    elsewhere(tmp_path, "run", age=STALE + 1)
    assert mine.holder("run") is None
    assert mine.take("run")
    assert Holder.model_validate_json(path.read_text()).pid == os.getpid()


def test_a_dead_process_of_this_machine_loses_its_claim_at_once(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from bench.store.claims import Claims; import os; \
Claims(Path({str(tmp_path)!r})).take('run'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / "claims" / "run.json").exists()
    assert Claims(tmp_path).holders() == {}
    assert Claims(tmp_path).take("run")


def test_the_successor_of_a_group_takes_over_from_another_machine(tmp_path: Path) -> None:
    elsewhere(tmp_path, "run", group="session-3")
    assert not Claims(tmp_path, "session-4").take("run")
    assert Claims(tmp_path, "session-3").take("run")


def test_who_comes_too_late_to_a_dead_claim_leaves_the_new_one(tmp_path: Path) -> None:
    path = elsewhere(tmp_path, "run", age=STALE + 1)
    dead = Holder.model_validate_json(path.read_text())
    winner = Claims(tmp_path)
    assert winner.take("run")
    module._evict(path, dead)  # as a process does that looked before the winner did
    assert not Claims(tmp_path).take("run")
    winner.release("run")
    assert not path.exists()


def test_a_claim_is_touched_while_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT", 0.02)
    mine = Claims(tmp_path)
    mine.take("run")
    path = tmp_path / "claims" / "run.json"
    os.utime(path, (0, 0))
    deadline = time.monotonic() + 30
    while path.stat().st_mtime == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_unreadable_claim_is_somebodys_until_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "run.json"
    path.parent.mkdir()
    path.write_text('{"token": "x", "mach')
    mine = Claims(tmp_path)
    assert not mine.take("run")
    os.utime(path, (0, 0))
    assert mine.take("run")


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links")

    monkeypatch.setattr(os, "link", refuse)
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert [first.take("run"), second.take("run")] == [True, False]
    first.release("run")
    assert second.take("run")


def test_holding_waits_for_the_result_or_for_the_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    first, second = Claims(tmp_path), Claims(tmp_path)
    first.take("state")
    seen = []

    def finish(holder: Holder) -> None:
        seen.append(holder.pid)
        ready.write_text("")
        first.release("state")

    with second.holding("state", ready.exists, finish, poll=0) as mine:
        assert not mine
    assert seen == [os.getpid()]
    ready.unlink()
    with second.holding("state", ready.exists) as mine:
        assert mine
        assert not first.take("state")
    assert first.take("state")


def test_forgetting_a_process_frees_its_claims_only(tmp_path: Path) -> None:
    mine = Claims(tmp_path)
    mine.take("run")
    elsewhere(tmp_path, "other")
    Claims(tmp_path).forget(os.getpid())
    assert not (tmp_path / "claims" / "run.json").exists()
    assert (tmp_path / "claims" / "other.json").exists()
