"""Loading through open_clip."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from bench import backbones
from bench.backbones import BackboneError, load, resolve, resolve_vit
from bench.backbones._load import Backbone, empty_model
from tools.tiny.train import encode_text


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return load("tiny")


def test_tiny_is_an_open_clip_model(tiny: Backbone) -> None:
    assert "iqa-bench-tiny" in open_clip.list_models()
    assert isinstance(tiny.model, open_clip.CLIP)
    assert len(tiny.model.visual.transformer.resblocks) == resolve_vit("tiny").layers >= 6
    assert len(tiny.model.transformer.resblocks) >= 6
    assert tiny.model.visual.conv1.weight.shape[0] == resolve_vit("tiny").width
    assert tiny.model.visual.image_mean == tiny.info.mean


def test_loaded_models_are_frozen_in_float32_and_evaluation_mode(tiny: Backbone) -> None:
    assert not tiny.model.training
    for parameter in tiny.model.parameters():
        assert parameter.dtype == torch.float32
        assert not parameter.requires_grad
        assert torch.isfinite(parameter).all()


def test_shared_backbones_are_read_once_and_few_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def load_one(name: str, _: str) -> object:
        read.append(name)
        return object()

    monkeypatch.setattr(backbones, "load", load_one)
    backbones._kept.cache_clear()
    try:
        assert backbones.shared("tiny") is backbones.shared("tiny")
        assert read == ["tiny"]
        file = tmp_path / "weights.pt"
        for content in (b"one", b"other"):
            file.write_bytes(content)
            for _ in range(2):
                backbones.shared(f"ViT-B-16:{file}")
        assert len(read) == 3
        backbones.shared("tiny")
        assert len(read) == 4
        with pytest.raises(BackboneError, match="no weights file"):
            backbones.shared(f"ViT-B-16:{tmp_path}/none.pt")
    finally:
        backbones._kept.cache_clear()


def test_features_have_the_stated_length(tiny: Backbone) -> None:
    size = tiny.info.image_size
    images = tiny.model.encode_image(torch.zeros(2, 3, size, size))
    texts = tiny.model.encode_text(tiny.tokenizer(["a photo.", "a photo of a plant."]))
    assert images.shape == texts.shape == (2, tiny.info.embed_dim)


def test_short_texts_encode_as_long_ones(tiny: Backbone) -> None:
    texts = ["a photo of a cityscape with two towers", "Good photo."]
    full = tiny.model.encode_text(tiny.tokenizer(texts), normalize=True)
    cut = encode_text(tiny.model, tiny.tokenizer(texts, context_length=32))
    assert torch.allclose(full, cut, atol=1e-5)


def test_loading_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load("tiny")
    assert torch.equal(torch.rand(1), expected)


def test_random_weights_are_seeded_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = load("ViT-B-16:random")
    assert torch.equal(torch.rand(1), expected)
    second = load("ViT-B-16:random")
    pairs = zip(first.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert first.info == resolve("ViT-B-16:random")


def _as_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ViT-B-16 stand for the small architecture, so that files can be written in a moment."""
    original = backbones._described

    def small(*args: object) -> backbones.ClipInfo:
        from dataclasses import replace

        return replace(original(*args), model="iqa-bench-tiny", quick_gelu=False)  # type: ignore[arg-type]

    monkeypatch.setattr(backbones, "_described", small)


@pytest.mark.parametrize("kind", ["safetensors", "state dict", "wrapped"])
def test_local_files_load(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _as_small(monkeypatch)
    state = empty_model("tiny").state_dict()
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    elif kind == "state dict":
        torch.save({**state, "context_length": torch.tensor(77)}, path)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    loaded = load(f"ViT-B-16:{path}").model.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _as_small(monkeypatch)
    path = tmp_path / "w.safetensors"
    save_file({"nonsense": torch.zeros(3)}, path)
    with pytest.raises(BackboneError, match=r"does not hold weights of iqa-bench-tiny"):
        load(f"ViT-B-16:{path}")
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(BackboneError, match=r"w\.safetensors"):
        load(f"ViT-B-16:{path}")


def test_a_hub_that_does_not_answer_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(open_clip, "create_model", unreachable)
    with pytest.raises(BackboneError, match=r"ViT-B-16:openai.*no route to host.*copy the file"):
        load("ViT-B-16:openai")


@pytest.mark.parametrize("name", ["ViT-S-32-alt:random", "RN50:random", "convnext_tiny:random"])
def test_other_architectures_load_and_give_features(name: str) -> None:
    loaded = load(name)
    size = loaded.info.image_size
    with torch.no_grad():
        features = loaded.model.encode_image(torch.zeros(1, 3, size, size))
        texts = loaded.model.encode_text(loaded.tokenizer(["a photo."]))
    assert features.shape == texts.shape == (1, loaded.info.embed_dim)
    visual = loaded.model.visual
    if loaded.info.tower == "vit":
        info = resolve_vit(name)
        assert visual.conv1.weight.shape[0] == info.width
        assert visual.patch_size == (info.patch_size, info.patch_size)
        assert len(visual.transformer.resblocks) == info.layers


def test_the_activation_is_the_weights_own() -> None:
    def activation(name: str) -> str:
        block = empty_model(name).visual.transformer.resblocks[0]
        return type(block.mlp.gelu).__name__

    assert activation("ViT-B-32:openai") == "QuickGELU"
    assert activation("ViT-B-32:laion2b_s34b_b79k") == "GELU"


def test_a_tokenizer_that_is_not_here_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(open_clip, "get_tokenizer", unreachable)
    with pytest.raises(BackboneError, match=r"tokenizer could not be loaded.*no route to host"):
        load("tiny").tokenizer  # noqa: B018
