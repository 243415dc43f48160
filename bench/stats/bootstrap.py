"""Bootstrap over images: how far may a score lie from the truth for new images of the same kind?

Images are drawn in clusters (all images of one reference, prompt or scene together), since pictures
of one reference are not independent. Where a database has no clusters every image is one.

Several splits of one database are drawn *together*: one resample gives every cluster of the
database a weight, every split is scored with those weights, and the splits' values are averaged or
their median taken as the table does. An image that two splits test counts in both with the same
weight, so what splits share is not mistaken for more data. Trained methods are taken as given.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.metrics import METRICS
from bench.metrics.inputs import FloatArray, finite_pair
from bench.stats.resampled import MOST_PAIRS, RESAMPLED
from bench.util.errors import unknown

IntArray = npt.NDArray[np.intp]
Middle = Literal["median", "mean"]
# Weights held at once: large enough to vectorise, small enough to stay in the processor's cache.
BATCH = 64_000
LEAST_CLUSTERS = 5
"""Fewer clusters than this say nothing of others: no interval."""
LEAST_SETS = 6
"""Fewer test sets than this say nothing of other sets: no interval over sets."""
MOST_UNDEFINED = 0.05
"""Share of undefined resamples above which there is no interval."""


@dataclass(frozen=True)
class Side:
    """One test side: predictions of its images, their quality, and the cluster of each."""

    prediction: FloatArray
    """(n,), higher is better."""
    quality: FloatArray
    """(n,), higher is better."""
    clusters: IntArray
    """(n,) numbers, the same for the same cluster on all sides of a call (`numbered`)."""


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
    """Resamples left out because a side of them was constant."""
    clusters: int
    """What was drawn: images, or clusters of them."""
    reason: str = ""
    """Why there is no interval (bounds are NaN then); empty when there is one."""


@dataclass(frozen=True)
class SuiteDifference:
    """How much better one method is than another over several test sets."""

    over_images: BootstrapInterval
    """For new images of these sets: clusters are drawn within each set."""
    over_sets: BootstrapInterval
    """For new sets of this kind: sets are drawn, and clusters within them."""
    per_set: tuple[BootstrapInterval, ...]
    """Set by set."""


def numbered(names: Sequence[Sequence[Hashable]]) -> list[IntArray]:
    """The names of clusters on several sides as numbers from 0, in the order of the sorted names.

    >>> [list(map(int, side)) for side in numbered([["b", "a"], ["c", "b"]])]
    [[1, 0], [2, 1]]
    """
    flat = np.concatenate([np.asarray(side, dtype=str) for side in names])
    codes = np.unique(flat, return_inverse=True)[1]
    ends = np.cumsum([len(side) for side in names])[:-1]
    return [np.asarray(part, dtype=np.intp) for part in np.split(codes, ends)]


def side(
    prediction: npt.ArrayLike, quality: npt.ArrayLike, clusters: npt.ArrayLike | None = None
) -> Side:
    """One test side; `clusters` are (n,) numbers, by default one an image.

    Raises `ValueError` as `bench.metrics.srcc`, and for clusters of another length.
    """
    first, second = finite_pair(prediction, quality)
    codes = np.arange(first.size) if clusters is None else np.asarray(clusters)
    if codes.shape != first.shape:
        raise ValueError(f"clusters has shape {codes.shape}, prediction {first.shape}")
    return Side(first, second, codes.astype(np.intp))


def image_interval(
    sides: Sequence[Side],
    metric: str = "srcc",
    *,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    middle: Middle = "median",
) -> BootstrapInterval:
    """The median over splits of a metric, with its percentile interval over images.

    Efron 1979; cluster bootstrap, Davison & Hinkley 1997, section 3.8. The percentiles are widened
    for few clusters (Hesterberg, The American Statistician 69, 2015: "expanded percentile"), which
    is what keeps the coverage with 25 references. One `seed` gives one answer, and the same draws
    for any two methods on the same sides. NaN with a `reason` for an undefined metric, fewer than
    five clusters, or more than 5 % undefined resamples.

    Raises `UsageError` for a metric that has no such interval, `ValueError` for `resamples` < 1,
    `confidence` outside (0, 1) and no side.

    >>> x = np.arange(100.0)
    >>> result = image_interval([side(x, x + 20 * np.sin(x))], resamples=200, seed=1)
    >>> result.low < result.estimate < result.high, result.clusters
    (True, 100)
    """
    found = image_replicates(sides, metric, resamples=resamples, seed=seed, middle=middle)
    result = found.interval(confidence)
    if metric == "krcc" and max(one.quality.size for one in sides) > MOST_PAIRS:
        reason = f"KRCC is not resampled for more than {MOST_PAIRS:,} images: it needs all pairs"
        return replace(result, reason=reason)
    return result


def image_difference(
    first: Sequence[Side],
    second: Sequence[Side],
    metric: str = "srcc",
    *,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> BootstrapInterval:
    """The mean over splits of a metric's value for `first` minus that for `second`, paired.

    Both hold predictions of the same images, split by split, and are scored on the same resamples.
    In units of the metric: positive is better only where higher is. Otherwise as `image_interval`.

    >>> x = np.arange(100.0)
    >>> image_difference([side(x, x)], [side(x + 30 * np.sin(x), x)], resamples=200).low > 0
    True
    """
    for own, other in zip(first, second, strict=True):
        if not np.array_equal(own.quality, other.quality):
            raise ValueError("the two methods were not tested on the same images")
    one, two = (
        image_replicates(sides, metric, resamples=resamples, seed=seed, middle="mean")
        for sides in (first, second)
    )
    return one.minus(two).interval(confidence)


def suite_difference(
    differences: Sequence[Replicates], *, seed: int = 0, confidence: float = 0.95
) -> SuiteDifference:
    """The mean over test sets of paired differences: is one method better over this suite?

    Each set gives its `image_replicates(..., middle="mean")` of the first method `minus` those of
    the second, drawn with a seed of its own. Sets count alike, whatever their size. `over_images`
    holds for new images of these sets, `over_sets` for other sets of their kind (two-stage
    bootstrap, sets first), with at least six sets.
    """
    counts = [one.clusters for one in differences]
    table = np.array([one.values for one in differences])
    estimate = float(np.mean([one.estimate for one in differences]))
    # Degrees of freedom follow the set with the fewest clusters: none may be hidden by the others.
    images = Replicates(estimate, table.mean(axis=0), min(counts)).interval(confidence)
    sets, resamples = table.shape
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, sets, (sets, resamples))
    # A set that is drawn twice is resampled twice: another column each time.
    within = rng.integers(0, resamples, drawn.shape)
    over = Replicates(estimate, table[drawn, within].mean(axis=0), sets)
    return SuiteDifference(
        replace(images, clusters=sum(counts)),
        over.interval(confidence, LEAST_SETS, "test sets"),
        tuple(one.interval(confidence) for one in differences),
    )


def image_replicates(
    sides: Sequence[Side],
    metric: str,
    *,
    resamples: int = 1000,
    seed: int = 0,
    middle: Middle = "median",
) -> Replicates:
    """The statistic of `image_interval` in every resample; raises as it does."""
    _check(sides, metric, resamples)
    estimate = _middle(np.array([[_score(metric, one)] for one in sides]), middle)[0]
    values = _replicates(sides, metric, resamples, seed, middle)
    return Replicates(float(estimate), values, _count(sides))


def draws(clusters: int, resamples: int, seed: int, size: int) -> Iterator[FloatArray]:
    """How often each of `clusters` is drawn: batches of (b, clusters), for sides of `size` images.

    >>> next(draws(5, 7, seed=0, size=5)).sum(axis=1)
    array([5., 5., 5., 5., 5., 5., 5.])
    """
    rng = np.random.default_rng(seed)
    batch = max(1, BATCH // max(size, clusters))
    for start in range(0, resamples, batch):
        rows = min(batch, resamples - start)
        flat = rng.integers(0, clusters, (rows, clusters)) + clusters * np.arange(rows)[:, None]
        counts = np.bincount(flat.ravel(), minlength=rows * clusters)
        yield counts.reshape(rows, clusters).astype(np.float64)


@dataclass(frozen=True)
class Replicates:
    """A statistic on the images as they are, and in every resample."""

    estimate: float
    """On the images as they are."""
    values: FloatArray
    """(resamples,); NaN where undefined."""
    clusters: int
    """How many were drawn in a resample."""

    def minus(self, other: Replicates) -> Replicates:
        """The paired difference of two statistics that were drawn alike."""
        values = self.values - other.values
        return Replicates(self.estimate - other.estimate, values, self.clusters)

    def interval(
        self,
        confidence: float = 0.95,
        least: int = LEAST_CLUSTERS,
        what: str = "clusters of images",
    ) -> BootstrapInterval:
        """The percentile interval, widened for few clusters; NaN with a reason where none is."""
        if not 0 < confidence < 1:
            raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
        clusters = self.clusters
        usable = self.values[~np.isnan(self.values)]
        undefined = self.values.size - usable.size
        facts = (confidence, self.values.size, undefined, clusters)
        reason = self._no_interval(undefined, least, what)
        if reason:
            return BootstrapInterval(self.estimate, math.nan, math.nan, math.nan, *facts, reason)
        tail = _tail((1 - confidence) / 2, clusters)
        low, high = (float(bound) for bound in np.quantile(usable, [tail, 1 - tail]))
        crossing = min(np.count_nonzero(usable <= 0), np.count_nonzero(usable >= 0))
        p = 2 * _shrunk(min(0.5, float(crossing + 1) / (usable.size + 1)), clusters)
        return BootstrapInterval(self.estimate, low, high, p, *facts)

    def _no_interval(self, undefined: int, least: int, what: str) -> str:
        if math.isnan(self.estimate):
            return "the metric is undefined on the images as they are"
        if self.clusters < least:
            return f"{self.clusters} {what} are too few to tell of others (at least {least})"
        if undefined > MOST_UNDEFINED * self.values.size:
            return f"{undefined} of {self.values.size} resamples are undefined"
        return ""


def _replicates(
    sides: Sequence[Side], metric: str, resamples: int, seed: int, middle: Middle
) -> FloatArray:
    """(resamples,) values of the statistic; NaN where it is undefined on a side."""
    measures = [RESAMPLED[metric](one.prediction, one.quality) for one in sides]
    size = max(one.quality.size for one in sides)
    # Sides of one call share their draws: one weight a cluster, wherever it is tested.
    clusters = np.unique(np.concatenate([one.clusters for one in sides]))
    codes = [np.searchsorted(clusters, one.clusters) for one in sides]
    found: list[FloatArray] = []
    for weights in draws(clusters.size, resamples, seed, size):
        values = [measure(weights[:, code]) for measure, code in zip(measures, codes, strict=True)]
        found.append(_middle(np.array(values), middle))
    return np.concatenate(found)


def _middle(values: npt.NDArray[Any], middle: Middle) -> FloatArray:
    """Median or mean over sides of (sides, b) values; NaN where one of them is."""
    over = np.median if middle == "median" else np.mean
    return np.asarray(over(values, axis=0))


def _score(metric: str, one: Side) -> float:
    return METRICS[metric](one.prediction, one.quality)


def _count(sides: Sequence[Side]) -> int:
    return len(np.unique(np.concatenate([one.clusters for one in sides])))


def _tail(nominal: float, clusters: int) -> float:
    """The percentile that stands for `nominal` with this many clusters (Hesterberg 2015)."""
    from scipy.special import ndtr, stdtrit

    quantile = float(stdtrit(clusters - 1, nominal))
    return float(ndtr(math.sqrt(clusters / (clusters - 1)) * quantile))


def _shrunk(tail: float, clusters: int) -> float:
    """The inverse of `_tail`: the p-value of a percentile that 0 lies at."""
    from scipy.special import ndtri, stdtr

    return float(stdtr(clusters - 1, float(ndtri(tail)) / math.sqrt(clusters / (clusters - 1))))


def _check(sides: Sequence[Side], metric: str, resamples: int) -> None:
    if not sides:
        raise ValueError("sides: none given")
    if metric not in RESAMPLED:
        raise unknown("metric with an interval over images", metric, RESAMPLED)
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
