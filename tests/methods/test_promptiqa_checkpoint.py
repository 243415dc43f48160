"""The published checkpoint's names and shapes."""

from __future__ import annotations

import torch

from bench.methods.promptiqa.encoder import TapTransformer, quarters
from bench.methods.promptiqa.model import PromptIQANet
from tests.golden import state_dict_shapes


def test_the_full_size_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        net = PromptIQANet(TapTransformer(224, 8, 768, 12, 12))
    ours = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert list(ours.items()) == list(state_dict_shapes("promptiqa").items())
    assert len(ours) == 505


def test_quarters() -> None:
    assert quarters(12) == [2, 5, 8, 11]
    assert quarters(6) == [1, 2, 4, 5]
