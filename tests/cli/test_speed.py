"""What `bench speed` says of known work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.cli import machine
from bench.cli.machine import networks, text, timing
from bench.cli.machine.timing import Effort, Timing, effort, timed
from bench.util.errors import UsageError
from tests.conftest import Bench

LEAST = Effort(seconds=0.0, rounds=1, inference=2, training=1, images=2, matmul=64)


def test_arithmetic_is_that_of_the_layers_whatever_the_batch() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Flatten(), nn.Linear(8 * 16, 10))
    images = torch.rand(5, 3, 16, 16)

    def infer() -> int:
        network(images)
        return 5

    found = networks._measured("a network", infer, LEAST, 5)
    by_hand = 2 * (16 * 8 * 3 * 4 * 4 + 8 * 16 * 10)
    assert found.gflop == pytest.approx(by_hand / 1e9)
    assert found.rate == pytest.approx(5 / found.seconds)


def test_the_share_is_the_work_over_the_ceiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_of_it(effort: Effort) -> Iterator[Timing]:
        yield Timing("a network", 500.0, "images/s", 1.0, gflop=2.0)

    seen = iter([1.5, 2.0])
    monkeypatch.setattr(
        networks, "ceiling", lambda effort: Timing("product", next(seen), "TFLOP/s", 1.0)
    )
    monkeypatch.setattr(networks, "TASKS", (half_of_it,))
    there = {line.name: line for line in machine.of_networks(replace(LEAST, device="cuda"))}
    assert there["product"].rate == 2.0  # the better of two looks
    assert there["a network"].share == pytest.approx(0.5)
    assert text(there["a network"]).endswith("500 images/s                   50.0 % of the ceiling")
    lines = list(machine.measure(LEAST, tmp_path))
    assert "a network" in {line.name for line in lines}
    assert all(line.rate > 0 and line.share is None for line in lines)
    assert len(list((tmp_path / "results").glob("records/*/*/*.json"))) == 80


def test_the_best_round_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.0, 3.0, 3.0, 4.0, 4.0, 6.0, 6.0])
    monkeypatch.setattr(timing, "clock", lambda effort: lambda: next(times))
    # Looks at the clock: at the start, before and after each round, and at the end.
    assert timed(lambda: 8, Effort(seconds=0.0, rounds=3)) == (8.0, 1.0)


def test_own_time_is_the_processors() -> None:
    assert effort("cpu", cpu_time=True).cpu_time
    with pytest.raises(UsageError, match="--device cpu"):
        effort("cuda", cpu_time=True)


@pytest.mark.slow
def test_all_of_it_as_json(bench: Bench) -> None:
    result = bench("speed", "--quick", "--json", "--device", "cpu")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["machine"]["device"] == "cpu"
    counted = [line for line in found["measures"] if line["gflop"]]
    assert len(counted) == 3
    assert all(line["share"] is None for line in counted)
