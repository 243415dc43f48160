"""Bootstrap over images: how far may a score lie from the truth for new images of the same kind?

Images are drawn in clusters (all images of one reference, prompt or scene together), since pictures
of one reference are not independent. Where a database has no clusters every image is one.

Several splits of one database are drawn *together*: one resample gives every cluster of the
database a weight, every split is scored with those weights, and the splits' values are averaged or
their median taken as the table does. An image that two splits test counts in both with the same
weight, so what splits share is not mistaken for more data. Trained methods are taken as given.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.metrics import METRICS
from bench.metrics.inputs import FloatArray, finite_pair
from bench.stats.replicates import BoolArray, BootstrapInterval, Replicates
from bench.stats.resampled import MOST_PAIRS, RESAMPLED
from bench.util.errors import unknown

IntArray = npt.NDArray[np.intp]
Middle = Literal["median", "mean"]
# Weights held at once: large enough to vectorise, small enough to stay in the processor's cache.
BATCH = 64_000
LEAST_SETS = 6
"""Fewer test sets than this say nothing of other sets: no interval over sets."""


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
class SuiteDifference:
    """How much better one method is than another over several test sets."""

    over_images: BootstrapInterval
    """For new images of these sets: clusters are drawn within each set."""
    over_sets: BootstrapInterval
    """For new sets of this kind: sets are drawn, and clusters within them."""


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

    Efron 1979; cluster bootstrap, Davison & Hinkley 1997, section 3.8. Percentiles of one test set
    are widened for few clusters (`bench.stats.replicates`). A resample without an image of some
    split tells nothing of that split and is left out. One `seed` gives one answer, and the same
    draws for any two methods on the same sides. NaN with a `reason` for an undefined metric, fewer
    than five clusters, so few in a split that more than 20 % of the resamples miss one, or more
    than 5 % of the others undefined.

    Raises `UsageError` for a metric that has no such interval, `ValueError` for `resamples` < 1,
    `confidence` outside (0, 1) and no side.

    >>> x = np.arange(100.0)
    >>> result = image_interval([side(x, x + 20 * np.sin(x))], resamples=200, seed=1)
    >>> result.low < result.estimate < result.high, result.clusters
    (True, 100)
    """
    (found,) = image_intervals(
        [sides], metric, resamples=resamples, seed=seed, confidence=confidence, middle=middle
    )
    return found


def image_intervals(
    methods: Sequence[Sequence[Side]],
    metric: str = "srcc",
    *,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
    middle: Middle = "median",
) -> list[BootstrapInterval]:
    """`image_interval` of several methods on the same images: they share draws and ranks of labels.

    Raises as it does, and `ValueError` for sides of different images.
    """
    drawn = replicates_of_methods(methods, metric, resamples=resamples, seed=seed, middle=middle)
    found = [one.interval(confidence) for one in drawn]
    if metric == "krcc" and max(one.quality.size for one in methods[0]) > MOST_PAIRS:
        reason = f"KRCC is not resampled for more than {MOST_PAIRS:,} images: it needs all pairs"
        return [replace(one, reason=reason) for one in found]
    return found


def mean_interval(
    sets: Sequence[Sequence[Side]],
    metric: str = "srcc",
    *,
    by_images: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> BootstrapInterval:
    """The median over splits of a metric's mean over test sets, with its interval over images.

    `sets` holds each test set's sides, split by split; clusters are drawn within each set, with a
    seed of its own. `by_images` weighs sets by their images in a split, else they count alike.
    Degrees of freedom follow the set with the fewest clusters. Otherwise as `image_interval`; also
    raises `ValueError` for sets of different numbers of splits.

    >>> x = np.arange(100.0)
    >>> sets = [[side(x, x + noise * np.sin(x))] for noise in (20, 40)]
    >>> found = mean_interval(sets, resamples=100)
    >>> found.low < found.estimate < found.high
    True
    """
    if len({len(sides) for sides in sets}) > 1:
        raise ValueError("sets: different numbers of splits")
    weights = np.array([[one.quality.size if by_images else 1 for one in sides] for sides in sets])
    parts = []
    for number, sides in enumerate(sets):
        _check(sides, metric, resamples)
        # Another seed for each set: their clusters are drawn independently.
        values, empty = _replicates([sides], metric, resamples, seed + number)
        parts.append((values[0], empty))
    own = np.array([[_score(metric, one) for one in sides] for sides in sets])
    table = np.average(
        [values for values, _ in parts],
        axis=0,
        weights=np.broadcast_to(weights[..., None], (*weights.shape, resamples)),
    )
    return Replicates(
        float(np.median(np.average(own, axis=0, weights=weights))),
        _middle(table, "median"),
        min(map(_count, sets)),
        np.any([empty for _, empty in parts], axis=0),
        all(map(_whole, sets)),
    ).interval(confidence)


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
    together = mean_over_sets(differences)
    table = np.array([one.values for one in differences])
    sets, resamples = table.shape
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, sets, (sets, resamples))
    # A set that is drawn twice is resampled twice: another column each time, of those that are
    # defined for it.
    usable = [np.flatnonzero(~one.missed) for one in differences]
    sizes = np.array([max(1, one.size) for one in usable])
    padded = np.array([np.resize(one if one.size else [0], resamples) for one in usable])
    within = padded[drawn, rng.integers(0, sizes[drawn])]
    over = Replicates(together.estimate, table[drawn, within].mean(axis=0), sets)
    return SuiteDifference(
        replace(together.interval(confidence), clusters=sum(counts)),
        over.interval(confidence, LEAST_SETS, "test sets"),
    )


def mean_over_sets(sets: Sequence[Replicates]) -> Replicates:
    """The mean of a statistic over test sets that were drawn with seeds of their own.

    Sets count alike, whatever their size. Its degrees of freedom follow the set with the fewest
    clusters: none may be hidden by the others.
    """
    return Replicates(
        float(np.mean([one.estimate for one in sets])),
        np.mean([one.values for one in sets], axis=0),
        min(one.clusters for one in sets),
        np.any([one.missed for one in sets], axis=0),
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
    (found,) = replicates_of_methods([sides], metric, resamples=resamples, seed=seed, middle=middle)
    return found


def replicates_of_methods(
    methods: Sequence[Sequence[Side]],
    metric: str,
    *,
    resamples: int = 1000,
    seed: int = 0,
    middle: Middle = "median",
) -> list[Replicates]:
    """`image_replicates` of several methods on the same images; raises as `image_intervals`."""
    for sides in methods:
        _check(sides, metric, resamples)
    if not all(same_images(methods[0], other) for other in methods[1:]):
        raise ValueError("the methods were not tested on the same images")
    first = methods[0]
    own = np.array([[_score(metric, one) for one in sides] for sides in methods])
    estimates = _middle(own.T, middle)
    values, empty = _replicates(methods, metric, resamples, seed)
    widened = middle == "mean" or _whole(first)
    return [
        Replicates(float(estimate), _middle(table, middle), _count(first), empty, widened)
        for estimate, table in zip(estimates, values, strict=True)
    ]


def same_images(first: Sequence[Side], second: Sequence[Side]) -> bool:
    """Whether two methods were tested on the same images, split by split."""
    return len(first) == len(second) and all(
        np.array_equal(own.quality, other.quality) and np.array_equal(own.clusters, other.clusters)
        for own, other in zip(first, second, strict=True)
    )


def draws(clusters: int, resamples: int, seed: int, size: int) -> Iterator[FloatArray]:
    """How often each of `clusters` is drawn: batches of (b, clusters), for sides of `size` images.

    >>> next(draws(5, 7, seed=0, size=5)).sum(axis=1)
    array([5., 5., 5., 5., 5., 5., 5.])
    """
    rng = np.random.default_rng(seed)
    batch = max(1, BATCH // max(size, clusters))
    for start in range(0, resamples, batch):
        rows = min(batch, resamples - start)
        # Offsets keep the resamples apart, so that one `bincount` counts all of them.
        flat = rng.integers(0, clusters, (rows, clusters)) + clusters * np.arange(rows)[:, None]
        counts = np.bincount(flat.ravel(), minlength=rows * clusters)
        yield counts.reshape(rows, clusters).astype(np.float64)


def _replicates(
    methods: Sequence[Sequence[Side]], metric: str, resamples: int, seed: int
) -> tuple[FloatArray, BoolArray]:
    """(methods, sides, resamples) values of methods on the same sides, NaN where undefined, and
    (resamples,) whether a side is empty."""
    sides = methods[0]
    measures = [
        RESAMPLED[metric](np.array([own[place].prediction for own in methods]), one.quality)
        for place, one in enumerate(sides)
    ]
    size = max(one.quality.size for one in sides)
    # Sides of one call share their draws: one weight a cluster, wherever it is tested.
    clusters = np.unique(np.concatenate([one.clusters for one in sides]))
    codes = [np.searchsorted(clusters, one.clusters) for one in sides]
    found: list[FloatArray] = []
    empty: list[BoolArray] = []
    for weights in draws(clusters.size, resamples, seed, size):
        by_cluster = np.ascontiguousarray(weights.T)
        own = [by_cluster[code] for code in codes]
        pairs = zip(measures, own, strict=True)
        found.append(np.stack([measure(drawn) for measure, drawn in pairs], axis=1))
        empty.append(~np.all([drawn.any(axis=0) for drawn in own], axis=0))
    return np.concatenate(found, axis=2), np.concatenate(empty)


def _middle(values: npt.NDArray[Any], middle: Middle) -> FloatArray:
    """Median or mean over sides of (sides, b) values; NaN where one of them is."""
    over = np.median if middle == "median" else np.mean
    return np.asarray(over(values, axis=0))


def _score(metric: str, one: Side) -> float:
    return METRICS[metric](one.prediction, one.quality)


def _count(sides: Sequence[Side]) -> int:
    return len(np.unique(np.concatenate([one.clusters for one in sides])))


def _whole(sides: Sequence[Side]) -> bool:
    """Whether every side has all clusters, as with one split, or one test set at every repeat."""
    return all(len(np.unique(one.clusters)) == _count(sides) for one in sides)


def _check(sides: Sequence[Side], metric: str, resamples: int) -> None:
    if not sides:
        raise ValueError("sides: none given")
    if metric not in RESAMPLED:
        raise unknown("metric with an interval over images", metric, RESAMPLED)
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, got {resamples}")
