"""How often do tests find a difference between equally good methods that are trained per split?

    python -m tools.simulate_training --trials 2000 --labels 50 200 930 --seed 0

As `tools.simulate_intervals`, but both methods learn: each sees its own features of every image
(the quality in an unknown direction, plus noise) and fits a ridge regression to the labelled images
of each split. Both learn alike, so any "significant" difference is false. What it adds is training
sets: small ones hardly overlap from split to split, full ones almost wholly. `--fixed` keeps the
predictions fixed instead, as those of methods that training hardly moves, whatever the budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.stats.paired import corrected_t, paired_t, wilcoxon_signed_rank
from bench.stats.split_covariance import Influence, SplitSizes
from tools import command_line

FloatArray = npt.NDArray[np.float64]
TESTS = ("corrected t", "Nadeau-Bengio", "Wilcoxon", "paired t")
"""The first knows the influence of images, the second is the same without."""


@dataclass(frozen=True)
class TrainingSimulation:
    """What is simulated; LIVEC's size."""

    trials: int = 2000
    seed: int = 0
    images: int = 1162
    test_share: float = 0.2
    labels: tuple[int, ...] = (50, 200, 930)
    repeats: int = 10
    features: int = 16
    noise: float = 0.75
    """Deviation of the noise on every feature; the quality has deviation 1."""
    alpha: float = 0.05
    fixed: bool = False
    """Whether predictions are the features that hold the quality, whatever was labelled."""

    @property
    def tested(self) -> int:
        """Test images of a split."""
        return round(self.images * self.test_share)


def simulate(setting: TrainingSimulation) -> dict[int, dict[str, float]]:
    """Labels -> test -> share of trials in which it rejects at `alpha`.

    >>> rates = simulate(TrainingSimulation(trials=2, images=60, labels=(20,), repeats=4))
    >>> list(rates[20]) == list(TESTS)
    True
    """
    rejected = {labels: dict.fromkeys(TESTS, 0) for labels in setting.labels}
    for trial in range(setting.trials):
        for labels, (differences, influence) in _trial(setting, trial).items():
            for test, p in _p_values(setting, labels, differences, influence).items():
                rejected[labels][test] += p < setting.alpha
    return {
        labels: {test: count / setting.trials for test, count in row.items()}
        for labels, row in rejected.items()
    }


def _trial(setting: TrainingSimulation, trial: int) -> dict[int, tuple[FloatArray, Influence]]:
    """Labels -> (repeats,) differences of SRCC on one new dataset, and what images do to them."""
    rng = np.random.default_rng([setting.seed, trial])
    quality = rng.standard_normal(setting.images)
    # Features of both methods; the direction of quality is the same in effect (noise is round).
    shape = (2, setting.images, setting.features)
    features = setting.noise * rng.standard_normal(shape)
    features[:, :, 0] += quality
    order = np.array([rng.permutation(setting.images) for _ in range(setting.repeats)])
    test, left = order[:, : setting.tested], order[:, setting.tested :]
    found = {}
    for labels in setting.labels:
        first, second = (
            own[test, 0] if setting.fixed else _predictions(own, quality, left[:, :labels], test)
            for own in features
        )
        differences = _srcc(first, quality[test]) - _srcc(second, quality[test])
        one, two = (_influence(p, quality[test], test, setting.images) for p in (first, second))
        found[labels] = (differences, Influence(one - two, cluster_size=1.0))
    return found


def _predictions(
    features: FloatArray, quality: FloatArray, train: npt.NDArray[Any], test: npt.NDArray[Any]
) -> FloatArray:
    """(repeats, tested) of ridge regressions, split by split, on (repeats, n) training images."""
    x, y = features[train], quality[train][..., None]
    gram = x.transpose(0, 2, 1) @ x + np.eye(x.shape[2])
    weights = np.linalg.solve(gram, x.transpose(0, 2, 1) @ y)
    return np.asarray((features[test] @ weights)[..., 0])


def _srcc(prediction: FloatArray, quality: FloatArray) -> FloatArray:
    """SRCC row by row, of values without ties."""
    x, y = (v.argsort(axis=1).argsort(axis=1) - (v.shape[1] - 1) / 2 for v in (prediction, quality))
    return np.asarray((x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1)))


def _influence(
    prediction: FloatArray, quality: FloatArray, test: npt.NDArray[Any], images: int
) -> FloatArray:
    """What `bench.stats.image_influence` finds of SRCC on values without ties, without resampling.

    Rows are splits, `test` numbers their images among all `images`. SRCC is 12 times the covariance
    of both values' distribution functions F and G at the images; its derivative by the weight of an
    image has the image's own product, and what its weight does to F and G of all images above it.
    """
    n = prediction.shape[1]
    order = [v.argsort(axis=1) for v in (prediction, quality)]
    at = [(o.argsort(axis=1) + 0.5) / n - 0.5 for o in order]
    own = at[0] * at[1]
    for sorted_by, other in zip(order, reversed(at), strict=True):
        along = np.take_along_axis(other, sorted_by, axis=1)
        above = np.cumsum(along[:, ::-1], axis=1)[:, ::-1] - along / 2
        own = own + np.take_along_axis(above / n, sorted_by.argsort(axis=1), axis=1)
    found = np.zeros((len(test), images))
    np.put_along_axis(found, test, 12 * (own - own.mean(axis=1, keepdims=True)) / n, axis=1)
    return found


def _sizes(setting: TrainingSimulation, labels: int) -> SplitSizes:
    return SplitSizes(setting.images - setting.tested, setting.tested, labels)


def _p_values(
    setting: TrainingSimulation, labels: int, differences: FloatArray, influence: Influence
) -> dict[str, float]:
    sizes = _sizes(setting, labels)
    return {
        TESTS[0]: corrected_t(differences, sizes, influence).p_value,
        TESTS[1]: corrected_t(differences, sizes).p_value,
        TESTS[2]: wilcoxon_signed_rank(differences).p_value,
        TESTS[3]: paired_t(differences).p_value,
    }


def table(setting: TrainingSimulation, rates: dict[int, dict[str, float]]) -> str:
    """The rates as Markdown, for people."""
    head = ["labels", *TESTS]
    rows = [
        [str(labels), *(f"{rate:.3f}" for rate in row.values())] for labels, row in rates.items()
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---:"] * len(head), *rows)]
    error = math.sqrt(setting.alpha * (1 - setting.alpha) / setting.trials)
    return "\n".join(
        [
            *lines,
            "",
            f"False-positive rate at nominal {setting.alpha:g}; {setting.trials} trials, seed "
            f"{setting.seed}, {setting.images} images, {setting.tested} tested, "
            f"{setting.repeats} repeats; standard error of a rate of {setting.alpha:g}: "
            f"{error:.3f}.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table for the settings given on the command line."""
    default = TrainingSimulation()
    parser = command_line("simulate_training", __doc__)
    for name in ("trials", "seed", "images", "repeats"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    parser.add_argument("--labels", type=int, nargs="+", default=list(default.labels))
    parser.add_argument("--fixed", action="store_true", help="predictions that do not learn")
    given = parser.parse_args(arguments)
    given.labels = tuple(given.labels)
    setting = TrainingSimulation(**vars(given))
    print(table(setting, simulate(setting)))


if __name__ == "__main__":
    main()
