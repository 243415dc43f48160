"""Methods that go wrong as methods do: crashes of the process, memory that runs out."""

from __future__ import annotations

import ctypes
import os

import numpy as np

from bench.api import Epoch, Method, Settings


class ToySegfault(Method):
    """Reads at address 0, as a broken extension would."""

    name = "toy_segfault"

    def predict(self, images):
        ctypes.string_at(0)
        return np.zeros(len(images))


class ToyTorch(Method):
    """Notes how torch is set up."""

    name = "toy_torch"

    def predict(self, images):
        import torch

        self.notes += [
            f"workspace {os.environ.get('CUBLAS_WORKSPACE_CONFIG')}",
            f"deterministic {torch.are_deterministic_algorithms_enabled()}",
            f"benchmark {torch.backends.cudnn.benchmark}",
        ]
        return np.array([image.mean() for image in images])


class ToyHeavy(Method):
    """Pre-trains with a checkpoint of 800 kB."""

    name = "toy_heavy"

    def corpora(self):
        return ("toy",)

    def pretrain(self, corpora):
        from safetensors.numpy import save_file

        save_file({"a": np.zeros(100_000)}, self.context.scratch / "state")
        yield Epoch(0.0, total=1)

    def save_pretrained(self, path):
        path.write_text("state")

    def load_pretrained(self, path):
        assert path.read_text() == "state"

    def predict(self, images):
        return np.array([image.mean() for image in images])


class HungrySettings(Settings):
    """How much fits."""

    batch_size: int = 16
    fits: int = 4
    train: bool = False


class ToyHungry(Method):
    """Runs out of memory above a batch size, in training or at inference."""

    name = "toy_hungry"
    Settings = HungrySettings

    def fit(self, train):
        if self.settings.train:
            raise _out_of_memory()
        yield Epoch(0.0, total=1)

    def predict(self, images):
        size = self.context.batch_size
        if size > self.settings.fits:
            raise _out_of_memory()
        starts = range(0, len(images), size)
        parts = [list(range(len(images)))[start : start + size] for start in starts]
        return np.concatenate([_mean(images.batch(part)) for part in parts])


def _mean(batch):
    return batch.reshape(len(batch), -1).mean(axis=1)


def _out_of_memory():
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
