"""What a training step is fed: images, or the kept outputs of a frozen part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.api import Context, Images, Pixels
from methods.kit.devices import autocast, send
from methods.promptiqa.encoder import EncoderInfo, pixels_to_input
from methods.promptiqa.features import stack_pixels
from methods.promptiqa.model import PromptIQANet
from methods.promptiqa.settings import TrainingSettings

Part = Literal["all", "head", "fusion"]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_] | None
CACHE_BYTES = 2 * 1024**3
"""Outputs of a frozen part are kept in memory where they take no more than this."""


@dataclass(frozen=True)
class Source:
    """One dataset of the mixture: images and labels from 0 to 1 as the model sees them."""

    name: str
    images: Images
    labels: Floats


@dataclass(frozen=True)
class Plan:
    """What is trained, and how long."""

    purpose: str
    """Names random streams and the checkpoint file."""
    part: Part
    epochs: int
    lr: float
    settings: TrainingSettings


class Inputs:
    """What the trained part is fed: images, or the outputs of the frozen part before it.

    Outputs of a frozen part are computed once and kept, unless images are mirrored at random or
    the outputs would not fit into memory.
    """

    def __init__(
        self,
        net: PromptIQANet,
        info: EncoderInfo,
        sources: Sequence[Source],
        plan: Plan,
        context: Context,
    ) -> None:
        self.net, self.info, self.sources = net, info, sources
        self.plan, self.context = plan, context
        self._kept = [self._outputs(source) for source in sources] if self._keeps() else None

    def mirrored(self, count: int, rng: np.random.Generator) -> Mask:
        """(count,) which images of a group are mirrored; None for none."""
        return None if self.plan.settings.image_flip == "none" else rng.random(count) < 0.5

    def get(self, source: int, rows: npt.NDArray[np.intp], mirrored: Mask) -> Tensor:
        """Inputs of the trained part for `rows`, on the device."""
        if self._kept is not None:
            return self._kept[source][torch.from_numpy(rows)].to(self.context.device)
        images = self.sources[source].images
        return self._frozen([images[int(row)] for row in rows], mirrored)

    def _keeps(self) -> bool:
        if self.plan.part == "all" or self.plan.settings.image_flip != "none":
            return False
        size = self.net.size
        one = (
            size.feature
            if self.plan.part == "fusion"
            else (size.taps * size.grid**2 * size.tap_width)
        )
        return 4 * one * sum(len(source.images) for source in self.sources) <= CACHE_BYTES

    def _outputs(self, source: Source) -> Tensor:
        step = self.context.batch_size
        self.net.eval()
        parts = [
            self._frozen([source.images[row] for row in range(at, min(at + step, total))], None)
            for total in [len(source.images)]
            for at in range(0, total, step)
        ]
        return torch.cat([part.float().cpu() for part in parts])

    def _frozen(self, pixels: Sequence[Pixels], mirrored: Mask) -> Tensor:
        batch = stack_pixels(pixels, self.info.image_size)
        if mirrored is not None:
            axis = 2 if self.plan.settings.image_flip == "horizontal" else 1
            chosen = torch.from_numpy(mirrored)[:, None, None, None]
            batch = torch.where(chosen, batch.flip(axis), batch)
        inputs = pixels_to_input(send(batch, self.context.device), self.info)
        if self.plan.part == "all":
            return inputs
        with torch.no_grad(), autocast(self.context.device, self.plan.settings.precision):
            return self.net.taps(inputs) if self.plan.part == "head" else self.net.features(inputs)
