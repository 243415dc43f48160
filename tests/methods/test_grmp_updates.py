"""The paper's update rules by hand calculation: Eq. 8 in its four cases, Eq. 4–6 on a quadratic."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.methods.grmp.meta import MetaLearner, Visit, inner_optimiser, moved
from bench.methods.grmp.qgr import Scope, quality_loss, regulate, semantic_loss
from bench.util.errors import BenchError

SCOPES: tuple[Scope, ...] = ("global", "per_tensor")


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("scope", SCOPES)
def test_obtuse_and_right_angles_leave_the_gradient_alone(scope: Scope) -> None:
    for semantic in (vector(-1.0, 0.0), vector(0.0, 2.0)):
        found = regulate([vector(3.0, 0.0)], [semantic], 5.0, scope)
        assert found.gradients[0].tolist() == [3.0, 0.0]
        assert found.clipped == 0


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    ("strength", "expected"),
    # G_qua = (3, 4), G_sem = (2, 0): product 6, ‖G_sem‖² = 4, part along G_sem (3, 0).
    [(0.0, [3.0, 4.0]), (1.0, [0.0, 4.0]), (5.0, [-12.0, 4.0])],
)
def test_acute_angle_takes_lambda_times_the_parallel_part_out(
    scope: Scope, strength: float, expected: list[float]
) -> None:
    found = regulate([vector(3.0, 4.0)], [vector(2.0, 0.0)], strength, scope)
    assert found.gradients[0].tolist() == pytest.approx(expected)
    assert found.angle_before == pytest.approx(math.degrees(math.acos(3 / 5)))
    if strength == 1:
        assert found.angle_after == pytest.approx(90)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_missing_or_zero_semantic_gradient_changes_nothing(scope: Scope) -> None:
    quality = [vector(1.0, 2.0), vector(3.0)]
    for semantic in ([None, None], [vector(0.0, 0.0), None]):
        found = regulate(quality, semantic, 5.0, scope)
        assert [g.tolist() for g in found.gradients] == [[1.0, 2.0], [3.0]]
        assert math.isnan(found.angle_before)


def test_global_scope_is_one_vector_and_per_tensor_many() -> None:
    quality = [vector(1.0, 0.0), vector(2.0), vector(7.0)]
    semantic = [vector(1.0, 1.0), vector(-0.25), None]
    # products 1 and -0.5: together 0.5, ‖G_sem‖² = 2.0625.
    together = regulate(quality, semantic, 2.0, "global")
    share = 2 * 0.5 / 2.0625
    assert together.gradients[0].tolist() == pytest.approx([1 - share, -share])
    assert together.gradients[1].tolist() == pytest.approx([2 + 0.25 * share])
    assert together.gradients[2].tolist() == [7.0]
    assert together.clipped == pytest.approx(2 / 3)
    apart = regulate(quality, semantic, 2.0, "per_tensor")
    assert apart.gradients[0].tolist() == pytest.approx([0.0, -1.0])
    assert apart.gradients[1].tolist() == [2.0]
    assert apart.clipped == pytest.approx(1 / 3)


@given(
    st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    st.floats(1, 9),
)
def test_what_is_left_never_agrees_with_the_semantic_direction(
    quality: list[float], semantic: list[float], strength: float
) -> None:
    direction = vector(*semantic)
    for scope in SCOPES:
        found = regulate([vector(*quality)], [direction], strength, scope).gradients[0]
        assert float(found @ direction) <= 1e-6 * (1 + float(direction @ direction))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("size", [1e-24, 1e-38])
def test_tiny_gradients_are_projected_like_any_other(scope: Scope, size: float) -> None:
    """Their squares vanish in float32."""
    semantic = torch.tensor([size, 0.0])
    found = regulate([torch.tensor([3.0, 4.0])], [semantic], 1.0, scope)
    assert found.gradients[0].tolist() == pytest.approx([0.0, 4.0])
    assert found.angle_before == pytest.approx(math.degrees(math.acos(3 / 5)))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["quality", "semantic", "quality alone"])
def test_a_gradient_that_is_not_finite_is_an_error(broken: float, where: str) -> None:
    good, bad = vector(1.0, 2.0), vector(1.0, broken)
    quality = [good if where == "semantic" else bad]
    semantic = [{"quality": good, "semantic": bad, "quality alone": None}[where]]
    with pytest.raises(BenchError, match="not finite"):
        regulate(quality, semantic, 5.0, "per_tensor")


def test_losses_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.8, 0.2], [0.5, 0.5]]))
    wanted = -(0.9 * math.log(0.8) + 0.1 * math.log(0.2) + math.log(0.5)) / 2
    assert float(quality_loss(logits, torch.tensor([0.9, 1.0]))) == pytest.approx(wanted)
    teacher = torch.tensor([[0.25, 0.75]])
    wanted = -(0.25 * math.log(0.8) + 0.75 * math.log(0.2))
    assert float(semantic_loss(logits[:1], teacher)) == pytest.approx(wanted)


def learner(parameter: nn.Parameter, inner: Any, rate: float, outer: float, **how: Any) -> Any:
    """On (θ − target)² / 2, whose gradient is θ − target; a batch is a target."""

    def new() -> torch.optim.Optimizer:
        return inner_optimiser([parameter], inner, rate)

    return MetaLearner(lambda *at: descend(parameter, *at), [parameter], new, outer, **how)


def descend(parameter: nn.Parameter, target: float, optimiser: torch.optim.Optimizer) -> float:
    loss = 0.5 * (parameter - target).square().sum()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


def visit(*pairs: tuple[float, float], corpus: str = "a") -> Visit[float]:
    return Visit(corpus, pairs)


def test_eq_4_to_6_on_a_quadratic() -> None:
    theta, alpha, beta = 1.0, 0.1, 0.5
    tasks = [(3.0, 5.0), (-2.0, 0.0)]
    meta = learner(nn.Parameter(vector(theta)), "sgd", alpha, beta)
    losses = meta.update([visit(pair) for pair in tasks])
    ends = []
    for support, query in tasks:
        inner = theta - alpha * (theta - support)  # Eq. 4
        ends.append(inner - alpha * (inner - query))  # Eq. 5
    wanted = theta - beta * sum(theta - value for value in ends) / 2  # Eq. 6
    assert meta.theta[0].item() == pytest.approx(wanted)
    assert losses[0][0] == pytest.approx((2.0, (1.2 - 5) ** 2 / 2))  # each before its step


def test_without_reset_the_inner_parameters_drift() -> None:
    theta, alpha, beta = 1.0, 0.1, 0.5
    parameter = nn.Parameter(vector(theta))
    meta = learner(parameter, "sgd", alpha, beta, reset=False)
    targets = [3.0, -2.0]
    for _ in range(2):
        meta.update([visit((target, target)) for target in targets])
    inner, outer = theta, theta
    for _ in range(2):
        ends = []
        for target in targets:
            for _ in range(2):
                inner -= alpha * (inner - target)
            ends.append(inner)
        outer -= beta * sum(outer - end for end in ends) / 2
    assert meta.theta[0].item() == pytest.approx(outer)
    assert parameter.item() == pytest.approx(inner)


def test_a_fresh_adam_starts_with_every_task_but_those_of_carried_corpora() -> None:
    steps = ((4.0, 4.0),)
    fresh = learner(nn.Parameter(vector(0.0)), "adam", 0.01, 1.0)
    fresh.update([visit(*steps), visit(*steps)])
    # A new Adam's steps are of the size of its rate, whatever the gradient.
    assert fresh.theta[0].item() == pytest.approx(0.02, rel=1e-3)
    assert fresh.optimiser.state_dict()["state"][0]["step"] == 2
    carried = learner(nn.Parameter(vector(0.0)), "adam", 0.01, 1.0, carried=frozenset("a"))
    carried.update([visit(*steps), visit(*steps)])
    assert carried.optimiser.state_dict()["state"][0]["step"] == 4
    carried.update([visit(*steps, corpus="b"), visit(*steps, corpus="b")])
    assert carried.optimiser.state_dict()["state"][0]["step"] == 2
    carried.update([visit(*steps)])  # with what the last task of 'b' has left
    assert carried.optimiser.state_dict()["state"][0]["step"] == 4


def test_how_far_parameters_have_moved() -> None:
    start = [vector(3.0, 0.0), vector(4.0)]
    assert moved([vector(3.0, 0.5), vector(4.0)], start) == pytest.approx(0.1)
    assert moved(start, start) == 0
    assert moved([vector(1.0)], [vector(0.0)]) == 0
