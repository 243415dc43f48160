"""Learning rates over epochs."""

from __future__ import annotations

import math

from methods.grmp.settings import GrmpSettings

FREE_EPOCHS = 10
"""A plateau schedule never decays within these first epochs (released code)."""


class Schedule:
    """Which rate an epoch trains with, and when training ends.

    A plateau schedule reads the scores it is told: after `patience` of them without a new best,
    the rate falls by `decay`; below `min_lr` training ends. As long as it has been told no score
    it is a cosine over `unscored_epochs`.
    """

    def __init__(self, settings: GrmpSettings) -> None:
        self.settings = settings
        self._rate = settings.lr
        self._best = -math.inf
        self._waiting = 0
        self._scored = False

    def total(self) -> int:
        """How many epochs there are at most."""
        own = self.settings
        if own.schedule == "plateau" and not self._scored:
            return min(own.epochs, own.unscored_epochs)
        return own.epochs

    def done(self, epoch: int) -> bool:
        """Whether training ends before epoch `epoch` (from 0)."""
        return epoch >= self.total() or self._rate < self.settings.min_lr

    def rate(self, epoch: int) -> float:
        """The learning rate of epoch `epoch` (from 0)."""
        own = self.settings
        if epoch < own.warmup_epochs:
            return own.warmup_lr
        if own.schedule == "cosine" or (own.schedule == "plateau" and not self._scored):
            return own.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.total()))
        if own.schedule == "step":
            return own.lr * own.decay ** (epoch // own.decay_epochs)
        return self._rate

    def tell(self, epoch: int, score: float | None) -> None:
        """What the harness answered after epoch `epoch`: the monitored score, or None."""
        if score is None or self.settings.schedule != "plateau":
            return
        self._scored = True
        if score > self._best:
            self._best, self._waiting = score, 0
            return
        self._waiting += 1
        if self._waiting >= self.settings.patience and epoch >= FREE_EPOCHS:
            self._rate *= self.settings.decay
            self._waiting = 0
