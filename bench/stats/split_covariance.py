"""How much do the results on two random splits of one dataset have in common?

Let d_i be the difference of two methods on split i. Over k splits their mean has the variance
s^2 / k + C, where s^2 is the expected sample variance and C the covariance of two splits. No
unbiased estimate of C exists from the d_i alone (Nadeau & Bengio, Machine Learning 52, 2003), so
they take the share of images that two test sides have in common, f = n_test / n, for the
correlation of everything: C = s^2 f / (1 - f).

Under a label budget that is too much. What training adds to d_i is correlated through the labelled
images that two splits share, at most in their share phi of all images (a term of order m in the
training images, in Hoeffding's decomposition, has the correlation phi^m), and 50 labels of 1,162
images share 4 %. Stored predictions tell the two parts apart. To first order, d_i varies with the
test images as the sum of their influences u_i, so that

    variance by testing    T = mean over splits of    sum over x of u_i(x)^2,
    covariance by testing  c = mean over pairs i != j of    sum over x of u_i(x) u_j(x),

where x runs over clusters of images, and c holds both what test sides share and that methods which
were trained otherwise judge the same image otherwise. With V for the variance by training,
s^2 + C = T + V and C = c + phi V, hence

    V = (s^2 + c - T) / (1 - phi),    C = c + phi V.

`covariance_ratio` takes no more than Nadeau and Bengio's value, and that value itself where
training sides share as much as test sides do or more, as whole ones do. `docs/statistics.md` has
its false-positive rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import FloatArray
from bench.stats.bootstrap import BATCH, Side, same_images
from bench.stats.resampled import RESAMPLED

STEP = 0.05
"""How much more weight a unit gets for its influence: little, since influence is a derivative, and
far more than what rounds away (KRCC is resampled in single precision)."""
MOST_UNITS = 400
"""Clusters beyond this number are put together at random. Covariances stay unbiased, since images
that merely share a unit have independent influences."""


@dataclass(frozen=True)
class SplitSizes:
    """Images of a random split of one dataset. Raises `ValueError` for numbers below 1."""

    left: int
    """Images that a split does not test, labelled or not."""
    tested: int
    """Images that a split tests."""
    labelled: int | None = None
    """Training or validation images, 0 for none; None for all that are left."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, size, least in (
            ("left", self.left, 1),
            ("tested", self.tested, 1),
            ("labelled", self.labelled, 0),
        ):
            if size is not None and size < least:
                raise ValueError(f"{name}: expected at least {least}, got {size}")

    @property
    def test_share(self) -> float:
        """Expected share of a test side that another split tests too."""
        return self.tested / (self.left + self.tested)

    def training_share(self, cluster_size: float = 1.0) -> float:
        """Expected share of the labelled clusters that are labelled in another split too.

        A cluster counts from its first labelled image on, since images of one reference teach much
        the same: 50 images of 30 references touch most of these in every split.

        >>> round(SplitSizes(930, 232, 50).training_share(), 3)  # 50 of 1,162 images
        0.043
        >>> round(SplitSizes(693, 173, 50).training_share(cluster_size=29), 2)
        0.71
        """
        labelled = self.left if self.labelled is None else min(self.labelled, self.left)
        touched = 1 - math.pow(1 - labelled / self.left, cluster_size)
        return touched * (1 - self.test_share)

    def budgeted(self, cluster_size: float = 1.0) -> bool:
        """Whether two splits share less of their training than of their testing.

        Not where nothing is learnt: then all of it is testing.
        """
        return self.labelled != 0 and self.training_share(cluster_size) < self.test_share


@dataclass(frozen=True)
class Influence:
    """The contribution of each image, or cluster of images, to a score on each of k splits."""

    values: FloatArray
    """(k, units): derivative of the score by the unit's weight, 0 where a split does not test it.
    """
    cluster_size: float
    """Mean number of images in a cluster."""

    def minus(self, other: Influence) -> Influence:
        """That on the paired difference of two methods on the same splits."""
        return replace(self, values=self.values - other.values)

    @property
    def variance(self) -> float:
        """Of a split's score by its choice of test images; mean over splits."""
        return float((self.values**2).sum(axis=1).mean())

    @property
    def covariance(self) -> float:
        """Of two splits' scores by the test images they share; mean over pairs of splits."""
        k = len(self.values)
        if k < 2:
            return 0.0
        total = float((self.values.sum(axis=0) ** 2).sum())
        return (total / k - self.variance) / (k - 1)


def image_influence(sides: Sequence[Side], metric: str = "srcc") -> Influence:
    """The influence of every image on a metric of k splits of one dataset.

    The infinitesimal jackknife: L. Jaeckel, Bell Laboratories memorandum, 1972; B. Efron, SIAM CBMS
    38, 1982, chapter 6. Sides number their clusters alike (`bench.stats.numbered`). A metric that
    is undefined on some split gives NaN. Raises `KeyError` for metrics that
    `bench.stats.resampled` does not have.

    >>> x = np.arange(200.0)
    >>> found = image_influence([Side(x, x + 40 * np.sin(x), np.arange(200))])
    >>> bool(0.005 < math.sqrt(found.variance) < 0.02)
    True
    """
    names = np.unique(np.concatenate([one.clusters for one in sides]))
    units = np.arange(names.size)
    if names.size > MOST_UNITS:
        units = np.random.default_rng(0).permutation(names.size) % MOST_UNITS
    number = int(units.max()) + 1
    values = np.zeros((len(sides), number))
    for row, one in zip(values, sides, strict=True):
        _fill(row, one, units[np.searchsorted(names, one.clusters)], metric)
    sizes = [one.quality.size / np.unique(one.clusters).size for one in sides]
    return Influence(values, float(np.mean(sizes)))


def _fill(row: FloatArray, one: Side, unit: npt.NDArray[np.intp], metric: str) -> None:
    """One split's influences, at the places of its units."""
    measure = RESAMPLED[metric](one.prediction[None], one.quality)
    plain = measure(np.ones((one.quality.size, 1)))[0, 0]
    tested = np.unique(unit)
    batch = max(1, BATCH // one.quality.size)
    for start in range(0, tested.size, batch):
        some = tested[start : start + batch]
        row[some] = (measure(1 + STEP * (unit[:, None] == some))[0] - plain) / STEP


def influences(sides: Mapping[str, Sequence[Side]], metric: str) -> dict[str, Influence]:
    """Method -> influence of images; none where methods have scores of different images.

    `sides` holds each method's test sides, split by split.
    """
    first = next(iter(sides.values()), ())
    if not all(same_images(first, own) for own in sides.values()):
        return {}
    return {name: image_influence(own, metric) for name, own in sides.items()}


def covariance_ratio(
    variance: float, sizes: SplitSizes, influence: Influence | None = None
) -> float:
    """C / s^2: covariance of two splits' differences over their sample variance.

    `variance` is s^2; without an `influence` of images on the differences, Nadeau and Bengio's
    n_test / n_train, which is also the most that it can be.

    >>> covariance_ratio(1e-4, SplitSizes(80, 20))
    0.25
    >>> by_images = Influence(np.array([[0.003, 0.004, 0], [0.003, 0, 0.004]]), 1.0)
    >>> round(covariance_ratio(1e-4, SplitSizes(80, 20, 5), by_images), 3)
    0.134
    """
    bound = sizes.tested / sizes.left
    if influence is None or not math.isfinite(influence.variance) or not 0 < variance < math.inf:
        return bound
    if not sizes.budgeted(influence.cluster_size):
        return bound
    share = sizes.training_share(influence.cluster_size)
    # Estimates of variances may come out negative by chance.
    testing = max(0.0, influence.covariance)
    training = max(0.0, (variance + testing - influence.variance) / (1 - share))
    return min(bound, (testing + share * training) / variance)
