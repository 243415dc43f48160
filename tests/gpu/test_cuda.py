"""What only a GPU can show. Skipped, visibly, without one: `pytest -m gpu -rs`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import Context, Images, Method, Scores
from bench.data.data_cache import DataCache
from bench.methods.kit.devices import upload
from bench.methods.kit.graphs import Replayed
from bench.model.images import ArrayImages
from bench.model.jobs import RunJob
from bench.protocol import Protocol
from bench.protocol.variants import choose
from bench.runs.execute import RunExecutor
from bench.runs.execute.fitting import predict
from bench.runs.plan import Planner
from bench.store import Store
from tests.conftest import Bench

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def predictions(method: str, device: str, data: Path, folder: Path) -> np.ndarray:
    protocol = Protocol(name="gpu", datasets=("toy",), labels=(10,), repeats=1)
    data_cache = DataCache([data])
    variants = choose(protocol, [method], {"backbone": "tiny"})
    store = Store(folder)
    (spec,) = Planner(protocol, data_cache).plan(variants, store).runs.values()
    work = RunJob(spec=spec, settings=variants[0].raw)
    record = RunExecutor(store, data_cache, device=device).execute(work)
    assert record.status == "done", record.traceback
    assert record.peak_memory_mb
    return store.predictions(spec)["prediction"].to_numpy()


@pytest.mark.parametrize("method", ["clip_zeroshot", "ridge", "linear_probe"])
def test_frozen_clip_predicts_as_on_the_cpu(
    method: str, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    here = predictions(method, "cpu", toy_data, tmp_path / "cpu")
    there = predictions(method, "cuda", toy_data, tmp_path / "cuda")
    assert np.allclose(here, there, atol=5e-3 * np.ptp(here))


@pytest.mark.parametrize("method", ["grmp", "coop"])
def test_deterministic_repeats_bit_for_bit(method: str, bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 1\n")
    tables = []
    for folder in ("one", "two"):
        more = ["--set", "backbone=tiny", "--device", "cuda", "--deterministic"]
        result = bench("run", path, "--methods", method, "--results", folder, *more)
        assert result.returncode == 0, result.stdout + result.stderr
        store = Store(bench.folder / folder)
        record = next(iter(store.records()))
        assert record.environment.deterministic
        tables.append(store.predictions(record.spec))
    assert tables[0].equals(tables[1])


def test_pixels_arrive_whole_and_channels_last() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
    found = upload(pixels, "cuda")
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found.cpu(), upload(pixels, "cpu"))


@pytest.mark.parametrize("method", ["clip_zeroshot", "ridge"])
def test_cuda_graphs_give_the_same_bits(method: str, bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 1\n")
    tables = []
    for folder, more in (("plain", []), ("graphs", ["--cuda-graphs"])):
        given = ["--set", "backbone=tiny", "--device", "cuda", "--batch-size", 4, *more]
        result = bench("run", path, "--methods", method, "--results", folder, *given)
        assert result.returncode == 0, result.stdout + result.stderr
        store = Store(bench.folder / folder)
        tables.append(store.predictions(next(iter(store.records())).spec))
    assert tables[0].equals(tables[1])


def test_compiled_encoders_give_the_same_scores(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 1\n")
    tables = []
    for folder, more in (("plain", ["--exact"]), ("compiled", ["--compile"])):
        given = ["--set", "backbone=tiny", "--device", "cuda", *more]
        result = bench("run", path, "--methods", "ridge", "--results", folder, *given)
        assert result.returncode == 0, result.stdout + result.stderr
        store = Store(bench.folder / folder)
        record = next(iter(store.records()))
        tables.append(store.predictions(record.spec)["prediction"].to_numpy())
    assert any("compiled" in note for note in record.notes)
    span = np.ptp(tables[0])
    assert np.abs(tables[0] - tables[1]).max() <= 0.01 * span


def test_a_captured_pass_follows_its_weights() -> None:
    layer = torch.nn.Linear(8, 3).cuda().eval()
    replayed = Replayed(layer, asked=True)
    for step in range(6):
        batch = torch.randn(5, 8, device="cuda")
        with torch.no_grad():
            layer.weight.mul_(1.5)
            assert torch.equal(replayed(batch), layer(batch)), step


class Hungry(Method):
    """Takes a tenth of the memory an image."""

    name = "hungry"

    def predict(self, images: Images) -> Scores:
        total = torch.cuda.get_device_properties(0).total_memory
        size = min(self.context.batch_size, len(images))
        held = [torch.empty(total // 10, dtype=torch.uint8, device="cuda") for _ in range(size)]
        del held
        return np.array([float(image.mean()) for image in images])


def test_memory_that_runs_out_halves_the_batch() -> None:
    images = ArrayImages([np.full((2, 2, 3), value, np.uint8) for value in range(32)])
    method = Hungry(Hungry.Settings(), Context(device="cuda", batch_size=32))
    assert predict(method, images).tolist() == list(range(32))
    assert method.context.batch_size == 8


def test_speed_shows_shares_of_the_ceiling(bench: Bench) -> None:
    result = bench("speed", "--quick", "--device", "cuda")
    assert result.returncode == 0, result.stderr
    assert "as a CUDA graph" in result.stdout
    assert "% of the ceiling" in result.stdout
