"""What a plan will take, by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from bench.cli import plan_terminal, session
from bench.cli.options import Names, Options
from bench.data.data_cache import DataCache
from bench.model.records import Environment, Record, RunSpec
from bench.runs.plan import Plan
from bench.runs.plan.estimate import estimate, makespan
from bench.store import Store
from bench.util.atomic import write_json
from bench.util.environment import on_gpu

PROTOCOL = """
title: Toy protocol
datasets: [toy, toy2]
labels: [10, 20]
repeats: 4
methods: [toy_linear]
"""
CPU = Environment(device="x86_64")
GPU = Environment(device="NVIDIA H200")


@pytest.fixture
def options(tmp_path: Path, toy_data: Path) -> Options:
    protocol = tmp_path / "toy_protocol.yaml"
    protocol.write_text(PROTOCOL)
    return Options(
        protocol=str(protocol),
        results=tmp_path / "results",
        data_root=[toy_data],
        device="cpu",
        jobs=2,
    )


def planned(options: Options) -> tuple[Plan, Store, DataCache]:
    return session.prepare(options)


def took(
    store: Store,
    spec: RunSpec,
    fit: float,
    predict: float,
    total: float,
    sizes: Sequence[int],
    where: Environment = CPU,
) -> None:
    """Store a done run that took so many seconds."""
    record = Record(
        run_id=spec.run_id,
        status="done",
        spec=spec,
        sizes={"train": sizes[0], "val": 0, "test": sizes[1]},
        seconds={"fit": fit, "predict": predict, "total": total},
        environment=where,
    )
    store.write(record)


def cell(plan: Plan, dataset: str, labels: int) -> tuple[RunSpec, ...]:
    return next(
        item.runs for item in plan.cells if (item.task.test, item.task.labels) == (dataset, labels)
    )


def test_nothing_is_guessed_without_timings(options: Options) -> None:
    found = estimate(*planned(options))
    assert found.guesses == []
    assert found.unknown == ["toy_linear"]
    assert found.seconds == 0


def test_a_hand_calculation(options: Options) -> None:
    plan, store, _ = planned(options)
    # Of four runs on toy with 10 labels three are done, in 10, 20 and 60 seconds.
    for spec, total in zip(cell(plan, "toy", 10), (10.0, 20.0, 60.0), strict=False):
        took(store, spec, fit=6.0, predict=2.0, total=total, sizes=(10, 12))
    found = estimate(*planned(options))
    # One run more at the median; with twice the labels fit 12, predict 2 and the rest 2, 12 or 52;
    # on toy2, of 40 images, a test side of 8 instead of 12: predict 2 * 8 / 12.
    fraction = 2 * 8 / 12
    expected = [20.0, 4 * (12 + 2 + 12), 4 * (6 + fraction + 12), 4 * (12 + fraction + 12)]
    assert [guess.seconds for guess in found.guesses] == pytest.approx(expected)
    assert [guess.scaled for guess in found.guesses] == [False, True, True, True]
    assert found.seconds == pytest.approx(sum(expected))
    # A group is one worker's: both budgets on one dataset; the two datasets go side by side.
    assert found.elapsed(2) == pytest.approx(max(sum(expected[:2]), sum(expected[2:])))
    assert found.elapsed(1) == pytest.approx(sum(expected))
    assert found.gpu_hours == 0
    assert found.unknown == []


def test_timings_of_the_same_settings_and_the_newest_device_count(options: Options) -> None:
    plan, store, _ = planned(options)
    took(store, cell(plan, "toy", 10)[0], 0, 0, 7200.0, (10, 12), GPU)
    other = cell(plan, "toy", 10)[1].learning(settings={"epochs": 1})
    took(store, other, 0, 0, 1.0, (10, 12), CPU)
    foreign = cell(plan, "toy", 10)[1].learning(weights={"ViT": "x"})
    took(store, foreign, 0, 0, 5.0, (10, 12), CPU)
    found = estimate(*planned(options))
    assert found.seconds == pytest.approx(15 * 7200)
    assert found.gpu_hours == pytest.approx(30)
    assert {guess.device for guess in found.guesses} == {"NVIDIA H200"}


def test_a_method_that_learns_nothing_scores_each_database_once(options: Options) -> None:
    options = dataclasses.replace(options, methods=Names(["toy_luminance"]))
    plan, store, _ = planned(options)
    first, second = cell(plan, "toy", 10)[:2]
    took(store, first, 0, 30.0, 31.0, (10, 12))  # it scored all images
    took(store, second, 0, 0, 1.0, (10, 12))
    found = estimate(*planned(options))
    # On toy all is scored: one second a run. On toy2 scoring 8 of 12 as many, in the first cell.
    assert [guess.seconds for guess in found.guesses] == pytest.approx([2, 4, 4 + 30 * 8 / 12, 4])


def test_pretrainings_come_first(options: Options) -> None:
    options = dataclasses.replace(
        options, methods=Names(["toy_pretrained"]), datasets=Names(["toy"]),
        assignments=["corpus=toy2"],
    )  # fmt: skip
    plan, store, _ = planned(options)
    (key,) = plan.pretrains
    other = plan.pretrains[key].spec.model_copy(update={"corpora": {"toy2": "other rows"}})
    card = {
        "spec": other.model_dump(mode="json"),
        "seconds": 100.0,
        "environment": CPU.model_dump(mode="json"),
    }
    write_json(store.pretrained_file(other.method, other.key).with_suffix(".json"), card)
    took(store, cell(plan, "toy", 10)[0], 1.0, 1.0, 10.0, (10, 12))
    found = estimate(*planned(options))
    runs = 3 * 10 + 4 * (2 + 1 + 8)
    assert found.seconds == pytest.approx(100 + runs)
    assert found.elapsed(8) == pytest.approx(100 + runs)  # one after the other, on any machine


def test_what_is_printed(options: Options) -> None:
    plan, store, _ = planned(options)
    for spec in cell(plan, "toy", 10):
        took(store, spec, 0, 0, 360.0, (10, 12), GPU)
    console = Console(width=200, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    plan_terminal.show(*planned(options), options, console)
    text = console.export_text()
    assert "4 done, 0 failed, 12 to do" in text
    assert "estimate: 1 h 12 min of computing, 1.2 GPU hours, 48 min on 2 workers at once" in text
    assert "(from stored timings on NVIDIA H200; 3 of 3 scaled" in text
    assert text.count("about 24 min") == 3


def test_makespan() -> None:
    assert makespan([], 3) == 0
    assert makespan([5, 1, 1, 1], 2) == 5
    assert makespan([1, 1, 1, 5], 2) == 6


@pytest.mark.parametrize(
    ("name", "gpu"),
    [("x86_64", False), ("", False), ("arm", False), ("aarch64", False), ("NVIDIA A100", True),
     ("Intel64 Family 6 Model 158", False), ("AMD Instinct MI300X", True)],
)  # fmt: skip
def test_a_device_is_known_by_its_name(name: str, gpu: bool) -> None:
    assert on_gpu(Environment(device=name)) is gpu
