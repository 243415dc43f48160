"""Which crops an epoch trains on, and which a prediction averages over."""

from __future__ import annotations

import numpy as np

from bench.api import Context, Images
from bench.methods.kit.views import CENTRE, Crop, View
from bench.methods.mpiqe.settings import MPIQESettings


def draw(rng: np.random.Generator, flip: bool) -> View:
    """A crop at random, mirrored in half of the cases where `flip`."""
    across, down, side = rng.random(3)
    return View(float(across), float(down), flip and bool(side < 0.5))


def prediction_views(count: int, flip: bool) -> list[View]:
    """The crops of a prediction: the centre, or `count` fixed random ones."""
    if count == 1:
        return [CENTRE]
    # The same for every run: a stored model has to give the same scores anywhere.
    rng = np.random.default_rng(0)
    return [draw(rng, flip) for _ in range(count)]


class CropSampler:
    """The batches of every epoch: a function of the context's seed and the settings."""

    def __init__(
        self, images: Images, settings: MPIQESettings, context: Context, batch_size: int
    ) -> None:
        self.images = images
        self.settings = settings
        self.context = context
        self.batch_size = batch_size

    def steps(self) -> int:
        """Batches an epoch."""
        whole = self.settings.batch_of == "images"
        samples = len(self.images) * (1 if whole else self.settings.crops)
        return -(-samples // self.batch_size)

    def epoch(self, number: int) -> list[list[Crop]]:
        """Batches of epoch `number`: every image `crops` times, in random order."""
        rng = self.context.rng("epoch", number)
        crops, size = self.settings.crops, self.batch_size
        if self.settings.batch_of == "images":
            order = np.repeat(rng.permutation(len(self.images)), crops)
            size *= crops
        else:
            order = rng.permutation(np.repeat(np.arange(len(self.images)), crops))
        samples = [self._crop(int(index), rng) for index in order]
        return [samples[start : start + size] for start in range(0, len(samples), size)]

    def _crop(self, index: int, rng: np.random.Generator) -> Crop:
        if self.settings.views is not None:
            rng = self.context.rng("view", index, int(rng.integers(self.settings.views)))
        view = draw(rng, self.settings.flip)
        return Crop(self.images, index, view, (index, view))
