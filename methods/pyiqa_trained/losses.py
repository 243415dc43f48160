"""The loss of TReS (Golestaneh et al., WACV 2022): quality, relative ranking, self-consistency."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

RANKING = 0.05
"""Weight of the relative ranking in the released code."""
ALIKE = 0.5
"""Weight of the difference between the rankings of crops and of their mirror images."""


def tres(
    network: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """The loss on crops (B, 3, S, S) with labels (B,), as the released code adds it up.

    The network gives scores and its features' consistency under mirroring. Both are asked of the
    crops and of their mirror images, and so is the ranking, which is to be alike for both.
    """
    total = pixels.new_zeros(())
    rankings = []
    for shown in (pixels, pixels.flip(3)):
        scores, consistency = network(shown)
        scores = scores.reshape(-1).float()
        total = total + distance(scores, labels) + consistency
        if len(scores) > 1:  # one crop has no rank
            rankings.append(ranking(scores, labels))
    if not rankings:
        return total
    first, second = rankings
    alike = (first - second.detach()).abs() + (second - first.detach()).abs()
    return total + ALIKE * alike + RANKING * (first + second)


def ranking(scores: Tensor, labels: Tensor) -> Tensor:
    """Two triplets of a batch: the worst image lies nearer to the second worst than to the best, by
    what the labels say at least, and the best one nearer to the second best than to the worst."""
    order = labels.argsort()
    worst, second, last_but_one, best = (int(order[place]) for place in (0, 1, -2, -1))
    low = _triplet(scores, worst, second, best, labels[best] - labels[second])
    high = _triplet(scores, best, last_but_one, worst, labels[last_but_one] - labels[worst])
    return low + high


def _triplet(scores: Tensor, anchor: int, near: int, far: int, margin: Tensor) -> Tensor:
    close = (scores[anchor] - scores[near]).abs()
    return (close - (scores[anchor] - scores[far]).abs() + margin).clamp(min=0)
