"""The paper's equations by hand calculation, schedule, crops and settings."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bench.api import Context
from bench.methods.mpiqe import crops
from bench.methods.mpiqe.alignment import (
    Alignment,
    cross_entropy,
    spatially_weighted,
    window_features,
)
from bench.methods.mpiqe.decoder import MultiModalEncoder
from bench.methods.mpiqe.method import MPIQE
from bench.methods.mpiqe.model import CropOutput
from bench.methods.mpiqe.recipes import RECIPES, RecipeName
from bench.methods.mpiqe.settings import MPIQESettings
from bench.methods.mpiqe.training import BatchLabels, losses, schedule, total
from bench.model.images import ArrayImages

RNG = np.random.default_rng(0)
CLS = RNG.normal(size=(3, 6))
PATCHES = RNG.normal(size=(3, 16, 6))
TEXTS = RNG.normal(size=(4, 6))


def settings(**given: Any) -> MPIQESettings:
    return MPIQESettings(**{"backbone": "tiny", **given})


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def aligned(**given: Any) -> Alignment:
    return Alignment(settings(windows=2, **given), 0.07).double()


def test_eq_8_by_hand() -> None:
    wanted = softmax(unit(CLS) @ unit(TEXTS).T / 0.07, axis=1)
    found = aligned().scenes(tensor(CLS), tensor(TEXTS)).exp()
    assert np.allclose(found, wanted, atol=1e-6)
    assert np.allclose(found.sum(dim=1), 1)


def by_hand_eq_10(window_temperature: float, class_temperature: float) -> np.ndarray:
    """Eq. 10 and the softmax over classes, image by image, window by window."""
    rows = []
    for patches in PATCHES:
        grid = patches.reshape(4, 4, 6)
        windows = np.stack(
            [grid[y : y + 2, x : x + 2].max(axis=(0, 1)) for y in (0, 2) for x in (0, 2)]
        )
        row = []
        for text in TEXTS:
            similar = unit(windows) @ unit(text)
            weight = np.exp(similar / window_temperature)
            row.append((weight / weight.sum() * similar).sum())
        rows.append(row)
    return softmax(np.array(rows) / class_temperature, axis=1)


def test_eq_10_by_hand() -> None:
    found = aligned().distortions(tensor(PATCHES), tensor(TEXTS)).exp()
    assert np.allclose(found, by_hand_eq_10(0.07, 0.07), atol=1e-6)
    other = aligned(temperature=0.5, window_temperature=0.2)
    found = other.distortions(tensor(PATCHES), tensor(TEXTS)).exp()
    assert np.allclose(found, by_hand_eq_10(0.2, 0.5), atol=1e-6)
    assert np.allclose(found.sum(dim=1), 1)


def test_the_order_of_windows_does_not_matter() -> None:
    similarity = tensor(RNG.normal(size=(3, 9, 4)))
    shuffled = similarity[:, torch.as_tensor(RNG.permutation(9))]
    assert torch.allclose(spatially_weighted(similarity, 0.1), spatially_weighted(shuffled, 0.1))


def test_limits_of_the_window_temperature() -> None:
    similarity = tensor(RNG.normal(size=(3, 9, 4)))
    hot, cold = spatially_weighted(similarity, 1e6), spatially_weighted(similarity, 1e-3)
    assert torch.allclose(hot, similarity.mean(dim=1), atol=1e-5)
    assert torch.allclose(cold, similarity.amax(dim=1), atol=1e-5)


def test_windows_that_do_not_divide_the_grid() -> None:
    assert window_features(tensor(PATCHES), 3).shape == (3, 9, 6)
    assert torch.equal(window_features(tensor(PATCHES), 4), tensor(PATCHES))


def test_dot_products_where_the_setting_says_so() -> None:
    wanted = softmax(CLS @ TEXTS.T / 2, axis=1)
    found = aligned(similarity="dot", temperature=2.0).scenes(tensor(CLS), tensor(TEXTS)).exp()
    assert np.allclose(found, wanted, atol=1e-6)


def test_eq_9_by_hand() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    y = np.array([[1, 0, 0], [0, 0.5, 0.5], [0, 0, 0]])
    wanted = -(np.log(0.7) + np.log(0.25)) / 2
    found = cross_entropy(tensor(p).log(), tensor(y), mean_over_classes=False)
    assert found.item() == pytest.approx(wanted)
    found = cross_entropy(tensor(p).log(), tensor(y), mean_over_classes=True)
    assert found.item() == pytest.approx(wanted / 3)
    assert cross_entropy(tensor(p).log(), tensor(y * 0), True).item() == 0


def answer(scores: list[float]) -> CropOutput:
    logs = tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    return CropOutput(tensor(scores), torch.zeros(2, 1, 1), logs, None)


def test_eq_15_and_16_by_hand() -> None:
    known = BatchLabels(tensor([0.5, 1.0]), tensor([[1.0, 0.0], [0.0, 1.0]]), None)
    terms = losses(answer([0.7, -1.5]), known, settings())
    scene = -(np.log(0.5) + np.log(0.75)) / 2 / 2
    smooth = (0.5 * 0.2**2 + (2.5 - 0.5)) / 2
    assert terms["scene"].item() == pytest.approx(scene)
    assert terms["score"].item() == pytest.approx(smooth)
    assert total(terms, 3.0, 0.5).item() == pytest.approx(scene + 0.5 * smooth)
    plain = losses(answer([0.7, -1.5]), known, settings(score_loss="l1"))
    assert plain["score"].item() == pytest.approx((0.2 + 2.5) / 2)
    unlabelled = losses(answer([0.7, -1.5]), BatchLabels(known.scores, None, None), settings())
    assert list(unlabelled) == ["score"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"pooling": "mean"},
        {"pooling": "flatten", "mlp_width": 5},
        {"decoder_layers": 3, "feed_forward": 24, "memory": "normed"},
        {"memory": "unit", "sigmoid": True},
    ],
)
def test_shapes_of_the_multi_modal_encoder(given: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    encoder = MultiModalEncoder(16, 5, settings(heads=4, **given), generator)
    queries, image = torch.randn(5, 16), torch.randn(3, 7, 16)
    features = encoder.features(queries, image)
    assert features.shape == (3, 5, 16)
    assert encoder.score(features).shape == (3,)
    one_by_one = torch.cat([encoder.features(queries, one[None]) for one in image])
    assert torch.allclose(features, one_by_one, atol=1e-5)
    encoder.start_at(0.8)
    middle = encoder.score(torch.zeros_like(features))
    assert torch.allclose(middle, torch.full((3,), 0.8), atol=1e-5)


def test_eq_13_and_14_by_hand() -> None:
    """One head, one layer."""
    generator = torch.Generator().manual_seed(0)
    encoder = MultiModalEncoder(8, 3, settings(heads=1, memory="projected"), generator)
    layer: Any = encoder.layers[0]
    queries, image = torch.randn(3, 8), torch.randn(2, 5, 8)

    def attend(attention: Any, of: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
        weights = attention.query(of) @ attention.key(over).transpose(-2, -1) / 8**0.5
        return attention.out(weights.softmax(dim=-1) @ attention.value(over))

    normed = layer.self_norm(queries)
    mixed = attend(layer.self_attention, normed, normed) + queries
    wanted = attend(layer.cross_attention, layer.cross_norm(mixed), image) + mixed
    features = encoder.features(queries, image)
    assert torch.allclose(features, wanted, atol=1e-5)
    scores = encoder.mlp(wanted)[..., 0].mean(dim=1)
    assert torch.allclose(encoder.score(features), scores, atol=1e-5)


def test_warm_up_and_cosine() -> None:
    own = settings(recipe="paper", lr=1.0, final_lr=0.1)
    rates = [schedule(own).rate(step / 10) for step in range(300)]  # 10 steps an epoch
    assert rates[0] == 0
    assert max(rates) == rates[50] == 1
    assert rates[175] == pytest.approx(0.55)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert np.all(np.diff(rates[:50]) > 0)
    assert np.all(np.diff(rates[50:]) < 0)


@pytest.mark.parametrize(("batch_of", "steps"), [("crops", 6), ("images", 2)])
def test_an_epoch_shows_every_image_as_often_as_it_has_crops(batch_of: str, steps: int) -> None:
    images = ArrayImages([np.zeros((9, 9, 3), np.uint8)] * 7)
    own = settings(crops=3, batch_of=batch_of)
    sampler = crops.CropSampler(images, own, Context(seed=1), 4)
    batches = sampler.epoch(0)
    assert len(batches) == sampler.steps() == steps
    shown = [crop.index for batch in batches for crop in batch]
    assert np.bincount(shown).tolist() == [3] * 7
    if batch_of == "images":
        assert [len(batch) for batch in batches] == [12, 9]
    assert not any(crop.view.flip for batch in batches for crop in batch)
    views = {crop.view for epoch in range(9) for batch in sampler.epoch(epoch) for crop in batch}
    assert len(views) == 9 * 21
    limited = crops.CropSampler(images, settings(crops=3, views=2), Context(seed=1), 4)
    kept = {crop.key for epoch in range(9) for batch in limited.epoch(epoch) for crop in batch}
    assert len(kept) <= 14


def test_numbers_that_hang_on_the_database() -> None:
    own = MPIQESettings()
    assert [own.score_weight(name) for name in ("live@dmos", "csiq", "bid")] == [0.1, 0.1, 0.5]
    assert [own.batch_for(name) for name in ("live", "bid", "livec")] == [32, 32, 64]
    assert [own.score_weight(name) for name in ("live@dmos+csiq", "live@dmos+bid")] == [0.1, 0.5]
    assert [own.batch_for(name) for name in ("live+bid", "bid@1+livec")] == [32, 64]
    assert MPIQESettings(lambda_score=2).score_weight("live") == 2
    assert MPIQESettings(batch_size=7).batch_for("live") == 7


def test_recipes_and_wrong_settings() -> None:
    assert set(RECIPES) == set(get_args(RecipeName))
    assert MPIQESettings().recipe == "paper"
    assert settings().recipe == "tiny"
    assert settings(epochs=9).epochs == 9
    first = settings(visual_only=True, visual_length=2)
    assert first.decoder_layers == 1
    assert MPIQESettings(**first.model_dump(mode="json")) == first
    assert settings(distortion_words=",".join("abcdefghijk")).distortion_words == tuple(
        "abcdefghijk"
    )
    wrong: list[dict[str, Any]] = [
        {"recipe": "official"},
        {"scene_words": ("a", "b")},
        {"scene_prompts": False, "distortion_prompts": False},
        {"windows": 0},
    ]
    for given in wrong:
        with pytest.raises(ValidationError):
            MPIQESettings(**given)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in MPIQESettings.model_fields.values())


def test_policy() -> None:
    def size(**given: Any) -> tuple[str, int | None]:
        policy = MPIQE(MPIQESettings(**given), Context()).policy
        return policy.resize, policy.size

    assert size() == ("none", None)
    assert size(resize_mode="short_side") == ("short_side", 256)
    assert size(resize_mode="squash", backbone="tiny") == ("squash", 128)
    assert size(resize_mode="squash", resize=300) == ("squash", 300)
