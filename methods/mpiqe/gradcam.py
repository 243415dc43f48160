"""Where in an image the score comes from (Fig. 3): Grad-CAM on the last block's patches."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.api import Pixels
from methods.grmp.pipeline import Lens
from methods.mpiqe.model import PromptedCLIP

Evidence = Literal["positive", "negative", "both"]


def whole_image(image: Pixels, lens: Lens) -> Tensor:
    """An image (H, W, 3) squeezed to the network's square and normalised, (3, S, S)."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    size = (lens.size, lens.size)
    small = F.interpolate(pixels, size, mode="bicubic", antialias=True).clamp(0, 255) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (lens.mean, lens.std))
    return ((small[0] - mean) / std).to(lens.device)


def maps(model: PromptedCLIP, pixels: Tensor, evidence: Evidence) -> Tensor:
    """Normalised pixels (B, 3, S, S) to Grad-CAM maps (B, h, w), each divided by its largest value.

    The weight of a channel is the mean over patches of the score's derivative with respect to it;
    the map is the weighted sum of channels, cut at zero as `evidence` says.
    """
    with torch.no_grad():
        tokens, queries = model.tokens(pixels), model.texts()
    tokens.requires_grad_(True)
    with torch.enable_grad():
        score = model(tokens, queries).score.sum()
        (slope,) = torch.autograd.grad(score, tokens)
    patches, weights = tokens.detach()[:, 1:], slope[:, 1:].mean(dim=1, keepdim=True)
    found = (weights * patches).sum(dim=-1)
    if evidence == "negative":
        found = -found
    found = found.abs() if evidence == "both" else found.clamp(min=0)
    side = round(found.shape[1] ** 0.5)
    largest = found.amax(dim=1, keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
    return (found / largest).unflatten(1, (side, side))
