"""Features of frozen backbones: which levels, which statistics, computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from pydantic import ValidationError

from bench import backbones
from bench.api import ArrayImages, BenchError, Context, ImagePolicy, UsageError
from bench.data.features import FeatureCache
from bench.methods.kit import stages
from bench.methods.kit.image_features import FeatureSettings, ImageFeatures
from bench.util.validation import first_reason

VIT = "timm:test_vit:random"
CNN = "timm:test_resnet:random"


def images(count: int = 3, side: int = 96) -> ArrayImages:
    rng = np.random.default_rng(0)
    return ArrayImages([rng.integers(0, 256, (side, side + 8, 3), np.uint8) for _ in range(count)])


def features(context: Context | None = None, **given: Any) -> ImageFeatures:
    return ImageFeatures(FeatureSettings(**{"resize": 96, **given}), context or Context())


def test_lite0_gives_mean_and_deviation_of_every_level() -> None:
    shown = images()
    found = features(backbone="lite0").of(shown)
    assert found.shape == (3, 2 * (32 + 16 + 24 + 40 + 80 + 112 + 192 + 320 + 1280))
    model = backbones.load("lite0").model
    square = shown[1][:, 4:100].astype(np.float32) / 255
    pixels = (torch.from_numpy(square).permute(2, 0, 1)[None] - 0.5) / 0.5
    with torch.no_grad():
        last = model.forward_features(pixels)[0]
        first = model.bn1(model.conv_stem(pixels))[0]
    assert found[1, -2560:-1280] == pytest.approx(last.mean(dim=(1, 2)).numpy(), abs=1e-5)
    assert found[1, -1280:] == pytest.approx(last.flatten(1).std(1, False).numpy(), abs=1e-5)
    assert found[1, :32] == pytest.approx(first.mean(dim=(1, 2)).numpy(), abs=1e-5)


def test_stages_and_statistics_are_settings() -> None:
    shown = images(1)
    whole = features(backbone="lite0").of(shown)[0]
    means = features(backbone="lite0", stages=[0, -1], pooling=["mean"]).of(shown)[0]
    assert means == pytest.approx(np.concatenate([whole[:32], whole[-2560:-1280]]), abs=1e-6)
    with pytest.raises(UsageError, match=r"lite0: stages: there is no level 9; .* 0 to 8"):
        features(backbone="lite0", stages=[9]).of(shown)


def test_deep_stacks_give_four_blocks_and_the_token() -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=12).eval()
    with torch.no_grad():
        found = stages.levels(model, torch.rand(2, 3, 224, 224))
    assert len(found) == 13
    taken = stages.chosen(found, None)
    assert [any(level is each for each in taken) for level in found] == [
        number in (2, 5, 8, 11, 12) for number in range(13)
    ]
    assert found[-1].shape == (2, 192)
    assert stages.pooled(taken, ["mean", "std"]).shape == (2, 4 * 2 * 192 + 192)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet", "test_vit"])
def test_levels_are_maps_of_the_image(name: str) -> None:
    model = timm.create_model(name, num_classes=0).eval()
    with torch.no_grad():
        found = stages.levels(model, torch.rand(2, 3, 160, 160))
        pooled = stages.pooled(found, ["mean", "std"])
    assert all(level.shape[0] == 2 for level in found)
    assert torch.isfinite(pooled).all()
    assert len({level.data_ptr() for level in found}) == len(found)


def test_a_row_has_the_same_bits_whatever_is_beside_it() -> None:
    shown = images(4)
    together = features(backbone="lite0").of(shown)
    alone = [features(backbone="lite0").of(shown.subset([place]))[0] for place in (2, 0)]
    assert np.array_equal(together[[2, 0]], alone)


def test_rows_are_kept_on_disk_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(features=FeatureCache(tmp_path, str, 1 << 30))
    shown = images(3)
    for name in ("lite0", "tiny"):
        size = {"resize": 122} if name == "tiny" else {}
        shown = images(3, side=122) if name == "tiny" else shown
        found = features(context, backbone=name, **size).of(shown)
        with monkeypatch.context() as patch:
            patch.setattr(backbones, "shared", lambda *_: pytest.fail("computed again"))
            other = shown.subset([2, 1]).renamed(["x", "y"])
            again = features(context, backbone=name, **size).of(other)
        assert np.array_equal(again, found[[2, 1]])
    monkeypatch.setattr(backbones, "shared", lambda *_: pytest.fail("computed"))
    other = features(context, backbone="lite0", pooling=["mean"])
    with pytest.raises(pytest.fail.Exception):
        other.of(images(3))


def test_defaults_follow_the_network() -> None:
    cnn, vit = FeatureSettings(backbone=CNN), FeatureSettings(backbone="timm:vit_small_patch16_224")
    assert cnn.policy == ImagePolicy("short_side", 384, "pillow_bilinear")
    assert vit.policy == ImagePolicy("short_side", round(224 / 0.9))
    assert FeatureSettings(backbone="lite0", resize_mode="none").policy == ImagePolicy()
    assert FeatureSettings(backbone="lite0", resize_mode="squash").policy.size == 384
    assert FeatureSettings(backbone="timm:resnet50:tv_in1k").policy.kernel == "pillow_bilinear"
    assert FeatureSettings(backbone="tiny").policy == ImagePolicy("squash", 122)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"backbone": "lite0", "positions": True}, "lite0 has no positions"),
        ({"backbone": VIT, "positions": False}, "keeps its positions"),
        ({"backbone": VIT, "resize": 100}, "sees 160 pixels"),
        ({"backbone": VIT, "resize_mode": "none"}, "resize_mode"),
        ({"backbone": "tiny", "stages": [1]}, "tiny is a CLIP"),
    ],
)
def test_settings_that_a_network_cannot_have_are_refused(given: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FeatureSettings(**given)
    assert reason in first_reason(caught.value, FeatureSettings)


def test_images_that_leave_nothing_are_named() -> None:
    small = ArrayImages([np.zeros((20, 40, 3), np.uint8)], ["small.png"])
    with pytest.raises(BenchError, match=r"'small\.png' of 20 x 20 is smaller than 32"):
        features(backbone="lite0").of(small)
    with pytest.raises(BenchError, match=r"'small\.png' of 40 x 20"):
        features(backbone=VIT, resize=168).of(small)
