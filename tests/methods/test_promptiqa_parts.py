"""PromptIQA's parts: prompts, labels, groups, attention, the graph; all without a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.models.vision_transformer import Block
from torch import nn

from bench.methods.kit.trainer import At
from bench.methods.promptiqa.groups import PromptGroup, augmented, plan_epoch, prompted
from bench.methods.promptiqa.labels import model_labels, random_flipping, random_scaling
from bench.methods.promptiqa.layers import AttentionBlock, first_token
from bench.methods.promptiqa.model import ModelSize, PromptIQANet
from bench.methods.promptiqa.prompts import even_positions, interval_positions, perturb, select
from bench.methods.promptiqa.settings import PromptIQASettings
from bench.methods.promptiqa.steps import GroupLoss, GroupMember
from tools.promptiqa_cost import plain_attention_block, plain_forward

SMALL = ModelSize(
    tap_width=16,
    width=8,
    grid=4,
    visual_heads=2,
    channels=(8, 8, 16),
    kernels=(3, 1, 1),
    pools=(2, 1, 1),
    heads=2,
    prompt_depth=1,
    ispp_depth=1,
    fusion_depth=2,
)


class PatchMeans(nn.Module):
    """An encoder for tests: four fixed linear views of 4 x 4 pixel patches of 16 x 16 images."""

    def __init__(self) -> None:
        super().__init__()
        self.views = nn.ModuleList(nn.Linear(48, 16) for _ in range(4))

    def taps(self, x: torch.Tensor) -> list[torch.Tensor]:
        patches = nn.functional.unfold(x, 4, stride=4).transpose(1, 2)
        return [view(patches) for view in self.views]


def small_net(size: ModelSize = SMALL) -> PromptIQANet:
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        net = PromptIQANet(PatchMeans(), size)
    for name, value in net.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(value, 0.5)
    return net.eval().requires_grad_(False)


def settings(**values: object) -> PromptIQASettings:
    return PromptIQASettings.model_validate(values)


def random_images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


# -- which images ----------------------------------------------------------------------------------


def test_interval_rule_of_the_released_code() -> None:
    expected = [0, 1007, 2014, 3021, 4028, 5035, 6042, 7049, 8056, 8057]
    assert interval_positions(8058, 10) == expected
    assert interval_positions(100, 10) == [0, 12, 24, 36, 48, 60, 72, 84, 96, 99]
    assert interval_positions(5, 2) == [0, 4]
    assert interval_positions(5, 1) == [4]
    assert interval_positions(3, 10) == [0, 1, 2]


def test_even_rule() -> None:
    assert even_positions(10, 4) == [0, 3, 6, 9]
    assert even_positions(9, 1) == [4]
    assert even_positions(3, 7) == [0, 1, 2]


@given(total=st.integers(1, 400), size=st.integers(1, 40), even=st.booleans())
def test_positions_are_distinct_and_in_order(total: int, size: int, even: bool) -> None:
    positions = (even_positions if even else interval_positions)(total, size)
    assert len(positions) == min(total, size)
    assert positions == sorted(set(positions))
    assert positions[0] >= 0
    assert positions[-1] < total


def test_selection_does_not_depend_on_the_order_of_images() -> None:
    scores = np.array([0.5, 0.1, 0.9, 0.5, 0.3, 0.7])
    names = ["e", "a", "f", "c", "b", "d"]
    rng = np.random.default_rng(0)
    first = {names[row] for row in select(scores, names, 4, "interval", rng)}
    order = [5, 3, 1, 0, 2, 4]
    shuffled = [names[row] for row in order]
    second = {shuffled[row] for row in select(scores[order], shuffled, 4, "interval", rng)}
    assert first == second


def test_random_selection_follows_its_generator() -> None:
    scores, names = np.arange(50) / 50, [f"{i:02d}" for i in range(50)]
    picks = [select(scores, names, 10, "random", np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (picks[0] == picks[1]).all()
    assert set(picks[0]) != set(picks[2])
    assert len(set(picks[0])) == 10


def test_perturbations() -> None:
    images = [np.full((4, 4, 3), value, np.uint8) for value in (10, 20)]
    scores = np.array([0.2, 0.9])

    def rng() -> np.random.Generator:
        return np.random.default_rng(1)

    same, kept = perturb(images, scores, "none", rng())
    assert same[0] is images[0]
    assert (kept == scores).all()
    assert np.allclose(perturb(images, scores, "inverted", rng())[1], [0.8, 0.1])
    noise, kept = perturb(images, scores, "images", rng())
    assert noise[0].std() > 0
    assert noise[0].shape == (4, 4, 3)
    assert (kept == scores).all()
    same, drawn = perturb(images, scores, "scores", rng())
    assert (same[1] == images[1]).all()
    assert (drawn != scores).all()
    noise, drawn = perturb(images, scores, "both", rng())
    assert noise[1].std() > 0
    assert (drawn != scores).all()


# -- labels ----------------------------------------------------------------------------------------


def test_scaling_formulas() -> None:
    scores = np.array([0.1, 0.4, 0.5])
    assert np.allclose(random_scaling(scores, "max", 1, Random(0)), [0.2, 0.8, 1.0])
    factors = [scores / random_scaling(scores, "uniform", 1, rng) for rng in map(Random, range(50))]
    assert all(np.ptp(factor) < 1e-12 and 0.5 <= factor[0] <= 1 for factor in factors)
    assert np.ptp([factor[0] for factor in factors]) > 0.4
    assert (random_scaling(scores, "none", 1, Random(0)) == scores).all()
    assert (random_scaling(scores, "max", 0, Random(0)) == scores).all()
    assert (random_scaling(np.zeros(3), "max", 1, Random(0)) == 0).all()


def test_scaling_and_flipping_are_drawn_prompt_by_prompt() -> None:
    options = settings(recipe="paper", scaling_probability=0.5, flipping_probability=0.1)
    scores = np.array([0.25, 0.2])
    rng = np.random.default_rng(0)
    drawn = np.stack([augmented(scores, options, rng) for _ in range(4000)])
    scaled = np.isclose(drawn, [1, 0.8]).all(axis=1) | np.isclose(drawn, [0, 0.2]).all(axis=1)
    flipped = drawn[:, 1] > drawn[:, 0]
    assert scaled.mean() == pytest.approx(0.5, abs=0.02)
    assert flipped.mean() == pytest.approx(0.1, abs=0.02)
    assert scaled[flipped].mean() == pytest.approx(0.5, abs=0.08)


def test_flipping_formula() -> None:
    assert np.allclose(random_flipping(np.array([0.1, 0.4]), 1, Random(0)), [0.9, 0.6])


def test_labels_of_paper_and_code() -> None:
    scores = np.array([0.2, 0.4, 0.6])
    assert np.allclose(model_labels(scores, "koniq10k", "minmax", True), [0, 0.5, 1])
    assert np.allclose(model_labels(scores, "csiq", "minmax", True), [1, 0.5, 0])
    assert np.allclose(model_labels(scores, "csiq", "minmax", False), [0, 0.5, 1])
    assert np.allclose(model_labels(scores, "csiq", "given", True), 1 - scores)
    assert np.allclose(model_labels(np.ones(3), "koniq10k", "minmax", True), 0.5)


def test_constants_are_of_the_scores_as_shipped() -> None:
    dmos = np.array([21.0, 61.0])
    assert np.allclose(model_labels(-dmos, "live", "constants", True), [0.2, 0.6])
    assert np.allclose(model_labels(-dmos, "live", "constants", False), [0.8, 0.4])
    mos = np.array([1.0, 4.5])
    assert np.allclose(model_labels(mos, "bid", "constants", True), mos / 9)
    # Without constants: a scale of their own, and the labels of a metric.
    for source in ("koniq10k", "tid2013@ssim"):
        assert np.allclose(model_labels(mos, source, "constants", True), [0, 1])
    assert np.allclose(model_labels(-mos, "tid2013@lpips", "constants", True), [0, 1])


# -- groups ----------------------------------------------------------------------------------------


def test_an_epoch_asks_for_every_image_and_groups_have_one_source() -> None:
    options = settings(recipe="official", group_size=5, groups=2)
    steps = plan_epoch([12, 7, 1], options, np.random.default_rng(0))
    groups = [group for step in steps for group in step]
    assert all(len(step) <= 2 for step in steps)
    for source, size in ((0, 12), (1, 7)):
        queries = np.concatenate([group.queries for group in groups if group.source == source])
        assert set(queries) == set(range(size))
        assert all(len(set(group.queries)) == 5 for group in groups)
    assert not any(group.source == 2 for group in groups)  # one image has no prompt


def test_separate_prompts_hold_none_of_the_queries() -> None:
    options = settings(recipe="paper", group_size=4, train_isps=3)
    groups = [g for step in plan_epoch([13], options, np.random.default_rng(0)) for g in step]
    assert all(len(group.isps) == 3 for group in groups)
    assert not any(set(group.queries) & set(group.isps) for group in groups)
    whole = plan_epoch([4], options, np.random.default_rng(0))[0][0]
    assert len(whole.queries) == 2
    assert len(whole.isps) == 2


def test_leave_one_out_prompts() -> None:
    options = settings(recipe="official", scaling="none", flipping_probability=0)
    labels = np.array([0.0, 0.1, 0.2, 0.3])
    group = PromptGroup(0, np.array([3, 1, 0]), np.array([], dtype=np.intp))
    found = prompted(group, labels, options, np.random.default_rng(0))
    assert found.gather.tolist() == [[1, 2], [0, 2], [0, 1]]
    assert found.target.tolist() == [0.3, 0.1, 0.0]
    assert found.score[found.gather].tolist() == [[0.1, 0.0], [0.3, 0.0], [0.3, 0.1]]


def test_separate_prompts_are_scaled_with_their_query() -> None:
    options = settings(recipe="paper", scaling_probability=1, flipping_probability=0)
    labels = np.array([0.1, 0.4, 0.8])
    group = PromptGroup(0, np.array([2, 0]), np.array([1]))
    found = prompted(group, labels, options, np.random.default_rng(0))
    assert found.image.tolist() == [2, 2]
    assert np.allclose(found.score, [0.5, 1.0])
    assert np.allclose(found.target, [1.0, 0.25])


def test_without_a_prompt_no_pairs_are_drawn() -> None:
    options = settings(recipe="paper", group_size=4, use_prompt=False)
    groups = [g for step in plan_epoch([13], options, np.random.default_rng(0)) for g in step]
    assert all(len(group.rows) == 4 for group in groups)


# -- a step ----------------------------------------------------------------------------------------


def gradients(groups: Sequence[int]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Gradients of a step over groups of five images, and the first running mean."""
    net = small_net(replace(SMALL, dropout=0)).requires_grad_(True).train()
    options = settings(recipe="official", scaling="none", flipping_probability=0)
    rows = np.arange(5)
    prompt = prompted(PromptGroup(0, rows, rows[:0]), rows / 5, options, Random(0))
    members = [
        GroupMember(partial(net.features, random_images(5, seed)), prompt) for seed in groups
    ]
    GroupLoss(net)(members, At(0, 0)).backward()
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in net.parameters()]
    return found, net.cnn[1].running_mean  # type: ignore[return-value]


def test_each_groups_batch_norm_sees_that_group_alone() -> None:
    (first, mean), (second, _), (both, left) = gradients([1]), gradients([2]), gradients([1, 2])
    for alone, other, together in zip(first, second, both, strict=True):
        assert torch.allclose((alone + other) / 2, together, atol=1e-7)
    assert torch.equal(left, mean)


# -- the graph -------------------------------------------------------------------------------------


def test_attention_is_transposed_and_reshaped() -> None:
    block = AttentionBlock(3, dropout=0).eval()
    for layer in (block.c_q, block.c_k):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    nn.init.eye_(block.c_v.weight)
    nn.init.zeros_(block.c_v.bias)
    x = torch.tensor([[[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]])
    # Uniform attention gives the mean (2, 3, 4) at both tokens: columns 2,2 3,3 4,4 in a row.
    quirk = torch.tensor([[[2.0, 2.0, 3.0], [3.0, 4.0, 4.0]]])
    with torch.no_grad():
        assert torch.allclose(block(x), x + quirk, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_the_first_token_of_a_block(bias: bool) -> None:
    torch.manual_seed(1)
    block = Block(24, 3, qkv_bias=bias).eval()
    x = torch.randn(5, 7, 24)
    with torch.no_grad():
        assert torch.allclose(first_token(block, x), block(x)[:, 0], atol=1e-6)


def test_one_product_for_queries_and_keys_follows_the_weights() -> None:
    torch.manual_seed(0)
    block = AttentionBlock(12).eval()
    x = torch.rand(2, 5, 12)
    with torch.no_grad():
        for _ in range(2):
            assert torch.allclose(block(x), plain_attention_block(block, x), atol=1e-6)
            block.c_q.weight.add_(0.3)
            block.c_q.bias.add_(0.3)


def test_the_forward_pass_is_the_graph_of_the_text() -> None:
    net = small_net(replace(SMALL, width=16))
    images, pairs, scores = random_images(3), random_images(4, 1), torch.rand(4)
    with torch.no_grad():
        ours = net(images, pairs, scores)
        plain = plain_forward(net, images, pairs, scores)
    assert torch.allclose(ours, plain, atol=1e-6)


def test_the_order_of_pairs_does_not_matter() -> None:
    net = small_net()
    images, pairs, scores = random_images(3), random_images(5, 1), torch.rand(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        assert torch.allclose(
            net(images, pairs, scores), net(images, pairs[order], scores[order]), atol=1e-6
        )


def test_half_precision_stays_near() -> None:
    net = small_net()
    images, pairs, scores = random_images(3), random_images(5, 1), torch.rand(5)
    with torch.no_grad():
        exact = net(images, pairs, scores)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            near = net(images, pairs, scores)
    assert torch.allclose(exact, near.float(), atol=5e-3)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="too big for 4"):
        small_net(ModelSize(width=8, tap_width=16, grid=4, visual_heads=2))


# -- settings --------------------------------------------------------------------------------------


def test_recipes_fill_what_is_not_given() -> None:
    paper, official = settings(), settings(recipe="official", epochs=3)
    assert (paper.recipe, paper.batches, paper.scaling) == ("paper", "separate", "max")
    assert (official.batches, official.scaling, official.epochs) == ("leave_one_out", "uniform", 3)
    tiny = settings(backbone="tiny")
    assert tiny.recipe == "tiny"
    assert tiny.corpora == ("demo_authentic", "demo_synthetic", "demo_pretrain")
    assert (paper.groups, official.groups, tiny.groups) == (6, 4, 2)
    assert (paper.resize_kernel, official.resize_kernel) == ("pillow", "cv2")
    theirs = settings(checkpoint="best_model.pth.tar")
    assert (theirs.recipe, theirs.corpora, theirs.label_scale) == ("official", (), "constants")
    assert len(paper.corpora) == 12


@pytest.mark.parametrize("values", [{}, {"backbone": "tiny"}, {"recipe": "official", "lr": 0.1}])
def test_settings_survive_being_written_down(values: dict[str, object]) -> None:
    once = settings(**values)
    assert settings(**once.model_dump(mode="json")) == once
