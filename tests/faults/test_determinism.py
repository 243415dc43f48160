"""The same run twice gives the same bits, whatever the process did before."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.data_cache import DataCache
from bench.model.jobs import RunJob
from bench.protocol import Protocol
from bench.protocol.variants import choose
from bench.runs.execute import RunExecutor
from bench.runs.plan import Planner
from bench.store import Store
from tests.conftest import Bench

TRAINED = {"coop": {"steps": 4, "epoch_steps": 2, "n_context": 2}, "linear_probe": {"epochs": 5}}


@pytest.mark.parametrize("method", ["coop", pytest.param("linear_probe", marks=pytest.mark.slow)])
def test_a_training_repeats_bit_for_bit(
    method: str, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    protocol = Protocol(name="twice", datasets=("toy",), labels=(10,), repeats=1)
    found = []
    for seed in (1, 2):
        data_cache = DataCache([toy_data])
        variants = choose(protocol, [method], {"backbone": "tiny", **TRAINED[method]})
        store = Store(tmp_path / str(seed))
        (spec,) = Planner(protocol, data_cache).plan(variants, store).runs.values()
        # What others drew from the global generators before must not matter.
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        record = RunExecutor(store, data_cache).execute(RunJob(spec=spec, settings=variants[0].raw))
        assert record.status == "done", record.traceback
        found.append((record, store.predictions(spec)))
    (first, one), (second, two) = found
    assert one.equals(two)
    assert first.metrics == second.metrics
    assert [point.loss for point in first.curve] == [point.loss for point in second.curve]


def test_deterministic_holds_torch_to_it_and_is_recorded(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 1\nmethods: [toy_torch]\n")
    assert bench.run(path, "--deterministic").returncode == 0
    record = next(iter(Store(bench.results).records()))
    assert record.environment.deterministic
    assert record.notes == ["workspace :4096:8", "deterministic True", "benchmark False"]


def test_without_the_option_nothing_is_switched() -> None:
    code = "from bench.util import determinism; print(determinism.enabled())"
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output == "False\n"
