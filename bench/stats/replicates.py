"""A statistic in every resample, and the interval that follows.

Percentiles (Efron 1979), widened for few clusters: Hesterberg's "expanded percentile" (The American
Statistician 69, 2015) takes Student's quantile for the normal one and undoes the sqrt((n - 1) / n)
by which a bootstrap distribution is too narrow. The median over splits that hold a part of the
clusters each is not widened: a resample gives every split a number of clusters that varies, as the
splits' own does not, and that widens its distribution by itself. `python -m tools.simulate_images`
measures both. BCa intervals and those of a standard error on Fisher's scale were simulated beside
them and held the truth less often: the median over few splits of few clusters is neither smooth nor
free of bias, which both presume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray

BoolArray = npt.NDArray[np.bool_]
LEAST_CLUSTERS = 5
"""Fewer clusters than this say nothing of others: no interval."""
MOST_UNDEFINED = 0.05
"""Share of undefined resamples above which there is no interval."""
MOST_EMPTY = 0.2
"""Share of resamples without an image of some split above which there is no interval: what is left
of the draws holds too little. Simulated, ten splits at 20 %: with 20 references 11 % miss a split
and intervals hold the truth in 95 %; with 15 it is 30 % and 93 %, with 10 68 % and 80 %."""


@dataclass(frozen=True)
class BootstrapInterval:
    """An estimate and its percentile interval over images."""

    estimate: float
    """On the images as they are."""
    low: float
    """Lower bound, at `confidence`."""
    high: float
    """Upper bound."""
    p_value: float
    """Two-sided, for the true value being 0; at least 2 / (resamples + 1)."""
    confidence: float
    """Of the interval, in (0, 1)."""
    resamples: int
    """How many were drawn."""
    undefined: int
    """Resamples left out because a side of them was constant, or a split had no image in them."""
    clusters: int
    """The unit of resampling: images, or clusters of them."""
    reason: str = ""
    """Why there is no interval (bounds are NaN then); empty when there is one."""


@dataclass(frozen=True)
class Replicates:
    """A statistic on the images as they are, and in every resample."""

    estimate: float
    """On the images as they are."""
    values: FloatArray
    """(resamples,); NaN where undefined."""
    clusters: int
    """How many were drawn in a resample."""
    empty: BoolArray = field(default_factory=lambda: np.zeros(1, bool))
    """(resamples,), or (1,) for all: whether no image of some split was drawn."""
    widened: bool = True
    """Whether percentiles are widened for few clusters."""

    @property
    def missed(self) -> BoolArray:
        """(resamples,) `empty`."""
        return np.broadcast_to(self.empty, self.values.size)

    def minus(self, other: Replicates) -> Replicates:
        """The paired difference of two statistics that were drawn alike."""
        values = self.values - other.values
        return replace(self, estimate=self.estimate - other.estimate, values=values)

    def interval(
        self,
        confidence: float = 0.95,
        least: int = LEAST_CLUSTERS,
        what: str = "clusters of images",
    ) -> BootstrapInterval:
        """The percentile interval, `widened` for few clusters; NaN with a reason where none is."""
        if not 0 < confidence < 1:
            raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
        clusters = self.clusters
        usable = self.values[~np.isnan(self.values)]
        facts = (confidence, self.values.size, self.values.size - usable.size, clusters)
        reason = self._no_interval(least, what)
        if reason:
            return BootstrapInterval(self.estimate, math.nan, math.nan, math.nan, *facts, reason)
        tail = (1 - confidence) / 2
        tail = _tail(tail, clusters) if self.widened else tail
        low, high = (float(bound) for bound in np.quantile(usable, [tail, 1 - tail]))
        # One is added below: a finite number of resamples never proves p = 0.
        crossing = min(np.count_nonzero(usable <= 0), np.count_nonzero(usable >= 0))
        p = min(0.5, float(crossing + 1) / (usable.size + 1))
        p = 2 * (_shrunk(p, clusters) if self.widened else p)
        return BootstrapInterval(self.estimate, low, high, p, *facts)

    def _no_interval(self, least: int, what: str) -> str:
        if math.isnan(self.estimate):
            return "the metric is undefined on the images as they are"
        if self.clusters < least:
            return f"{self.clusters} {what} are too few to tell of others (at least {least})"
        resamples = self.values.size
        if (missing := int(self.missed.sum())) > MOST_EMPTY * resamples:
            return (
                f"{self.clusters} {what} are too few to be split: {missing} of {resamples} "
                "resamples have no image of some split"
            )
        undefined = int(np.isnan(self.values[~self.missed]).sum())
        if undefined > MOST_UNDEFINED * resamples:
            return f"{undefined} of {resamples} resamples are undefined"
        return ""


def _tail(nominal: float, clusters: int) -> float:
    """The percentile that stands for `nominal` with this many clusters (Hesterberg 2015)."""
    from scipy.special import ndtr, stdtrit

    quantile = float(stdtrit(clusters - 1, nominal))
    return float(ndtr(math.sqrt(clusters / (clusters - 1)) * quantile))


def _shrunk(tail: float, clusters: int) -> float:
    """The inverse of `_tail`: the p-value of a percentile that 0 lies at."""
    from scipy.special import ndtri, stdtr

    return float(stdtr(clusters - 1, float(ndtri(tail)) / math.sqrt(clusters / (clusters - 1))))
