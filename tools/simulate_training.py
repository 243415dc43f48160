"""How often do tests find a difference between equally good methods that are trained per split?

    python -m tools.simulate_training --trials 2000 --labels 50 200 930 --seed 0

As `tools.simulate_intervals`, but both methods learn: each sees its own features of every image
(the quality in an unknown direction, plus noise) and fits a ridge regression to the labelled images
of each split. Both learn alike, so any "significant" difference is false. What it adds is training
sets: small ones hardly overlap from split to split, full ones almost wholly.

It also answers which number Nadeau and Bengio's n_train is under a label budget: all images that a
split does not test, or those with labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.stats.paired import nadeau_bengio, paired_t, wilcoxon_signed_rank
from tools import command_line

FloatArray = npt.NDArray[np.float64]
TESTS = ("n_train = all left", "n_train = labels", "Wilcoxon", "paired t")
"""Nadeau-Bengio with either number of training images, and what it is compared with."""


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
        for labels, differences in _trial(setting, trial).items():
            for test, p in _p_values(setting, labels, differences).items():
                rejected[labels][test] += p < setting.alpha
    return {
        labels: {test: count / setting.trials for test, count in row.items()}
        for labels, row in rejected.items()
    }


def _trial(setting: TrainingSimulation, trial: int) -> dict[int, FloatArray]:
    """Labels -> (repeats,) differences of SRCC on one new dataset."""
    rng = np.random.default_rng([setting.seed, trial])
    quality = rng.standard_normal(setting.images)
    # Features of both methods; the direction of quality is the same in effect (noise is round).
    shape = (2, setting.images, setting.features)
    features = setting.noise * rng.standard_normal(shape)
    features[:, :, 0] += quality
    found: dict[int, list[float]] = {labels: [] for labels in setting.labels}
    for _ in range(setting.repeats):
        order = rng.permutation(setting.images)
        test, pool = order[: setting.tested], order[setting.tested :]
        for labels in setting.labels:
            first, second = (_score(x, quality, pool[:labels], test) for x in features)
            found[labels].append(first - second)
    return {labels: np.array(values) for labels, values in found.items()}


def _score(
    features: FloatArray, quality: FloatArray, train: npt.NDArray[Any], test: npt.NDArray[Any]
) -> float:
    """SRCC on the test images of a ridge regression on the training images."""
    x, y = features[train], quality[train]
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
    ranks = [
        v.argsort().argsort() - (len(test) - 1) / 2
        for v in (features[test] @ weights, quality[test])
    ]
    return float(ranks[0] @ ranks[1] / math.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))


def _p_values(
    setting: TrainingSimulation, labels: int, differences: FloatArray
) -> dict[str, float]:
    left, tested = setting.images - setting.tested, setting.tested
    return {
        TESTS[0]: nadeau_bengio(differences, left, tested).p_value,
        TESTS[1]: nadeau_bengio(differences, labels, tested).p_value,
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
    given = parser.parse_args(arguments)
    given.labels = tuple(given.labels)
    setting = TrainingSimulation(**vars(given))
    print(table(setting, simulate(setting)))


if __name__ == "__main__":
    main()
