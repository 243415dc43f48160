"""Networks trained by the harness: DEIQT and pyiqa's architectures, on small images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import backbones, pyiqa_library, registry
from bench.api import Context, Epoch, LabelledSet
from bench.methods.pyiqa_trained.method import local_contrast
from bench.methods.pyiqa_trained.networks import ARCHITECTURES
from bench.methods.pyiqa_trained.refused import NOT_TRAINED, why_not
from bench.model.images import ArrayImages
from bench.util.errors import BenchError, UsageError

SMALL = {
    "initial": "scratch",
    "crop": 32,
    "crops": 2,
    "test_crops": 2,
    "epochs": 2,
    "batch_size": 8,
    "lr": 1e-3,
}
DEIQT: dict[str, Any] = {**SMALL, "vit": "test_vit", "warmup_epochs": 0, "label_scale": 1.0}
LIGHT = ("cnniqa", "paq2piq")
"""Architectures of seconds; the others are built and take one step under `slow`."""


def labelled(count: int = 8, side: int = 64) -> LabelledSet:
    rng = np.random.default_rng(0)
    scores = np.linspace(0.05, 0.95, count)
    arrays = [
        np.clip(128 + rng.normal(0, 100 * (1 - y), (side, side, 3)), 0, 255).astype(np.uint8)
        for y in scores
    ]
    none = (None,) * count
    return LabelledSet(
        "noise", ArrayImages(arrays), scores, none, none, none, none, ("noise",) * count
    )


def build(name: str, seed: int = 5, **settings: Any) -> Any:
    cls, validated = registry.settings_for(name, settings)
    return cls(validated, Context(seed=seed))


def trained(name: str, **settings: Any) -> tuple[Any, list[Epoch]]:
    method = build(name, **settings)
    return method, list(method.fit(labelled()))


@pytest.mark.parametrize("name", ["deiqt", *(f"pyiqa_trained:{arch}" for arch in LIGHT)])
def test_it_trains_and_is_saved(name: str, tmp_path: Path) -> None:
    settings = DEIQT if name == "deiqt" else {**SMALL, "crop": 56}
    method, epochs = trained(name, **settings)
    assert [epoch.total for epoch in epochs] == [2, 2]
    notes = {
        "deiqt": ["§ from random weights; published: from ImageNet weights"],
        "pyiqa_trained:cnniqa": [],
        "pyiqa_trained:paq2piq": [
            "§ under a common recipe, not its published training",
            "§ from random weights; published: from ImageNet weights",
        ],
    }
    assert method.notes == notes[name]
    images = labelled().images
    scores = method.predict(images)
    assert scores.shape == (8,)
    assert scores == pytest.approx(trained(name, **settings)[0].predict(images))
    method.save(tmp_path / "network.safetensors")
    again = build(name, seed=6, **settings)
    again.load(tmp_path / "network.safetensors")
    assert again.predict(images) == pytest.approx(scores)
    warm = build(name, **settings, weights=tmp_path / "network.safetensors")
    assert warm.predict(images) == pytest.approx(scores)
    assert "started from" in warm.notes[-1]


@pytest.mark.parametrize("name", ["deiqt", "pyiqa_trained:cnniqa"])
def test_bf16_learns_nearly_the_same(name: str) -> None:
    settings = DEIQT if name == "deiqt" else {**SMALL, "crop": 56}
    full, half = (trained(name, **settings, precision=kind) for kind in ("fp32", "bf16"))
    losses = [[epoch.loss for epoch in epochs] for _, epochs in (full, half)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    images = labelled().images
    assert full[0].predict(images) == pytest.approx(half[0].predict(images), abs=0.05)
    assert {value.dtype for value in half[0].network.parameters()} == {torch.float32}


def test_deiqt_scores_finer_than_bf16() -> None:
    method, _ = trained("deiqt", **{**DEIQT, "epochs": 1, "test_crops": 1, "precision": "bf16"})
    scores = torch.from_numpy(method.predict(labelled().images))
    assert not torch.equal(scores, scores.bfloat16().double())


def test_cnniqa_learns_coarseness() -> None:
    """Noise in grains of 1 to 8 pixels; its strength is what local contrast takes away."""
    rng = np.random.default_rng(0)
    grains = [np.kron(rng.integers(0, 255, (64, 64, 1)), np.ones((g, g, 3))) for g in range(1, 9)]
    images = ArrayImages([grain[:64, :64].astype(np.uint8) for grain in grains])
    train = replace(labelled(), images=images)
    settings = {"epochs": 15, "crops": 8, "batch_size": 16, "test_crops": 4}
    method = build("pyiqa_trained:cnniqa", **settings)
    epochs = list(method.fit(train))
    assert epochs[-1].loss < epochs[0].loss / 2
    assert np.corrcoef(method.predict(images), train.scores)[0, 1] > 0.9


def test_local_contrast_is_the_papers() -> None:
    """Against Kang et al., Eq. 1-3, written out for single pixels on the scale 0-255."""
    image = labelled(1, 12).images[0]
    found = local_contrast(torch.from_numpy(image).permute(2, 0, 1)[None].double() / 255)
    assert found.shape == (1, 3, 6, 6)
    for row, column, channel in ((3, 3, 0), (5, 8, 1), (8, 4, 2)):
        window = image[row - 3 : row + 4, column - 3 : column + 4, channel].astype(float)
        expected = (image[row, column, channel] - window.mean()) / (window.std() + 1)
        assert found[0, channel, row - 3, column - 3] == pytest.approx(expected)
    flat = torch.full((1, 3, 9, 9), 0.7)
    assert local_contrast(flat).abs().max() < 1e-3


def test_local_contrast_sees_past_the_crop() -> None:
    """A patch is the patch of the normalised image, and light and contrast change nothing."""
    method = build("pyiqa_trained:cnniqa")
    assert (method.settings.local_contrast, method.margin) == (True, 3)
    image = labelled(1, 64).images[0] // 2
    whole = method.prepared(method._pixels([image]))
    view = method._view(method.context.rng("x"))._replace(flip=False)
    patch = method.prepared(method._pixels([method._crop(image, view)]))
    assert patch.shape == (1, 3, 32, 32)
    top, left = int(view.down * 27), int(view.across * 27)
    assert torch.equal(patch, whole[:, :, top : top + 32, left : left + 32])
    assert torch.allclose(whole, method.prepared(method._pixels([image + 60])), atol=1e-3)
    with pytest.raises(BenchError, match="has no crop of 38"):
        method.predict(labelled(1, 36).images)
    assert build("pyiqa_trained:dbcnn").margin == 0
    assert build("pyiqa_trained:dbcnn", local_contrast=True).margin == 3


def test_predicting_between_epochs_changes_nothing_and_draws_nothing() -> None:
    train = labelled()
    quiet, _ = trained("deiqt", **DEIQT)
    asked = build("deiqt", **DEIQT)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    for _ in asked.fit(train):
        asked.predict(train.images)
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(asked.predict(train.images), quiet.predict(train.images))


def test_a_step_on_one_crop_is_avoided() -> None:
    method = build("deiqt", **{**DEIQT, "crops": 1, "batch_size": 7})
    assert [len(batch) for batch in method._batches(8, 0)] == [8]
    assert [len(batch) for batch in method._batches(9, 0)] == [7, 2]


def test_the_panel_averages_its_judges() -> None:
    """Judges are a set: their order changes nothing, and equal ones judge as one."""
    network = build("deiqt", **{**DEIQT, "panel": 3}).network
    assert network.judges.shape == (1, 3, network.encoder.num_features)
    alone = build("deiqt", **{**DEIQT, "panel": 1}).network
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        network.judges.mul_(50)
        before = network(pixels)
        network.judges.copy_(network.judges.flip(1))
        assert torch.allclose(network(pixels), before, atol=1e-5)
        network.judges.copy_(network.judges[:, :1].expand(1, 3, -1))
        alone.load_state_dict({**network.state_dict(), "judges": network.judges[:, :1]})
        assert torch.allclose(network(pixels), alone(pixels), atol=1e-5)
        assert before.shape == (2,)
        assert not torch.allclose(network(pixels), before, atol=1e-4)
    with pytest.raises(BenchError, match="timm cannot make 'vit_of_nobody'"):
        build("deiqt", **{**DEIQT, "vit": "vit_of_nobody"}).predict(labelled().images)


def test_what_cannot_be_says_why() -> None:
    with pytest.raises(UsageError, match="'liqe' cannot be trained here: LIQE learns from scene"):
        build("pyiqa_trained:liqe")
    with pytest.raises(UsageError, match="did you mean 'hyperiqa'"):
        build("pyiqa_trained:hyperiq")
    with pytest.raises(UsageError, match="resize=100 is smaller than crop=224"):
        build("deiqt", resize_mode="squash", resize=100)
    with pytest.raises(BenchError, match="64 x 64 pixels has no crop of 224; set a smaller crop"):
        build("deiqt", **{**DEIQT, "crop": 224}).predict(labelled().images)
    with pytest.raises(UsageError, match=r"'musiq-spaq' cannot be trained here: .* train 'musiq'"):
        build("pyiqa_trained:musiq-spaq")
    assert not set(ARCHITECTURES) & set(NOT_TRAINED)


def test_every_metric_of_pyiqa_is_trained_or_says_why_not() -> None:
    for metric in pyiqa_library.metric_names():
        assert (metric in ARCHITECTURES) != bool(why_not(metric)), metric
    assert why_not("nima-spaq") == "it is pyiqa's nima with weights of its own; train 'nima'"
    assert why_not("arniqa-live") == NOT_TRAINED["arniqa"]
    assert why_not("hyperiqa") == why_not("hyperiq") == ""


def test_imagenet_weights_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.raises(BenchError) as caught:
        build("pyiqa_trained:tres", initial="imagenet").predict(labelled().images)
    assert "resnet50" in str(caught.value)
    assert f"looks for it at {tmp_path / 'checkpoints'}" in str(caught.value)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    torch.save({"params": {"module.nothing": torch.zeros(2)}}, tmp_path / "other.pth")
    with pytest.raises(BenchError, match="none of its 1 tensors fits"):
        build("deiqt", **DEIQT, weights=tmp_path / "other.pth").predict(labelled().images)
    (tmp_path / "text.pth").write_text("no tensors")
    with pytest.raises(BenchError, match="not a checkpoint that can be read"):
        build("deiqt", **DEIQT, weights=tmp_path / "text.pth").predict(labelled().images)


@pytest.mark.slow
@pytest.mark.parametrize("arch", sorted(set(ARCHITECTURES) - set(LIGHT)))
def test_every_architecture_takes_a_step(arch: str) -> None:
    quick = registry.load("pyiqa_trained").small(arch)
    settings = {**quick, "epochs": 1, "batch_size": 2}
    side = max(settings["crop"], 224)
    method = build(f"pyiqa_trained:{arch}", **settings)
    train = labelled(2, side)
    before = {name: value.clone() for name, value in method.network.state_dict().items()}
    assert np.isfinite(next(iter(method.fit(train))).loss)
    after = method.network.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert np.isfinite(method.predict(train.images)).all()


def test_deiqt_takes_the_image_tower_of_a_backbone(tmp_path: Path) -> None:
    quick = {"backbone": "tiny", "epochs": 1, "warmup_epochs": 0, "initial": "imagenet"}
    method = build("deiqt", **quick)
    assert method.settings.crop == 112
    train = labelled(side=120)
    (epoch,) = method.fit(train)
    assert np.isfinite(epoch.loss)
    assert method.notes == ["§ encoder: tiny, not DEIQT's own"]
    # The tower starts from its own weights, class token first, and the whole of it trains.
    loaded = backbones.load("tiny", "cpu").model.visual
    fresh = build("deiqt", **quick).network.encoder
    pixels = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        tokens = fresh.forward_features(pixels)
        assert tokens.shape == (2, 1 + 64, 128)
        assert torch.allclose(tokens[:, 0] @ loaded.proj, loaded(pixels), atol=1e-5)
    moved = [
        not torch.equal(here, there)
        for here, there in zip(method.network.encoder.parameters(), fresh.parameters(), strict=True)
    ]
    assert all(moved)
    method.save(tmp_path / "network.safetensors")
    again = build("deiqt", seed=6, **quick)
    again.load(tmp_path / "network.safetensors")
    assert again.predict(train.images) == pytest.approx(method.predict(train.images))
    with pytest.raises(UsageError, match="takes crops of 112 pixels"):
        build("deiqt", backbone="tiny", crop=64)
