"""The training loop against the same loop written out, and what it does in trouble."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.api import BenchError, Context
from bench.methods.kit import optimisers
from bench.methods.kit.schedules import Plateau, Schedule, cosine, warmed_up
from bench.methods.kit.trainer import At, Loss, Trainer

COUNT, SIZE, EPOCHS, LR = 26, 8, 4, 0.05
GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(COUNT, 6, generator=GENERATOR), torch.randn(COUNT, generator=GENERATOR)


class Net(nn.Module):
    """Two layers; with `norm` a batch norm between them."""

    def __init__(self, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.first, self.last = nn.Linear(6, 5), nn.Linear(5, 1)
        self.norm: nn.Module = nn.BatchNorm1d(5) if norm else nn.Identity()
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.drop(torch.tanh(self.norm(self.first(x)))))[:, 0]
        return found


def batches(epoch: int) -> list[list[int]]:
    """Batches of 8, 8, 8 and 2."""
    order = np.random.default_rng(epoch).permutation(COUNT).tolist()
    return [order[at : at + SIZE] for at in range(0, COUNT, SIZE)]


def schedule() -> Schedule:
    return Schedule(LR, EPOCHS, warmed_up(cosine(3), 1, 0.1), per="step")


def trainer(net: Net, most: int = COUNT, **options: Any) -> Trainer[int]:
    """A trainer on squared errors, for which memory holds `most` samples."""

    def loss(batch: Sequence[int], at: At) -> Loss:
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        errors = (net(X[batch]) - Y[batch]).square()
        return Loss(errors.mean(), diagnostics={"largest": float(errors.detach().mean())})

    rates = options.pop("schedule", None) or schedule()
    optimiser = optimisers.build("adamw", net.named_parameters(), LR, 0.1)
    context = options.pop("context", Context())
    return Trainer(net, optimiser, rates, batches, loss, context, **options)


def weights(net: Net) -> Tensor:
    return torch.cat([value.detach().flatten() for value in net.state_dict().values()])


def written_out(net: Net, clip: float | None = None) -> list[float]:
    """The same training, step by step."""
    optimiser, found = torch.optim.AdamW(net.parameters(), LR, weight_decay=0.1), []
    for epoch in range(EPOCHS):
        net.train()
        losses = []
        for number, batch in enumerate(batches(epoch)):
            optimiser.param_groups[0]["lr"] = schedule().rate(epoch + number / 4)
            loss = F.mse_loss(net(X[batch]), Y[batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if clip is not None:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimiser.step()
            losses.append(loss.item())
        found.append(float(np.average(losses, weights=[8, 8, 8, 2])))
    return found


@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("norm", [False, True])
def test_it_is_the_loop_written_out(clip: float | None, norm: bool) -> None:
    ours, theirs = Net(norm), Net(norm)
    epochs = list(trainer(ours, clip=clip).run())
    assert [epoch.loss for epoch in epochs] == pytest.approx(written_out(theirs, clip), rel=1e-5)
    assert torch.allclose(weights(ours), weights(theirs), atol=1e-6)
    assert [epoch.diagnostics["lr"] for epoch in epochs] == pytest.approx(
        [schedule().rate(epoch) for epoch in range(EPOCHS)]
    )
    assert all(epoch.diagnostics["largest"] == pytest.approx(epoch.loss) for epoch in epochs)
    assert not ours.training


@pytest.mark.parametrize("most", [7, 3, 1])
def test_running_out_of_memory_goes_on_with_the_same_numbers(most: int) -> None:
    plain, short, said = Net(), Net(), list[str]()
    expected = [epoch.loss for epoch in trainer(plain).run()]
    halved = trainer(short, most, context=Context(say=said.append))
    assert [epoch.loss for epoch in halved.run()] == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(weights(short), weights(plain), atol=1e-6)
    assert halved.micro == {7: 4, 3: 2, 1: 1}[most]
    assert len(said) == {7: 1, 3: 2, 1: 3}[most]


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_comparison_of_answers_goes_on_with_the_same_numbers(dropout: float) -> None:
    """A correlation is no mean over samples, and its parts still add up to it."""

    def compared(net: Net, most: int) -> list[float]:
        def answers(batch: Sequence[int], at: At) -> Tensor:
            if torch.is_grad_enabled() and len(batch) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            seen.append((torch.is_grad_enabled(), len(batch)))
            found: Tensor = net(X[batch])
            return found

        def correlation(found: Tensor, batch: Sequence[int]) -> Tensor:
            pairs = torch.stack([found, Y[batch]])
            return 1 - torch.corrcoef(pairs)[0, 1]

        # No step of Adam's: it would make one of the rounding in the last bias's zero gradient.
        optimiser = optimisers.build("sgd", net.named_parameters(), LR, 0.1)
        one = Trainer(net, optimiser, schedule(), batches, answers, Context(), compare=correlation)
        return [epoch.loss for epoch in one.run()]

    seen: list[tuple[bool, int]] = []
    plain, short = Net(dropout=dropout), Net(dropout=dropout)
    expected = compared(plain, COUNT)
    assert set(seen) == {(True, 8), (True, 2)}
    seen.clear()
    found = compared(short, 3)
    assert max(size for learns, size in seen if learns) == 2
    if dropout:  # drawn part by part, but both times alike: it learns
        assert found[-1] < found[0]
        return
    assert found == pytest.approx(expected, rel=1e-4)
    assert torch.allclose(weights(short), weights(plain), atol=1e-5)


def test_a_retried_step_updates_a_batch_norm_once() -> None:
    net = Net(norm=True)
    one = trainer(net, 4)
    one.step(batches(0)[0], At(0, 0))
    assert int(net.norm.num_batches_tracked) == 2  # type: ignore[arg-type]


def test_what_no_split_can_help_is_passed_on() -> None:
    for options in ({"most": 0}, {"most": 4, "splits": False}):
        with pytest.raises(torch.OutOfMemoryError):
            list(trainer(Net(), **options).run())  # type: ignore[arg-type]


def test_other_errors_are_not_retried() -> None:
    one, calls = trainer(Net()), list[int]()

    def broken(batch: Sequence[int], at: At) -> Loss:
        calls.append(len(batch))
        raise RuntimeError("shapes differ")

    one.loss = broken
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(one.run())
    assert calls == [8]


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    context, said = Context(scratch=tmp_path, seed=3), list[str]()
    whole, first, second = (Net(norm=True, dropout=0.3) for _ in range(3))
    expected = [epoch.loss for epoch in trainer(whole, context=Context(seed=3)).run()]
    killed = trainer(first, context=context, identity={"lr": LR}).run()
    losses = [next(killed).loss, next(killed).loss]
    del killed
    context.say = said.append
    rest = list(trainer(second, context=context, identity={"lr": LR}).run())
    assert said == ["training goes on after epoch 2"]
    assert losses + [epoch.loss for epoch in rest] == expected
    assert torch.equal(weights(second), weights(whole))
    assert [path.name for path in tmp_path.iterdir()] == ["training-fit.pt"]


@pytest.mark.parametrize("change", ["identity", "seed", "name"])
def test_a_checkpoint_of_another_training_is_not_taken(tmp_path: Path, change: str) -> None:
    def run(**options: Any) -> int:
        context = Context(scratch=tmp_path, seed=options.pop("seed", 0))
        return len(list(trainer(Net(), context=context, **options).run()))

    assert run(identity=["a"]) == EPOCHS
    assert run(identity=["a"]) == 0
    other = {"identity": {"identity": ["b"]}, "seed": {"seed": 1}, "name": {"name": "finetune"}}
    assert run(**{"identity": ["a"], **other[change]}) == EPOCHS


def test_predictions_between_epochs_disturb_nothing() -> None:
    quiet, disturbed = Net(dropout=0.5), Net(dropout=0.5)
    expected = [epoch.loss for epoch in trainer(quiet).run()]
    found = []
    for epoch in trainer(disturbed).run():
        found.append(epoch.loss)
        torch.manual_seed(len(found))
        disturbed(X)
        np.random.seed(7)  # noqa: NPY002
    assert found == expected


def test_scores_reach_a_plateau() -> None:
    rates = Plateau(LR, 50, 0.5, 1, LR / 3, Schedule(LR, 50))
    run = trainer(Net(), schedule=rates).run()
    found = [next(run).diagnostics["lr"]]
    for score in (1.0, 0.5, 0.5):
        try:
            found.append(run.send(score).diagnostics["lr"])
        except StopIteration:
            break
    assert found == [LR, LR, LR / 2]


def test_several_objectives_become_one_gradient() -> None:
    """The difference of two objectives' gradients, in one part and in several."""
    for most in (COUNT, 3):
        net, plain = Net(), Net()

        def loss(batch: Sequence[int], at: At, net: Net = net, most: int = most) -> Loss:
            if len(batch) > most:
                raise torch.OutOfMemoryError
            found = net(X[batch])
            return Loss((found - Y[batch]).square().mean(), (found.mean(),))

        def combine(objectives: list[Any]) -> tuple[Any, dict[str, float]]:
            first, second = objectives
            return [a - b for a, b in zip(first, second, strict=True)], {"objectives": 2.0}

        optimiser = optimisers.build("sgd", net.named_parameters(), LR)
        one = Trainer(net, optimiser, Schedule(LR, 1), batches, loss, Context(), combine=combine)
        (epoch,) = one.run()
        assert epoch.diagnostics["objectives"] == 2
        other = torch.optim.SGD(plain.parameters(), LR)
        for batch in batches(0):
            other.zero_grad()
            found = plain(X[batch])
            ((found - Y[batch]).square().mean() - found.mean()).backward()
            other.step()
        assert torch.allclose(weights(net), weights(plain), atol=1e-6)


def test_parts_are_weighted_by_what_the_mean_is_over() -> None:
    """Groups of unequal size, the loss a mean over their members."""
    groups = [[0, 1, 2], [3], [4, 5]]

    def steps(most: int) -> Tensor:
        net = Net()

        def loss(batch: Sequence[list[int]], at: At) -> Tensor:
            if len(batch) > most:
                raise torch.OutOfMemoryError
            rows = [row for group in batch for row in group]
            return F.mse_loss(net(X[rows]), Y[rows])

        optimiser = optimisers.build("sgd", net.named_parameters(), LR)
        one: Trainer[list[int]] = Trainer(
            net,
            optimiser,
            Schedule(LR, 2),
            lambda epoch: [groups],
            loss,
            Context(),
            weight=lambda batch: sum(map(len, batch)),
        )
        list(one.run())
        return weights(net)

    assert torch.allclose(steps(1), steps(3), atol=1e-6)


def test_a_parameter_that_no_loss_reaches_is_left_alone() -> None:
    net = Net()
    net.spare = nn.Parameter(torch.ones(3))
    list(trainer(net, 3).run())
    assert torch.equal(net.spare, torch.ones(3))


def test_a_loss_that_is_no_number_ends_the_training_with_its_place() -> None:
    one = trainer(Net())
    one.loss = lambda batch, at: (
        torch.tensor(torch.nan if at.step == 2 else 1.0)
        + 0 * sum(value.sum() for value in one.parameters.values())
    )
    with pytest.raises(BenchError, match="nan in epoch 1, step 3"):
        list(one.run())


def test_an_optimiser_of_another_rate_is_refused() -> None:
    net = Net()
    optimiser = optimisers.build("sgd", net.named_parameters(), 0.1)
    with pytest.raises(ValueError, match="base rate"):
        Trainer(net, optimiser, Schedule(0.2, 1), batches, lambda b, a: Y.sum(), Context())
