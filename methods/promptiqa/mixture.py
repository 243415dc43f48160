"""Inputs of a training step: images, or the kept outputs of a frozen part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.api import Context, Images, Pixels
from bench.methods.kit import cache
from bench.methods.kit.devices import autocast, send
from bench.methods.promptiqa.encoder import EncoderInfo, pixels_to_input
from bench.methods.promptiqa.features import stack_pixels
from bench.methods.promptiqa.model import PromptIQANet
from bench.methods.promptiqa.settings import PromptiqaTrainingSettings

Part = Literal["all", "head", "fusion"]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_] | None


@dataclass(frozen=True)
class MixtureSource:
    """One dataset of the mixture: images and labels from 0 to 1 as the model sees them."""

    name: str
    images: Images
    labels: Floats


@dataclass(frozen=True)
class PromptTrainingPlan:
    """The trained part, and the length of the training."""

    purpose: str
    """Names random streams and the checkpoint file."""
    part: Part
    epochs: int
    lr: float
    settings: PromptiqaTrainingSettings


class Inputs:
    """Inputs of the trained part: images, or the outputs of the frozen part before it.

    Outputs of a frozen part are computed once and kept within the process's bound, unless images
    are mirrored at random.
    """

    def __init__(
        self,
        net: PromptIQANet,
        info: EncoderInfo,
        sources: Sequence[MixtureSource],
        plan: PromptTrainingPlan,
        context: Context,
    ) -> None:
        self.net, self.info, self.sources = net, info, sources
        self.plan, self.context = plan, context
        # On the CPU whatever the device: maps of many images, of which a step needs a few.
        self._shelf = cache.shared("cpu").shelf()
        self._keeps = plan.part != "all" and plan.settings.image_flip == "none"

    def mirrored(self, count: int, rng: np.random.Generator) -> Mask:
        """(count,) which images of a group are mirrored; None for none."""
        return None if self.plan.settings.image_flip == "none" else rng.random(count) < 0.5

    def get(self, source: int, rows: npt.NDArray[np.intp], mirrored: Mask) -> Tensor:
        """Inputs of the trained part for `rows`, on the device."""
        images = self.sources[source].images
        if not self._keeps:
            return self._frozen([images[int(row)] for row in rows], mirrored)
        keys = [(source, int(row)) for row in rows]
        found = self._shelf.rows(
            keys, lambda places: self._frozen([images[keys[at][1]] for at in places], None).cpu()
        )
        return found.to(self.context.device)

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
            frozen = self.net.taps if self.plan.part == "head" else self.net.features
            return frozen(inputs).float()
