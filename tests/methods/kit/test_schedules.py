"""Learning rates against torch's own schedulers, timm's, and hand calculation."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from bench.methods.kit.schedules import (
    Factor,
    Plateau,
    Schedule,
    constant,
    cosine,
    restarts,
    steps,
    warmed_up,
    waves,
)

EPOCHS = 24


def torchs(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]) -> list[float]:
    """The rates of a torch scheduler, epoch by epoch."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.5)
    scheduler, found = make(optimiser), []
    for _ in range(EPOCHS):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def ours(factor: Factor) -> list[float]:
    return [Schedule(0.5, EPOCHS, factor).rate(epoch) for epoch in range(EPOCHS)]


@pytest.mark.parametrize(
    ("factor", "make"),
    [
        (cosine(EPOCHS), lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS)),
        (cosine(EPOCHS, 0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS, 0.05)),
        (waves(5), lambda o: lr_scheduler.CosineAnnealingLR(o, 5)),
        (restarts(5), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5)),
        (steps(0.1, 3), lambda o: lr_scheduler.StepLR(o, 3, 0.1)),
        (constant, lambda o: lr_scheduler.ConstantLR(o, 1.0)),
        (
            warmed_up(steps(0.1, 3), 4, 0.25),
            lambda o: lr_scheduler.SequentialLR(
                o, [lr_scheduler.LinearLR(o, 0.25, 1.0, 4), lr_scheduler.StepLR(o, 3, 0.1)], [4]
            ),
        ),
    ],
)
def test_rates_are_torchs(
    factor: Factor, make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]
) -> None:
    assert ours(factor) == pytest.approx(torchs(make), abs=1e-12)


def test_a_step_schedule_by_the_step_is_timms() -> None:
    from timm.scheduler.step_lr import StepLRScheduler

    n = 7  # steps an epoch
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 2e-4)
    theirs = StepLRScheduler(
        optimiser, 3 * n, 0.1, warmup_t=3 * n, warmup_lr_init=5e-7, t_in_epochs=False
    )
    schedule = Schedule(2e-4, 9, warmed_up(steps(0.1, 3), 3, 5e-7 / 2e-4), per="step")
    for count in range(9 * n):
        assert schedule.rate(count / n) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        theirs.step_update(count + 1)


@given(
    st.sampled_from([constant, cosine(9), restarts(4), waves(3), steps(0.3, 2)]),
    st.floats(0.5, 20),
    st.floats(0, 1),
)
def test_a_warm_up_reaches_the_base_rate_and_the_decay_starts_there(
    then: Factor, length: float, start: float
) -> None:
    factor = warmed_up(then, length, start)
    assert factor(length) == 1
    assert factor(length + 2.5) == pytest.approx(then(2.5))
    assert factor(0) == pytest.approx(start)
    assert factor(length / 2) == pytest.approx((1 + start) / 2)
    assert max(factor(length * at / 50) for at in range(200)) <= 1


def test_a_rate_once_an_epoch_stays_within_it() -> None:
    schedule = Schedule(1.0, 4, cosine(4))
    assert schedule.rate(1.99) == schedule.rate(1)
    assert Schedule(1.0, 4, cosine(4), per="step").rate(1.99) != schedule.rate(1)


def plateau(free: int = 0) -> Plateau:
    return Plateau(1.0, 50, 0.5, 2, 0.2, Schedule(1.0, 8, cosine(8)), free)


def test_a_plateau_decays_after_scores_without_a_new_best_and_ends() -> None:
    schedule, rates = plateau(), []
    for epoch, score in enumerate([1, 2, 2, 1, 3, 2, 2, 1, 1, 9]):
        assert not schedule.over(epoch) or epoch == 9
        rates.append(schedule.rate(epoch))
        schedule.tell(epoch, score)
    # Epoch 0 has no score yet: the cosine's rate.
    assert rates == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert schedule.over(9)


def test_the_first_epochs_of_a_plateau_are_free() -> None:
    schedule = plateau(free=5)
    for epoch in range(5):
        schedule.tell(epoch, 1.0)
    assert schedule.rate(5) == 1
    schedule.tell(5, 1.0)
    assert schedule.rate(6) == 0.5


def test_a_plateau_without_scores_is_the_other_schedule() -> None:
    schedule = plateau()
    for epoch in range(8):
        assert not schedule.over(epoch)
        assert schedule.rate(epoch) == pytest.approx(0.5 * (1 + math.cos(math.pi * epoch / 8)))
        schedule.tell(epoch, None)
    assert schedule.over(8)


def test_a_plateau_goes_on_from_its_state() -> None:
    first, second = plateau(), plateau()
    for epoch, score in enumerate([3.0, 2.0, 2.0, 1.0]):
        first.tell(epoch, score)
    second.load_state_dict(first.state_dict())
    for schedule in (first, second):
        schedule.tell(4, 1.0)
    assert first.rate(5) == second.rate(5) == 0.25
