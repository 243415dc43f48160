"""Torch's optimisers by name, with parameter groups for recipes in which some have no weight
decay."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal

import torch
from torch import nn

Kind = Literal["sgd", "adam", "adamw"]
Named = Iterable[tuple[str, nn.Parameter]]


def build(
    kind: Kind,
    parameters: Named,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    spared: Collection[str] | None = None,
) -> torch.optim.Optimizer:
    """An optimiser over (name, parameter) pairs, those without `requires_grad` left out.

    Weight decay is torch's: added to the gradient by 'sgd' and 'adam', applied to the weights by
    'adamw'. None spared: all decay alike. With `spared`, even an empty one, biases, norms and the
    parameters it names do not decay (`undecayed`). `momentum` is SGD's.
    """
    trained = [(name, value) for name, value in parameters if value.requires_grad]
    groups: list[dict[str, Any]] = [{"params": [value for _, value in trained]}]
    if spared is not None:
        free = [value for name, value in trained if undecayed(name, value, spared)]
        rest = [value for name, value in trained if not undecayed(name, value, spared)]
        groups = [{"params": rest}, {"params": free, "weight_decay": 0.0}]
        groups = [group for group in groups if group["params"]]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr, momentum=momentum, weight_decay=weight_decay)
    chosen = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
    return chosen(groups, lr, weight_decay=weight_decay)


def undecayed(name: str, value: nn.Parameter, spared: Collection[str] = ()) -> bool:
    """Whether a parameter is a bias, a norm's weight, or one whose last name is in `spared`.

    That is the rule of timm and of DEIT's descendants: parameters of at most one dimension, and
    learned tokens and positions by name.

    >>> layer = nn.Linear(3, 2)
    >>> [name for name, value in layer.named_parameters() if undecayed(name, value)]
    ['bias']
    """
    return value.ndim <= 1 or name.rpartition(".")[2] in spared
