"""Frozen towers by oneDNN: the same rows, kept apart from torch's own, or torch's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn

from bench import backbones
from bench.api import ArrayImages, Context
from bench.data.features import FeatureCache, shelves
from bench.methods.kit import forms, image_features, onednn
from bench.methods.kit.clip_features import ImageSettings, packable
from bench.methods.kit.clip_tower import private_copy
from bench.methods.kit.forms import Frozen
from bench.methods.kit.image_features import FeatureSettings, ImageFeatures

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


def pixels(count: int, side: int = 112, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("activation", [QuickGELU, nn.GELU])
def test_a_block_is_open_clips(activation: type[nn.Module]) -> None:
    torch.manual_seed(0)
    block = ResidualAttentionBlock(32, 4, act_layer=activation).eval().requires_grad_(False)
    whole = onednn._Block(block, 2, 10)
    first = onednn._Block(block, 2, 10, first_only=True)
    for shape in ((2, 10, 32), (1, 7, 32)):
        tokens = torch.randn(shape)
        expected = block(tokens)
        assert torch.allclose(whole(tokens), expected, atol=1e-5)
        assert torch.allclose(first(tokens), expected[:, :1], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("bias", [False, True])
def test_patches_are_the_convolutions(bias: bool) -> None:
    convolution = nn.Conv2d(3, 8, 4, 4, bias=bias)
    patches = onednn._Patches(convolution, rows=6)
    shown = torch.randn(2, 3, 8, 12)
    assert torch.allclose(patches(shown), convolution(shown).flatten(2), atol=1e-5)
    with pytest.raises(onednn.Unsuited):
        onednn._Patches(nn.Conv2d(3, 8, 4, 2), rows=6)


@torch.no_grad()
def test_a_feature_of_all_tokens_is_computed_of_all() -> None:
    clip = private_copy(backbones.load("tiny").model)
    clip.visual.pool_type = "avg"
    batch = pixels(3)
    found = onednn.encoder(clip, batch)(batch)
    assert torch.allclose(found, clip.encode_image(batch, normalize=True), atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"ls_init_value": 0.1}, {"act_layer": nn.ReLU}, {"norm_layer": nn.RMSNorm}]
)
def test_other_blocks_are_unsuited(options: dict[str, object]) -> None:
    with pytest.raises(onednn.Unsuited):
        onednn._Block(ResidualAttentionBlock(32, 4, **options), 2, 10)


@torch.no_grad()
def test_a_tower_proves_itself_and_is_computed_so() -> None:
    clip = backbones.load("tiny").model

    def forward(batch: Tensor) -> Tensor:
        found: Tensor = clip.encode_image(batch, normalize=True)
        return found

    notes: list[str] = []
    frozen = Frozen(
        forward, Context(exact=False, note=notes.append), lambda batch: onednn.encoder(clip, batch)
    )
    first = pixels(forms.IMAGES)
    assert torch.equal(frozen(first), forward(first))
    (note,) = notes
    assert note.startswith("frozen network in onednn; against fp32 on 64 images")
    for count in (5, 1):
        rows, plain = frozen(pixels(count, seed=2)), forward(pixels(count, seed=2))
        assert torch.allclose(rows, plain, atol=1e-5)
        assert not torch.equal(rows, plain)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["exact", "unasked", "unsuited"])
def test_torch_computes_what_onednn_may_not_or_cannot(kind: str) -> None:
    def unsuited(batch: Tensor) -> forms.Forward:
        raise onednn.Unsuited("no")

    def wrong(batch: Tensor) -> forms.Forward:
        return lambda other: -other

    notes: list[str] = []
    context = Context(exact=kind == "exact", note=notes.append)
    pack = {"exact": wrong, "unasked": None, "unsuited": unsuited}[kind]
    frozen = Frozen(lambda batch: batch.flatten(1), context, pack)
    for _ in range(2):
        batch = pixels(forms.IMAGES, 4)
        assert torch.equal(frozen(batch), batch.flatten(1))
    told = ["frozen network in fp32"] if kind == "unsuited" else []
    assert [note.partition(";")[0] for note in notes] == told


@torch.no_grad()
@pytest.mark.parametrize("error", [onednn.Unsuited("no"), MemoryError("full"), RuntimeError("op")])
def test_a_proof_of_another_machine_that_fails_here_leaves_torch(error: Exception) -> None:
    def pack(batch: Tensor) -> forms.Forward:
        raise error

    notes: list[str] = []
    frozen = Frozen(lambda batch: batch.flatten(1), Context(exact=False, note=notes.append), pack)
    frozen.use("onednn")
    for _ in range(2):
        batch = pixels(3, 4)
        assert torch.equal(frozen(batch), batch.flatten(1))
    assert notes == [f"frozen network in fp32, since onednn failed: {error}"]


def test_other_networks_and_whole_images_stay_as_they_are() -> None:
    named = {name: forms.has_onednn(name) for name in ("tiny", "lite0", "RN50:openai")}
    assert named == {"tiny": True, "lite0": False, "RN50:openai": False}
    whole = ImageSettings(backbone="tiny", positions=False)
    assert not packable(whole)


def test_rows_on_disk_are_kept_by_arithmetic_and_proved_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    shown = ArrayImages([rng.integers(0, 256, (122, 122, 3), np.uint8) for _ in range(18)])
    notes: list[str] = []

    def features(exact: bool) -> ImageFeatures:
        kept = FeatureCache(tmp_path, str, 1 << 30)
        context = Context(exact=exact, note=notes.append, features=kept)
        return ImageFeatures(FeatureSettings(backbone="tiny"), context)

    plain = features(exact=True).of(shown)
    mine = features(exact=False)
    few = mine.of(shown.subset([0, 1]))  # too few to prove anything
    assert np.array_equal(few, plain[:2])
    fast = mine.of(shown)
    assert not np.array_equal(fast, plain)
    assert np.allclose(fast, plain, atol=1e-5)
    (note,) = notes
    assert "frozen network in onednn" in note
    assert sorted(shelf.rows for shelf in shelves(tmp_path)) == [1, 18, 18]
    with monkeypatch.context() as patch:
        patch.setattr(backbones, "shared", lambda *_: pytest.fail("computed again"))
        assert np.array_equal(features(exact=False).of(shown), fast)
        assert np.array_equal(features(exact=True).of(shown), plain)
    assert notes == [note] * 2
    # Another processor proves it for itself, and takes the same rows.
    monkeypatch.setattr(image_features, "_processor", lambda device: "another")
    assert np.array_equal(features(exact=False).of(shown), fast)
    assert sorted(shelf.rows for shelf in shelves(tmp_path)) == [1, 1, 18, 18]
