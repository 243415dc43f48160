"""What the network that the `tiny` backbone learns from sees: pooled features of `lite0`."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.backbones import load

DIRECTIONS = 96
"""How many directions of the features are learnt: as many as the joint space has."""

_BLOCKS = [2, 3, 4, 5, 6]
"""timm's stages 1 to 5; 0 is what comes before the first stage."""
_BATCH = 64


class Teacher:
    """`lite0`, trained on ImageNet, and the main directions of its features of some pictures.

    The features are the means and standard deviations over positions of five inner stages and the
    last one, on which a ridge regression predicts the quality of real photographs well. They are
    standardised and turned into principal components, each divided by the square root of its
    deviation: without that the first few outweigh all others, and with all of it noise counts as
    much as they do.
    """

    def __init__(self, examples: Tensor) -> None:
        backbone = load("lite0")
        self.network = backbone.model
        self.mean, self.std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (backbone.info.mean, backbone.info.std)
        )
        pooled = torch.cat([self.pooled(part) for part in examples.split(_BATCH)])
        self.centre, self.spread = pooled.mean(dim=0), pooled.std(dim=0) + 1e-3
        standard = (pooled - self.centre) / self.spread
        _, singular, directions = torch.pca_lowrank(standard, DIRECTIONS, center=False, niter=4)
        deviations = singular / len(examples) ** 0.5
        self.directions = directions / (deviations * deviations.sum()).sqrt()

    def pooled(self, crops: Tensor) -> Tensor:
        """Means and standard deviations (n, 3456) of uint8 crops (n, 3, s, s)."""
        pixels = (crops.float() / 255.0 - self.mean) / self.std
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            last, inner = self.network.forward_intermediates(
                pixels, indices=_BLOCKS, extra_blocks=True
            )
        maps = [found.float().flatten(2) for found in (*inner, last)]
        return torch.cat([part for found in maps for part in (found.mean(2), found.std(2))], dim=1)

    def targets(self, crops: Tensor) -> Tensor:
        """Components (n, DIRECTIONS) of uint8 crops; their variances add up to about 1."""
        with torch.inference_mode():
            found = ((self.pooled(crops) - self.centre) / self.spread) @ self.directions
        return found.clone()
