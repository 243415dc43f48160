"""Methods on backbones other than the defaults, with random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import backbones
from bench.api import Context, LabelledSet, Method, UsageError
from bench.methods.kit.clip_tower import without_positions
from bench.model.images import ArrayImages
from bench.registry import settings_for

SMALL_VIT, RESNET, TIMM = "ViT-S-32-alt:random", "RN50:random", "convnext_tiny:random"
SIDE = 256


def labelled(count: int = 6, height: int = SIDE, width: int = SIDE) -> LabelledSet:
    rng = np.random.default_rng(0)
    images = ArrayImages(list(rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)))
    nothing = (None,) * count
    scores = np.linspace(0, 1, count)
    return LabelledSet(
        "noise", images, scores, nothing, nothing, nothing, nothing, ("noise",) * count
    )


def build(name: str, **settings: Any) -> Method:
    cls, own = settings_for(name, settings)
    return cls(own, Context(seed=1))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("clip_zeroshot", {"backbone": TIMM}),
        ("ridge", {"backbone": TIMM, "resize": SIDE}),
        ("clipiqa", {"backbone": RESNET}),
        (
            "coop",
            {"backbone": RESNET, "resize": SIDE, "steps": 2, "epoch_steps": 2, "n_context": 2},
        ),
        (
            "grmp",
            {
                "backbone": SMALL_VIT,
                "pretraining": False,
                "epochs": 1,
                "warmup_epochs": 0,
                "n_prompts": 2,
                "trained_blocks": 1,
            },
        ),
        (
            "mpiqe",
            {
                "backbone": SMALL_VIT,
                "epochs": 1,
                "warmup_epochs": 0,
                "windows": 2,
                "crops": 1,
                "test_crops": 1,
            },
        ),
        ("deiqt", {"backbone": SMALL_VIT, "epochs": 1, "crops": 1, "test_crops": 1}),
        ("deiqt", {"backbone": "timm:test_vit:random", "epochs": 1, "crops": 1, "test_crops": 1}),
        ("finetune", {"backbone": SMALL_VIT, "epochs": 1, "warmup_epochs": 0}),
        ("finetune", {"backbone": "timm:test_vit:random", "epochs": 1, "warmup_epochs": 0}),
        ("svr", {"backbone": "timm:test_vit:random"}),
        ("knn", {"backbone": "timm:test_resnet:random", "resize": SIDE}),
    ],
)
def test_a_method_runs_on_another_backbone(name: str, settings: dict[str, Any]) -> None:
    method, train = build(name, **settings), labelled()
    for epoch in method.fit(train):
        assert np.isfinite(epoch.loss)
    scores = method.predict(train.images)
    assert scores.shape == (6,)
    assert np.isfinite(scores).all()
    assert method.policy.size in (None, 168, 224, 244, SIDE)


@pytest.mark.parametrize("name", ["grmp", "mpiqe", "deiqt", "promptiqa"])
def test_methods_that_need_blocks_refuse_other_towers_in_time(name: str) -> None:
    with pytest.raises(UsageError, match="own vision transformers"):
        build(name, backbone="ViT-B-16-SigLIP:webli").policy  # noqa: B018


@pytest.mark.parametrize("name", ["coop", "clipiqa_plus"])
def test_methods_that_need_text_contexts_refuse_other_texts_in_time(name: str) -> None:
    with pytest.raises(UsageError, match="no learned text context"):
        build(name, backbone="ViT-L-14-worldwide:random").policy  # noqa: B018


def test_a_tower_of_timm_keeps_its_positions() -> None:
    with pytest.raises(UsageError, match="set positions=true"):
        build("clipiqa", backbone="ViT-B-16-SigLIP:webli").policy  # noqa: B018
    known = build("ridge", backbone="ViT-B-16-SigLIP:webli", resize=SIDE)
    assert known.policy.size == SIDE


@pytest.mark.parametrize("name", [SMALL_VIT, RESNET])
def test_without_positions_is_the_tower_with_positions_of_zero(name: str) -> None:
    visual = backbones.load(name).model.visual
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    where = visual.attnpool if hasattr(visual, "attnpool") else visual
    with torch.no_grad():
        assert not torch.allclose(without_positions(visual, pixels), visual(pixels), atol=1e-4)
        where.positional_embedding.zero_()
        found, expected = without_positions(visual, pixels), visual(pixels)
        assert torch.allclose(found, expected, atol=1e-4, rtol=1e-3)
        assert without_positions(visual, pixels[:, :, :192, :160]).shape == found.shape
