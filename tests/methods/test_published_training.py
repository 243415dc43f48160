"""Networks under their published training: each number against its source, each part by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench import registry
from bench.api import BenchError, Context, LabelledSet
from bench.methods.kit import losses
from bench.methods.kit.regression import Regression
from bench.methods.kit.training_settings import TrainingSettings
from bench.methods.pyiqa_trained.losses import ranking, tres
from bench.methods.pyiqa_trained.networks import ARCHITECTURES
from bench.model.images import ArrayImages

COUNT = 8


def settings(name: str, **given: Any) -> Any:
    return registry.settings_for(name, given)[1]


class Two(nn.Module):
    """A backbone and a head of one weight each, and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Parameter(torch.tensor([[1.0]]))
        self.head = nn.Parameter(torch.tensor([[0.5]]))
        self.bias = nn.Parameter(torch.tensor([0.1]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        level = pixels.mean(dim=(1, 2, 3), keepdim=True)[:, :, 0, 0]
        return (level @ self.body) @ self.head + self.bias


class Small(Regression):
    """Trains `Two`."""

    name = "two"

    def build(self) -> nn.Module:
        return Two()

    def in_backbone(self, parameter: str) -> bool:
        return parameter == "body"


def small(**given: Any) -> Small:
    values = {"initial": "scratch", "crop": 8, "batch_size": 4, "weight_decay": 0.0, **given}
    return Small(TrainingSettings(**values), Context(seed=1))


def train() -> LabelledSet:
    levels = np.linspace(20, 230, COUNT).astype(np.uint8)
    arrays = [np.full((8, 8, 3), level, np.uint8) for level in levels]
    none = (None,) * COUNT
    scores = np.linspace(0, 1, COUNT)
    return LabelledSet("s", ArrayImages(arrays), scores, none, none, none, none, ("s",) * COUNT)


def rates(method: Any, epochs: int, a_pass: int) -> list[float]:
    """Of every update, `a_pass` an epoch."""
    own = method.settings
    own.__dict__ |= {"epochs": epochs, "steps": None, "first_steps": 0, "batch_size": 2 * own.crops}
    schedule = method.schedules(2 * a_pass)["all"]
    return [schedule.rate(step / a_pass) for step in range(epochs * a_pass)]


# -- losses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"), [(losses.plcc, "PLCCLoss"), (losses.norm_in_norm, "NiNLoss")]
)
def test_batch_losses_are_pyiqas(ours: Any, theirs: str) -> None:
    from pyiqa.losses import iqa_losses

    generator = torch.Generator().manual_seed(0)
    for count in (1, 2, 9):
        scores, labels = (torch.randn(count, generator=generator) for _ in range(2))
        expected = getattr(iqa_losses, theirs)()(scores[:, None], labels[:, None])
        assert float(ours(scores, labels)) == pytest.approx(float(expected), abs=1e-6)
    assert float(ours(labels * 3 + 2, labels)) == pytest.approx(0, abs=1e-6)


def test_tres_ranks_the_ends_of_a_batch() -> None:
    """By hand: labels 0, 1, 2, 4 and scores 1, 0, 2, 3 in another order."""
    labels, scores = torch.tensor([2.0, 0.0, 4.0, 1.0]), torch.tensor([2.0, 1.0, 3.0, 0.0])
    low = max(abs(1 - 0) - abs(1 - 3) + (4 - 1), 0)
    high = max(abs(3 - 2) - abs(3 - 1) + (2 - 0), 0)
    assert float(ranking(scores, labels)) == low + high
    assert float(ranking(labels * 10, labels)) == 0

    class Network(nn.Module):
        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return pixels[:, :1, 0, 0], torch.tensor(0.25)

    pixels = scores[:, None, None, None].expand(-1, 3, 2, 2).clone()
    pixels[:, :, :, 1] += 1  # the mirror images score one more
    distance = nn.functional.l1_loss
    parts = distance(scores, labels) + distance(scores + 1, labels) + 2 * 0.25
    found = tres(Network(), pixels, labels, distance)
    assert float(found) == pytest.approx(float(parts + 0.05 * 2 * ranking(scores, labels)))


# -- the training loop -------------------------------------------------------------------------


def test_updates_are_counted_in_place_of_passes() -> None:
    assert len(list(small(steps=10).fit(train()))) == 5
    assert len(list(small(steps=1).fit(train()))) == 1
    assert len(list(small(epochs=3).fit(train()))) == 3


def test_the_head_learns_first_and_alone() -> None:
    method = small(first_steps=4, first_lr=0.1, epochs=2, lr=1e-2)
    seen = []
    for epoch in method.fit(train()):
        seen.append((method.network.body.item(), method.network.head.item()))
        assert epoch.total == 4
    assert [body for body, _ in seen[:2]] == [1.0, 1.0]
    assert seen[1][1] != seen[0][1] != 0.5
    assert seen[2][0] != 1.0
    assert all(parameter.requires_grad for parameter in method.network.parameters())


def test_the_head_learns_at_its_own_rate_on_one_schedule() -> None:
    method = small(optimiser="sgd", momentum=0.0, lr=1e-3, head_lr=1e-2, schedule="constant")
    network, set_ = method.network, train()
    first = [parameter.detach().clone() for parameter in (network.body, network.head)]
    method.settings.__dict__["epochs"] = 1
    method.settings.__dict__["batch_size"] = COUNT
    pixels = torch.tensor(np.stack(list(set_.images))).permute(0, 3, 1, 2).float() / 255
    copy = Two()
    loss = (copy(pixels)[:, 0] - torch.tensor(set_.scores).float()).abs().mean()
    loss.backward()
    list(method.fit(set_))
    assert torch.allclose(network.body, first[0] - 1e-3 * copy.body.grad, atol=1e-7)
    assert torch.allclose(network.head, first[1] - 1e-2 * copy.head.grad, atol=1e-7)


def test_labels_are_scaled_for_training_and_scores_back() -> None:
    raw, plain = (
        small(label_scale=scale, optimiser="sgd", momentum=0.0, lr=lr, loss="mse", epochs=2)
        for scale, lr in ((100.0, 1e-4), (1.0, 1e-4))
    )
    for method in (raw, plain):
        list(method.fit(train()))
    images = train().images
    with torch.no_grad():
        pixels = torch.tensor(np.stack(list(images))).permute(0, 3, 1, 2).float() / 255
        expected = raw.network(pixels).reshape(-1) / 100
    assert raw.predict(images) == pytest.approx(expected.numpy(), abs=1e-6)
    assert not np.allclose(raw.predict(images), plain.predict(images), atol=1e-3)


# -- DEIQT -------------------------------------------------------------------------------------


def deiqt(**given: Any) -> Any:
    cls, chosen = registry.settings_for("deiqt", {"initial": "scratch", "vit": "test_vit", **given})
    return cls(chosen, Context(seed=1))


def test_deiqts_defaults_are_the_released_ones() -> None:
    """narthchin/DEIQT: configs/vit/deiqt_livec.yaml over config.py."""
    released = {
        "epochs": 9,
        "crops": 10,
        "batch_size": 16,
        "crop": 224,
        "lr": 2e-4,
        "weight_decay": 0.05,
        "clip": 5.0,
        "optimiser": "adamw",
        "loss": "smooth_l1",
        "panel": 6,
        "decoder_layers": 1,
        "initial": "imagenet",
        "resize_mode": "none",
    }
    found = settings("deiqt")
    assert found.model_dump(include=set(released)) == released
    assert found.lr * found.warmup_share == pytest.approx(2e-7)
    assert found.label_scale == 100


def test_deiqts_rate_is_that_of_todays_timm() -> None:
    from timm.scheduler import StepLRScheduler

    a_pass = 5
    optimiser = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], 2e-4)
    theirs = StepLRScheduler(
        optimiser, 3 * a_pass, 0.1, warmup_t=3 * a_pass, warmup_lr_init=2e-7, t_in_epochs=False
    )
    expected = [theirs._get_lr(step)[0] for step in range(9 * a_pass)]
    found = rates(deiqt(), 9, a_pass)
    assert found == pytest.approx(expected)
    assert max(found) == 2e-4
    assert sum(found) / a_pass == pytest.approx(9.6e-4, rel=0.05)


def test_deiqt_spares_what_the_released_code_spares() -> None:
    method = deiqt(crop=32)
    groups = method._optimiser(method.network, "all").param_groups
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    names = {id(value): name for name, value in method.network.named_parameters()}
    spared = {names[id(value)] for value in groups[1]["params"]}
    decays = {names[id(value)] for value in groups[0]["params"]}
    assert {"encoder.pos_embed", "encoder.cls_token", "decoder.layers.0.norm1.weight"} <= spared
    assert {"judges", "score.weight", "decoder.layers.0.linear1.weight"} <= decays
    tokens = ("pos_embed", "cls_token", "positional_embedding")
    expected = {
        name
        for name, value in method.network.named_parameters()
        if value.ndim <= 1 or name.rpartition(".")[2] in tokens
    }
    assert spared == expected


def test_deiqts_decoder_starts_as_the_released_one() -> None:
    network = deiqt(crop=32).network
    layer = network.decoder.layers[0]
    for linear in (
        layer.linear1,
        layer.linear2,
        layer.self_attn.out_proj,
        layer.multihead_attn.out_proj,
    ):
        assert float(linear.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
        assert not linear.bias.detach().any()
    joint = layer.self_attn.in_proj_weight
    bound = math.sqrt(6 / sum(joint.shape))  # Xavier's, as torch leaves it
    assert float(joint.detach().abs().max()) == pytest.approx(bound, rel=0.01)


def test_deiqt_says_where_images_are_not_resized_as_its_authors_do() -> None:
    images = train()
    for source, given, expected in (
        ("koniq10k@100", {}, ["§ koniq10k not resized to 384 x 512 as in DEIQT"]),
        ("koniq10k", {"resize_mode": "squash", "resize": [384, 512]}, []),
        ("livec", {}, []),
    ):
        method = deiqt(crop=32, **given)
        begun = method.fit(replace(images, sources=(source,) * COUNT))
        with pytest.raises(BenchError, match="has no crop of 32"):  # of 8 pixels
            next(begun)
        assert [note for note in method.notes if "DEIQT" in note] == expected


# -- pyiqa's networks --------------------------------------------------------------------------


def test_networks_without_a_published_training_say_so_at_the_table() -> None:
    common = {name for name, known in ARCHITECTURES.items() if not known.source}
    assert common == {"musiq", "nima-vgg16", "paq2piq"}
    for name in ARCHITECTURES:
        cls, chosen = registry.settings_for(f"pyiqa_trained:{name}", {})
        notes = cls(chosen, Context()).notes
        assert any("common recipe" in note for note in notes) == (name in common)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        (
            "nima",  # train_NIMA_inception_koniq.yml
            {"crop": 299, "resize": 330, "lr": 5e-5, "head_lr": 5e-4, "batch_size": 64,
             "steps": 10_000, "loss": "l1", "optimiser": "adam"},
        ),
        (
            "dbcnn",  # train_DBCNN_koniq10k.yml
            {"crop": 384, "batch_size": 8, "first_lr": 1e-3, "momentum": 0.9, "lr": 1e-5,
             "weight_decay": 5e-4, "first_steps": 10_000, "steps": 10_000, "loss": "mse"},
        ),
        (
            "topiq_nr",  # train_TOPIQ_res50_koniq.yml
            {"crop": 384, "batch_size": 16, "optimiser": "adamw", "lr": 3e-5,
             "weight_decay": 1e-5, "epochs": 50, "loss": "mse", "batch_loss": "nin"},
        ),
        (
            "hyperiqa",  # SSL92/hyperIQA
            {"crop": 224, "crops": 25, "test_crops": 25, "batch_size": 96, "lr": 2e-5,
             "head_lr": 2e-4, "weight_decay": 5e-4, "epochs": 16, "loss": "l1"},
        ),
        (
            "wadiqam_nr",  # train_WaDIQaM_NR_koniq.yml
            {"batch_size": 64, "lr": 1e-4, "weight_decay": 0.0, "steps": 40_000, "loss": "plcc"},
        ),
        (
            "maniqa",  # IIGROUP/MANIQA
            {"crop": 224, "batch_size": 8, "lr": 1e-5, "weight_decay": 1e-5, "epochs": 300,
             "wave_steps": 50, "loss": "mse"},
        ),
        (
            "tres",  # isalirezag/TReS
            {"crop": 224, "crops": 50, "batch_size": 53, "lr": 2e-5, "epochs": 3, "loss": "l1"},
        ),
        (
            "metaiqa",  # train_MetaIQA_finetune.yml
            {"crop": 224, "batch_size": 50, "lr": 1e-4, "head_lr": 1e-2, "steps": 1_900,
             "decay": 0.8, "loss": "mse"},
        ),
    ],
)  # fmt: skip
def test_defaults_are_the_published_training(name: str, published: dict[str, Any]) -> None:
    found = settings(f"pyiqa_trained:{name}")
    assert found.model_dump(include=set(published)) == published
    assert settings(f"pyiqa_trained:{name}", lr=0.5).lr == 0.5


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_highest_rate_is_the_recipes(name: str) -> None:
    cls, chosen = registry.settings_for(f"pyiqa_trained:{name}", {})
    found = rates(cls(chosen, Context()), 20, 30)
    assert max(found) == chosen.lr
    assert min(found) >= 0


def test_maniqas_rate_goes_down_and_up_every_fifty_steps() -> None:
    cls, chosen = registry.settings_for("pyiqa_trained:maniqa", {})
    found = rates(cls(chosen, Context()), 4, 40)
    optimiser = torch.optim.Adam([nn.Parameter(torch.zeros(1))], 1e-5)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50)
    expected = []
    for _ in range(160):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    assert found == pytest.approx(expected, abs=1e-12)


def test_nima_is_tested_at_the_size_it_is_trained_at() -> None:
    """Crops of 299 in training; asked, pyiqa's network shrinks whole images to 299 by itself."""
    cls, chosen = registry.settings_for("pyiqa_trained:nima", {"initial": "scratch"})
    method = cls(chosen, Context())
    sizes = []
    network = method.network
    network.base_model.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-2:]))
    rng = np.random.default_rng(0)
    images = ArrayImages([rng.integers(0, 256, (330, 330, 3), dtype=np.uint8)] * 2)
    none = (None,) * 2
    pair = LabelledSet("s", images, np.array([0.2, 0.8]), none, none, none, none, ("s",) * 2)
    method.settings.__dict__["steps"] = 1
    next(method.fit(pair))
    method.predict(images)
    assert {tuple(size) for size in sizes} == {(299, 299)}
