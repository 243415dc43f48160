"""Grad-CAM on the tokens of a vision transformer: where in an image a score comes from.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, Eq. 1 and 2, with patches in the place of a feature map's positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.api import Images, Pixels
from bench.methods.kit.lens import Lens

Evidence = Literal["positive", "negative", "both"]
Tokens = Callable[[Tensor], Tensor]


def maps(
    images: Images,
    lens: Lens,
    batch_size: int,
    tokens: Tokens,
    score: Tokens,
    evidence: Evidence = "positive",
) -> npt.NDArray[np.floating[Any]]:
    """Maps of whole images, (n, h, h) in 0-1; an image is squeezed to the network's input.

    `tokens` maps normalised pixels (B, 3, S, S) to tokens, `score` these to scores (`grad_cam`).
    """
    parts = []
    for start in range(0, len(images), batch_size):
        places = range(start, min(start + batch_size, len(images)))
        with torch.no_grad():
            found = tokens(torch.stack([whole_image(images[place], lens) for place in places]))
        parts.append(grad_cam(found, score, evidence).cpu().double().numpy())
    return np.concatenate(parts) if parts else np.empty((0, 0, 0))


def whole_image(image: Pixels, lens: Lens) -> Tensor:
    """An image (H, W, 3) squeezed to the network's square and normalised, (3, S, S)."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    small = F.interpolate(pixels, (lens.size, lens.size), mode="bicubic", antialias=True)
    small = small.clamp(0, 255) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (lens.mean, lens.std))
    return ((small[0] - mean) / std).to(lens.device)


def grad_cam(tokens: Tensor, score: Tokens, evidence: Evidence = "positive") -> Tensor:
    """Tokens [CLS, patches] (B, 1 + h·h, d) to maps (B, h, h), each divided by its largest value.

    `score` maps tokens to one score an image, (B,). The weight of a channel is the mean over
    patches of the score's derivative with respect to it (Eq. 1); the map is the weighted sum of
    channels, cut at zero (Eq. 2). 'negative' evidence is what lowers the score, 'both' is either.
    """
    tokens = tokens.detach().requires_grad_(True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(score(tokens).sum(), tokens)
    patches, weights = tokens.detach()[:, 1:], slope[:, 1:].mean(dim=1, keepdim=True)
    found = (weights * patches).sum(dim=-1)
    if evidence == "negative":
        found = -found
    found = found.abs() if evidence == "both" else found.clamp(min=0)
    side = round(found.shape[1] ** 0.5)
    largest = found.amax(dim=1, keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
    return (found / largest).unflatten(1, (side, side))
