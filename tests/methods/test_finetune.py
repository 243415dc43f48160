"""Fine-tuning a backbone with a linear head on its levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench import registry
from bench.api import ArrayImages, Context, LabelledSet
from bench.methods.kit import losses
from bench.util.errors import UsageError

SMALL = {"backbone": "timm:test_efficientnet:random", "resize": 64, "crop": 64, "batch_size": 4}


def labelled(count: int = 12, seed: int = 0) -> LabelledSet:
    rng = np.random.default_rng(seed)
    scores = rng.permutation(np.linspace(0.1, 0.9, count))
    arrays = [
        np.clip(128 + rng.normal(0, 90 * (1 - y), (64, 64, 3)), 0, 255).astype(np.uint8)
        for y in scores
    ]
    none = (None,) * count
    return LabelledSet("n", ArrayImages(arrays), scores, none, none, none, none, ("n",) * count)


def build(name: str = "finetune", **settings: Any) -> Any:
    cls, validated = registry.settings_for(name, {**SMALL, **settings})
    return cls(validated, Context(seed=5))


def test_before_its_first_step_it_is_ridge_regression() -> None:
    train, test = labelled(), labelled(6, seed=1)
    cls, own = registry.settings_for("ridge", {"backbone": SMALL["backbone"], "resize": 64})
    ridge = cls(own, Context())
    list(ridge.fit(train))
    method = build()
    method._begin(train)
    assert method.predict(test.images) == pytest.approx(ridge.predict(test.images), abs=1e-4)
    method = build(start="zero")
    method._begin(train)
    assert method.predict(test.images) == pytest.approx([train.scores.mean()] * 6, abs=1e-6)


def test_every_stage_has_its_own_rate() -> None:
    method = build(lr=1e-3, head_lr=1e-2, layer_decay=0.5)
    network = method.network
    groups = method._optimiser(network, "all").param_groups
    rates = {id(value): group["lr"] for group in groups for value in group["params"]}
    named = dict(network.named_parameters())
    assert len(rates) == len(named)
    assert rates[id(named["head.weight"])] == 1e-2
    depths = network.depths()
    last = max(depths.values())
    assert last >= 4
    for name, depth in depths.items():
        expected = pytest.approx(1e-3 * 0.5 ** (last - depth))
        assert rates[id(named[f"backbone.{name}"])] == expected
    assert depths["conv_stem.weight"] == 0


@pytest.mark.parametrize("kind", ["frozen", "trained"])
def test_batch_norms_keep_their_statistics_where_so_set(kind: str) -> None:
    method = build(batch_norm=kind, epochs=1, warmup_epochs=0)
    before = {name: value.clone() for name, value in method.network.named_buffers()}
    list(method.fit(labelled()))
    after = dict(method.network.named_buffers())
    moved = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert any("running_mean" in name for name in moved) == (kind == "trained")
    assert {"mean_feature", "spread"} <= set(moved)


@pytest.mark.parametrize(
    "chosen",
    [
        {"loss": "l1", "batch_loss": "none"},
        {"loss": "mse", "batch_loss": "none"},
        {"loss": "plcc", "batch_loss": "none"},
        {"loss": "plcc", "batch_loss": "rank"},
    ],
)
def test_each_loss_trains_the_backbone(chosen: dict[str, str]) -> None:
    method = build(**chosen, start="zero", epochs=6, warmup_epochs=0, lr=1e-3)
    before = method.network.backbone.conv_stem.weight.clone()
    epochs = list(method.fit(labelled()))
    assert epochs[-1].loss < epochs[0].loss
    assert not torch.equal(before, method.network.backbone.conv_stem.weight)


def test_running_out_of_memory_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its own loss, which compares a batch's scores with each other."""
    train, predictions = labelled(8), []
    for most in (4, 2):
        method = build(epochs=2, warmup_epochs=0, lr=1e-3, optimiser="sgd", momentum=0.0)
        answers = type(method).answers

        def short(self: Any, network: Any, pixels: torch.Tensor, most: int = most) -> Any:
            if torch.is_grad_enabled() and len(pixels) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return answers(self, network, pixels)  # noqa: B023

        with monkeypatch.context() as patched:
            patched.setattr(type(method), "answers", short)
            list(method.fit(train))
        predictions.append(method.predict(train.images))
    assert predictions[0] == pytest.approx(predictions[1], abs=1e-4)


def test_rank_loss_by_hand() -> None:
    scores, labels = torch.tensor([0.0, 1.0, 5.0]), torch.tensor([0.0, 3.0, 4.0])
    # Pairs lack 2 of 3, nothing of 4, nothing of 1.
    assert float(losses.rank(scores, labels)) == pytest.approx(2 * 2 / 6)
    assert float(losses.rank(labels, labels)) == 0


@given(st.lists(st.floats(-3, 3, width=32), min_size=2, max_size=8), st.floats(-2, 2))
def test_rank_loss_knows_no_offset_and_only_rises(values: list[float], offset: float) -> None:
    labels = torch.arange(len(values)).double()
    scores = torch.tensor(values).double()
    found = losses.rank(scores, labels)
    assert float(losses.rank(scores + offset, labels)) == pytest.approx(float(found), abs=1e-9)
    turned = losses.rank(-labels, labels)
    assert float(turned) == pytest.approx(2 * float(losses.rank(0 * labels, labels)))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"backbone": "lite0"}, (384, 384)),
        ({"backbone": "lite0", "resize": 300}, (300, 300)),
        ({"backbone": "lite0", "resize": 300, "crop": 224}, (300, 224)),
        ({"backbone": "timm:vit_small_patch16_224"}, (249, 224)),
        ({"backbone": "tiny"}, (122, 112)),
        ({"backbone": "lite0", "resize_mode": "none"}, (None, 384)),
    ],
)
def test_sizes_follow_the_network(settings: dict[str, Any], expected: tuple[int, int]) -> None:
    own: Any = registry.settings_for("finetune", settings)[1]
    assert (own.resize, own.crop) == expected


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"backbone": "tiny", "crop": 64}, "tiny takes crops of 112"),
        ({"backbone": "tiny", "stages": [1]}, "tiny is a CLIP"),
        ({"backbone": "lite0", "resize": 100, "crop": 224}, "smaller than crop"),
    ],
)
def test_what_a_network_cannot_have_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        registry.settings_for("finetune", settings)


def test_deiqt_refuses_networks_without_patches() -> None:
    with pytest.raises(UsageError, match="lite0 is no ViT"):
        registry.settings_for("deiqt", {"backbone": "lite0"})
