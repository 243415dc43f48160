"""Learned contexts and CLIP-IQA on the tiny backbone; CoOp is GRMP-IQA's QGR without regulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import backbones, registry
from bench.api import Context, LabelledSet
from bench.model.images import ArrayImages
from bench.util.errors import BenchError, UsageError
from methods.clipiqa import ATTRIBUTES
from methods.coop import Coop
from methods.grmp.method import GRMP

SIDE = 122
SCHEDULE = {"lr": 0.02, "epochs": 4, "n_context": 4, "batch_size": 16, "momentum": 0.9}


def labelled(count: int = 8, side: int = SIDE) -> LabelledSet:
    rng = np.random.default_rng(0)
    ramp = np.linspace(40, 200, side)[None, :, None]
    scores = np.linspace(0.1, 0.9, count)
    arrays = [
        np.clip(ramp + rng.normal(0, 90 * (1 - y), (side, side, 3)), 0, 255).astype(np.uint8)
        for y in scores
    ]
    unknown = (None,) * count
    return LabelledSet(
        "noise", ArrayImages(arrays), scores, unknown, unknown, unknown, unknown, ("noise",) * count
    )


def build(name: str, at_once: int = 64, **settings: Any) -> Any:
    cls, validated = registry.settings_for(name, {"backbone": "tiny", **settings})
    return cls(validated, Context(seed=5, batch_size=at_once))


@pytest.mark.parametrize("scope", ["global", "per_tensor"])
def test_regulation_of_strength_zero_is_coop(scope: str) -> None:
    """GRMP-IQA with λ = 0 and nothing trained but the text context: losses and scores of CoOp."""
    grmp = build(
        "grmp",
        pretraining=False,
        visual_prompts=False,
        trained_blocks=0,
        qgr=True,
        scope=scope,
        normalisation="clip",
        augment="none",
        optimiser="sgd",
        schedule="cosine",
        warmup_epochs=1,
        weight_decay=5e-4,
        labels="as_given",
        **{**SCHEDULE, "lambda": 0.0},
    )
    coop = build("coop", augment=False, **SCHEDULE)
    assert isinstance(grmp, GRMP)
    train = labelled()
    start = coop.predict(train.images)
    assert grmp.predict(train.images) == pytest.approx(start, abs=1e-5)
    for theirs, ours in zip(grmp.fit(train), coop.fit(train), strict=True):
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
        assert coop.predict(train.images) == pytest.approx(grmp.predict(train.images), abs=1e-4)
    context = grmp.engine.model.prompt_learner2.ctx.detach()
    assert torch.allclose(coop.prompts.ctx, context, atol=1e-5)
    assert np.abs(coop.predict(train.images) - start).max() > 1e-3


@pytest.mark.parametrize("name", ["coop", "clipiqa_plus"])
def test_training_fits_the_labels_and_nothing_but_the_context(name: str, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in backbones.shared("tiny").model.state_dict().items()}
    method, train = build(name, n_context=4, epochs=6, lr=0.05), labelled()
    losses = [epoch.loss for epoch in method.fit(train)]
    assert losses[-1] < losses[0]
    after = backbones.shared("tiny").model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    method.save(tmp_path / "context.safetensors")
    again = build(name, n_context=4)
    again.load(tmp_path / "context.safetensors")
    assert np.array_equal(again.predict(train.images), method.predict(train.images))
    with pytest.raises(BenchError, match="1 mis-shaped"):
        build(name, n_context=5).load(tmp_path / "context.safetensors")


def test_contexts_of_their_own_are_drawn_apart() -> None:
    method = build("coop", class_specific=True, n_context=4)
    assert method.prompts.ctx.shape == (2, 4, 64)
    assert not torch.equal(method.prompts.ctx[0], method.prompts.ctx[1])
    assert list(Coop.fit(method, labelled()))[-1].total == 50


def test_labels_outside_probabilities_are_refused() -> None:
    train = labelled()
    far = LabelledSet(**{**train.__dict__, "scores": train.scores * 5})
    with pytest.raises(UsageError, match="need 0 to 1"):
        next(build("coop").fit(far))


def test_clipiqa_asks_attribute_by_attribute() -> None:
    images = labelled().images
    one = build("clipiqa").predict(images)
    both = build("clipiqa", attributes="quality,sharpness")
    found = both.per_image(images)
    assert list(found) == ["quality", "sharpness"]
    assert found["quality"] == pytest.approx(one)
    assert both.predict(images) == pytest.approx((found["quality"] + found["sharpness"]) / 2)
    with pytest.raises(UsageError, match="no attribute 'beauty'"):
        build("clipiqa", attributes=["beauty"])
    assert len(ATTRIBUTES) == 6


def test_positions_make_clipiqa_plain_clip() -> None:
    images = ArrayImages([image[:112, :112] for image in labelled().images])
    found = build("clipiqa", positions=True, resize_mode="squash", resize=112).predict(images)
    words = {"high": "Good photo.", "low": "Bad photo.", "templates": ("{}",)}
    assert found == pytest.approx(build("clip_zeroshot", **words).predict(images), abs=1e-5)
    with pytest.raises(UsageError, match="positions need resize_mode"):
        build("clipiqa", positions=True)


def test_images_of_any_size_go_in_without_positions() -> None:
    mixed = ArrayImages([*labelled(2, 140).images, *labelled(2, 80).images])
    scores = build("clipiqa", at_once=3).predict(mixed)
    alone = [build("clipiqa").predict(ArrayImages([image]))[0] for image in mixed]
    assert scores == pytest.approx(alone, abs=1e-5)
    with pytest.raises(BenchError, match="8 x 8 is smaller than a patch"):
        build("clipiqa").predict(labelled(2, 8).images)
