"""The loss of one optimiser step: groups of one dataset each, batch norm within a group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.methods.kit.trainer import At
from bench.methods.promptiqa.groups import Prompted
from bench.methods.promptiqa.layers import at_least_single
from bench.methods.promptiqa.model import PromptIQANet


@dataclass(frozen=True)
class GroupMember:
    """One group of a step."""

    features: Callable[[], Tensor]
    """Computes the features (rows, d) of its images, queries first."""
    prompt: Prompted


class GroupLoss:
    """The mean over groups of their mean absolute errors, for `bench.methods.kit.trainer.Trainer`.

    Features are computed group by group, so that batch norm sees images of one dataset alone: the
    authors train one group a device and do not synchronise batch norm. The running statistics that
    stay are those of a step's first group, as theirs are the first device's.
    """

    def __init__(self, net: PromptIQANet) -> None:
        self.net = net

    def __call__(self, members: Sequence[GroupMember], at: At) -> Tensor:
        """The loss of a step, or of the part of it that begins with group `at.first`."""
        errors = [self._error(member, at.first + place) for place, member in enumerate(members)]
        return torch.stack(errors).mean()

    def scores(self, member: GroupMember) -> Tensor:
        """Scores (Q,) of a group's queries."""
        return group_scores(self.net, at_least_single(member.features()), member.prompt)

    def _error(self, member: GroupMember, place: int) -> Tensor:
        buffers = list(self.net.buffers()) if place else []
        before = [value.clone() for value in buffers]
        scores = self.scores(member)
        for value, kept in zip(buffers, before, strict=True):
            # Past autograd's count of changes: in training mode no backward pass reads them.
            value.data.copy_(kept)
        target = torch.from_numpy(member.prompt.target).to(scores)
        return (scores - target).abs().mean()


def group_scores(net: PromptIQANet, features: Tensor, prompt: Prompted) -> Tensor:
    """Scores (Q,) of a group's queries, the first of its rows; `features` are (rows, d)."""
    queries = features[: len(prompt.target)]
    if not net.size.prompted:
        return net.score(queries)

    def placed(array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(features.device)

    pairs = net.encode_pairs(features[placed(prompt.image)], placed(prompt.score))
    requirement = net.fuse_prompt(pairs[placed(prompt.gather)])
    return net.score(net.fuse_image(queries, requirement))
