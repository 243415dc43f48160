"""Global generators seeded for a while, for libraries that draw from them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """All global generators seeded inside, as they were outside."""
    import torch

    gpus = [torch.device(device)] if device.startswith("cuda") else []
    own, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002  pyiqa draws from it
    try:
        with torch.random.fork_rng(devices=gpus):
            # Not `torch.manual_seed`: for a GPU that has not been started it formats and keeps the
            # whole stack, which took longer than a quick metric takes for an image.
            torch.default_generator.manual_seed(seed)
            if gpus:
                torch.cuda.manual_seed_all(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        random.setstate(own)
        np.random.set_state(numpys)  # noqa: NPY002
