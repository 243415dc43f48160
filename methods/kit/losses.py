"""Losses that compare a whole batch of scores with its labels. Not means over samples."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def plcc(scores: Tensor, labels: Tensor) -> Tensor:
    """Of (B,) and (B,): (1 - ρ) / 2 with Pearson's ρ, as in pyiqa. L1 of a batch of one."""
    if len(scores) < 2:
        return F.l1_loss(scores, labels)
    return (1 - (_direction(scores) * _direction(labels)).sum()) / 2


def norm_in_norm(scores: Tensor, labels: Tensor) -> Tensor:
    """Of (B,) and (B,): mean distance of centred scores and labels scaled to length one, times √B/2
    (Li et al., ACM MM 2020, with p = 1 and q = 2). L1 of a batch of one."""
    if len(scores) < 2:
        return F.l1_loss(scores, labels)
    return (_direction(scores) - _direction(labels)).abs().sum() / (2 * len(scores) ** 0.5)


def rank(scores: Tensor, labels: Tensor) -> Tensor:
    """Of (B,) and (B,): by how much the difference of two scores falls short of their labels', mean
    over all pairs (the monotonicity loss of video quality assessment). L1 of a batch of one."""
    if len(scores) < 2:
        return F.l1_loss(scores, labels)
    wanted = labels[:, None] - labels
    found = (scores[:, None] - scores) * wanted.sign()
    return (wanted.abs() - found).relu().sum() / (len(scores) * (len(scores) - 1))


def _direction(x: Tensor) -> Tensor:
    """Centred and scaled to length one."""
    return F.normalize(x - x.mean(), dim=0)
