"""Which crops an epoch trains on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.api import Context, Images
from bench.methods.grmp.settings import GrmpSettings
from bench.methods.kit.views import CENTRE, Crop, View, draw, draw_leaning


class TaskSampler:
    """The training batches of every epoch; a function of the context's seed and the settings."""

    def __init__(self, images: Images, settings: GrmpSettings, context: Context) -> None:
        self.images = images
        self.settings = settings
        self.context = context

    def epoch(self, number: int) -> list[list[Crop]]:
        """Batches of epoch `number`: every image `crops` times, in random order."""
        rng = self.context.rng("epoch", number)
        indices = rng.permutation(np.repeat(np.arange(len(self.images)), self.settings.crops))
        size = self.settings.batch_size
        chunks = [indices[i : i + size] for i in range(0, len(indices), size)]
        return [self._batch(chunk.tolist(), rng) for chunk in chunks]

    def _batch(self, indices: Sequence[int], rng: np.random.Generator) -> list[Crop]:
        shared = self._one(rng, 0) if self.settings.augment == "batch" else None
        views = [shared or self._one(rng, index) for index in indices]
        # A crop that is drawn anew each time will hardly be asked for again.
        again = self.settings.augment == "none" or self.settings.views is not None
        return [
            Crop(self.images, index, view, (index, view) if again else None)
            for index, view in zip(indices, views, strict=True)
        ]

    def _one(self, rng: np.random.Generator, index: int) -> View:
        if self.settings.augment == "none":
            return CENTRE
        if self.settings.augment == "batch":
            index = 0
        if self.settings.views is not None:
            rng = self.context.rng("view", index, int(rng.integers(self.settings.views)))
        return draw_leaning(rng) if self.settings.augment == "batch" else draw(rng)
