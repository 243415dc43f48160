"""Which batches a captured forward pass takes, with a stand-in for the capture itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.methods.kit import graphs
from bench.methods.kit.graphs import Forward, Replayed


class OnGpu(torch.Tensor):
    """A tensor that says it lies on a GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda")


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes that were captured; a captured pass adds 100, to be told from a plain one."""
    made: list[tuple[int, ...]] = []

    def capture(forward: Forward, batch: Tensor) -> Forward:
        made.append(tuple(batch.shape))
        return lambda other: forward(other) + 100

    monkeypatch.setattr(graphs, "capture", capture)
    return made


def on_gpu(rows: int) -> Tensor:
    return torch.ones(rows, 2).as_subclass(OnGpu)


def run(replayed: Replayed, batch: Tensor) -> float:
    with torch.no_grad():
        return float(replayed(batch).sum() / len(batch))


def test_a_shape_is_captured_when_it_comes_a_third_time(captures: list[tuple[int, ...]]) -> None:
    replayed = Replayed(lambda batch: batch.sum(1), asked=True)
    found = [run(replayed, on_gpu(rows)) for rows in (4, 4, 3, 4, 4, 3)]
    assert found == [2, 2, 2, 102, 102, 2]
    assert captures == [(4, 2)]


def test_few_shapes_are_captured(captures: list[tuple[int, ...]]) -> None:
    replayed = Replayed(lambda batch: batch.sum(1), asked=True)
    for rows in range(1, 9):
        for _ in range(3):
            run(replayed, on_gpu(rows))
    assert captures == [(rows, 2) for rows in range(1, graphs.MOST + 1)]
    assert run(replayed, on_gpu(8)) == 2


@pytest.mark.parametrize("asked", [True, False])
def test_nothing_is_captured_on_a_cpu_or_unasked(
    asked: bool, captures: list[tuple[int, ...]]
) -> None:
    replayed = Replayed(lambda batch: batch.sum(1), asked)
    batch = torch.ones(4, 2) if asked else on_gpu(4)
    assert [run(replayed, batch) for _ in range(5)] == [2] * 5
    assert not captures


def test_nothing_is_captured_where_gradients_are_wanted(captures: list[tuple[int, ...]]) -> None:
    replayed = Replayed(lambda batch: batch.sum(1), asked=True)
    for _ in range(5):
        replayed(on_gpu(4))
    assert not captures


def test_a_replay_reads_the_new_batch_and_gives_a_result_of_its_own() -> None:
    held, result = torch.zeros(2), torch.zeros(2)

    class Graph:
        def replay(self) -> None:
            result.copy_(held * 2)

    captured = graphs.Captured(Graph(), held, result)  # type: ignore[arg-type]
    first = captured(torch.tensor([1.0, 2.0]))
    second = captured(torch.tensor([3.0, 4.0]))
    assert first.tolist() == [2.0, 4.0]
    assert second.tolist() == [6.0, 8.0]
