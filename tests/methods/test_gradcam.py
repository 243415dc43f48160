"""Grad-CAM against a hand calculation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.methods.kit import gradcam as gradcam
from bench.methods.kit.lens import Lens
from bench.model.images import ArrayImages

TOKENS = torch.tensor(
    [
        # CLS, then patches 0 to 3 with two channels each.
        [[9.0, 9.0], [1.0, 0.0], [2.0, 1.0], [0.0, 3.0], [1.0, 1.0]],
        [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 4.0], [0.0, 0.0]],
    ]
)


def score(tokens: Tensor) -> Tensor:
    """y = 4 x00 + 8 x10 - 2 x21² / 3 + CLS, so that ∂y/∂x is known by hand."""
    return (
        4 * tokens[:, 1, 0]
        + 8 * tokens[:, 2, 0]
        - 2 / 3 * tokens[:, 3, 1] ** 2
        + tokens[:, 0].sum(dim=1)
    )


@pytest.mark.parametrize(
    ("evidence", "first", "second"),
    [
        # Image 0: ∂y/∂(channel 0) sums to 4 + 8, over 4 patches: 3. Channel 1: -4/3 · 3 / 4 = -1.
        # 3·[1, 2, 0, 1] - [0, 1, 3, 1] = [3, 5, -3, 2].
        # Image 1: channel 0 is 0 everywhere; channel 1: -4/3 · 4 / 4, times [1, 2, 4, 0].
        ("positive", [3 / 5, 1, 0, 2 / 5], [0, 0, 0, 0]),
        ("negative", [0, 0, 1, 0], [1 / 4, 1 / 2, 1, 0]),
        ("both", [3 / 5, 1, 3 / 5, 2 / 5], [1 / 4, 1 / 2, 1, 0]),
    ],
)
def test_maps_by_hand(evidence: gradcam.Evidence, first: list[float], second: list[float]) -> None:
    found = gradcam.grad_cam(TOKENS, score, evidence)
    wanted = torch.tensor([first, second]).unflatten(1, (2, 2))
    assert torch.allclose(found, wanted, atol=1e-6)


def test_the_model_is_left_alone() -> None:
    layer = torch.nn.Linear(2, 1)
    gradcam.grad_cam(TOKENS, lambda tokens: layer(tokens.mean(dim=1))[:, 0])
    assert all(parameter.grad is None for parameter in layer.parameters())
    assert TOKENS.grad is None
    assert not TOKENS.requires_grad


def test_an_image_is_squeezed_whole() -> None:
    """A light left half stays the left half, whatever the aspect ratio; batches change nothing."""
    images = []
    for height, width in ((8, 24), (30, 10), (16, 16)):
        image = np.zeros((height, width, 3), np.uint8)
        image[:, : width // 2] = 255
        images.append(image)
    lens = Lens(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), torch.device("cpu"))

    def tokens(pixels: Tensor) -> Tensor:
        patches = torch.nn.functional.avg_pool2d(pixels[:, :1], 4).flatten(2).transpose(1, 2)
        return torch.cat([torch.zeros(len(pixels), 1, 1), patches], dim=1)

    def brightness(found: Tensor) -> Tensor:
        return found[:, 1:, 0].sum(dim=1)

    for batch in (1, 2, 3):
        maps = gradcam.maps(ArrayImages(images), lens, batch, tokens, brightness)
        assert maps.shape == (3, 2, 2)
        assert np.allclose(maps[:, :, 0], 1, atol=0.02)
        assert np.allclose(maps[:, :, 1], 0)
