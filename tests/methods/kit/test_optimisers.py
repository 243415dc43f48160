"""Parameter groups and torch's optimisers by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.methods.kit import optimisers


class Net(nn.Module):
    """A matrix, a bias, a norm, a token, and something that does not train."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.LayerNorm(2)
        self.judges = nn.Parameter(torch.ones(1, 6, 2))
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)


def decays(optimiser: torch.optim.Optimizer, net: Net) -> dict[str, float]:
    """Each trained parameter's weight decay, by name."""
    names = {id(value): name for name, value in net.named_parameters()}
    return {
        names[id(value)]: group["weight_decay"]
        for group in optimiser.param_groups
        for value in group["params"]
    }


def test_biases_norms_and_named_tokens_are_spared() -> None:
    net = Net()
    found = optimisers.build("adamw", net.named_parameters(), 1e-3, 0.05, spared=["judges"])
    assert decays(found, net) == {
        "linear.weight": 0.05,
        "linear.bias": 0,
        "norm.weight": 0,
        "norm.bias": 0,
        "judges": 0,
    }
    assert decays(optimisers.build("adamw", net.named_parameters(), 1e-3, 0.05, spared=()), net)[
        "judges"
    ] == pytest.approx(0.05)


def test_without_spared_all_decay_alike() -> None:
    net = Net()
    found = decays(optimisers.build("adam", net.named_parameters(), 1e-3, 0.05), net)
    assert set(found.values()) == {0.05}
    assert "frozen" not in found


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.2)),
        ("adam", lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.2)),
        ("adamw", lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.2)),
    ],
)
def test_the_steps_are_torchs(kind: optimisers.Kind, make: object) -> None:
    values = []
    for ours in (True, False):
        layer = nn.Linear(2, 1)
        nn.init.constant_(layer.weight, 0.5)
        nn.init.constant_(layer.bias, 0.5)
        if ours:
            optimiser = optimisers.build(kind, layer.named_parameters(), 0.1, 0.2, momentum=0.9)
        else:
            optimiser = make(layer.parameters())  # type: ignore[operator]
        for step in range(3):
            layer(torch.tensor([1.0, step]))[0].backward()
            optimiser.step()
            optimiser.zero_grad()
        values.append(torch.cat([value.detach().flatten() for value in layer.parameters()]))
    assert torch.equal(values[0], values[1])
