"""The places of a machine: which GPU and how many threads a worker gets."""

from __future__ import annotations

import sys
import types

import pytest

from bench.model.resources import Resources
from bench.runs.slots import Gpu, Machine, Place
from bench.util.environment import cores

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


def test_a_row_for_gpus_alone_says_so_where_there_is_none() -> None:
    needs = Resources(device="cuda")
    assert Machine(n_cores=2).refusal(needs).startswith("needs a GPU (device: cuda)")
    assert machine().refusal(needs) == ""
