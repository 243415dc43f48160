"""Memory that runs out: at inference the run goes on, in training it says what would help."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.api import Context, Images, Method, Scores
from bench.model.images import ArrayImages
from bench.runs.execute.fitting import predict
from bench.runs.isolation.memory import retry_smaller_batch
from bench.store import Store
from bench.util.errors import ran_out
from tests.conftest import Bench

PROTOCOL = """
datasets: [toy]
labels: [10]
repeats: 1
methods: [toy_hungry, {method: toy_hungry, label: trained, set: {train: true}}]
"""


class Counting(Method):
    """Notes the batches it is asked in; fails above a size with a given error."""

    name = "counting"

    def __init__(self, fits: int, error: Exception, batch_size: int = 64) -> None:
        super().__init__(self.Settings(), Context(batch_size=batch_size, say=self.hear))
        self.fits, self.error = fits, error
        self.sizes: list[int] = []
        self.said: list[str] = []

    def hear(self, text: str) -> None:
        self.said.append(text)

    def predict(self, images: Images) -> Scores:
        self.sizes.append(self.context.batch_size)
        if self.context.batch_size > self.fits:
            raise self.error
        return np.array([image.mean() for image in images])


IMAGES = ArrayImages([np.full((2, 2, 3), value, np.uint8) for value in range(9)])
TOO_MUCH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_the_batch_is_halved_until_it_fits() -> None:
    method = Counting(fits=10, error=TOO_MUCH)
    assert predict(method, IMAGES).tolist() == list(range(9))
    assert method.sizes == [64, 32, 16, 8]
    assert method.said[-1] == "out of memory: inference batch 16 -> 8"
    predict(method, IMAGES)
    assert method.sizes[4:] == [8]


@pytest.mark.parametrize(
    "error",
    [
        TOO_MUCH,
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_one_image_that_does_not_fit_is_the_runs_error(error: Exception) -> None:
    method = Counting(fits=0, error=error, batch_size=3)
    with pytest.raises(type(error)) as caught:
        predict(method, IMAGES)
    assert ran_out(caught.value)
    assert method.sizes == [3, 1]


def test_other_errors_are_not_tried_again() -> None:
    method = Counting(fits=0, error=RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        retry_smaller_batch(method, lambda: method.predict(IMAGES))
    assert method.sizes == [64]


def test_a_run_goes_on_and_a_training_fails_with_advice(bench: Bench) -> None:
    result = bench.run(bench.protocol(PROTOCOL))
    assert result.returncode == 1
    assert "out of memory: inference batch 8 -> 4" in result.stdout
    store = Store(bench.results)
    done, failed = sorted(store.records(), key=lambda record: record.status)
    assert len(store.predictions(done.spec)) == 12
    assert done.value("srcc") == pytest.approx(0.9, abs=0.1)
    assert failed.error is not None
    assert failed.error.startswith("OutOfMemoryError: CUDA out of memory")
    assert "--set toy_hungry.batch_size=…" in failed.error
    assert "fewer workers at once (--jobs)" in failed.error
