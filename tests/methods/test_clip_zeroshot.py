"""The zero-shot baseline on the tiny backbone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import backbones
from bench.api import Context
from bench.methods.clip_zeroshot import ClipZeroShot, ZeroShotSettings
from bench.model.images import ArrayImages


def images(count: int = 7) -> ArrayImages:
    rng = np.random.default_rng(0)
    return ArrayImages([rng.integers(0, 256, (112, 112, 3), dtype=np.uint8) for _ in range(count)])


def zero_shot(batch_size: int = 64, **settings: Any) -> ClipZeroShot:
    return ClipZeroShot(
        ZeroShotSettings(backbone="tiny", **settings), Context(batch_size=batch_size)
    )


def test_scores_are_clips_own_logits() -> None:
    backbone = backbones.load("tiny", "cpu")
    method = zero_shot(templates=("a {} photo",))
    tokens = backbone.tokenizer(["a high quality photo", "a low quality photo"])
    mean, std = (np.array(v, np.float32) for v in (backbone.info.mean, backbone.info.std))
    stacked = (np.stack(list(images())).astype(np.float32) / 255 - mean) / std
    with torch.no_grad():
        logits, _ = backbone.model.get_logits(torch.from_numpy(stacked).permute(0, 3, 1, 2), tokens)
    assert np.allclose(method.predict(images()), logits.softmax(-1)[:, 0], atol=1e-5)


def test_swapped_words_turn_the_scores_round() -> None:
    forwards = zero_shot().predict(images())
    backwards = zero_shot(high="low quality", low="high quality").predict(images())
    assert np.allclose(forwards, 1 - backwards, atol=1e-6)
    assert forwards.std() > 0


def test_clip_is_loaded_once_for_all_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    zero_shot().predict(images())
    monkeypatch.setattr(backbones, "load", None)
    method = zero_shot()
    assert np.array_equal(method.predict(images()), method.predict(images()))
    assert method.embed(images()).shape == (7, 96)


def test_batches_do_not_matter_and_it_does_not_learn() -> None:
    whole = zero_shot()
    assert np.allclose(whole.predict(images()), zero_shot(3).predict(images()), atol=1e-6)
    assert not whole.learns()
    assert whole.policy.size == 112
    assert whole.embed(images()).shape == (7, 96)
