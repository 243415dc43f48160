"""How often does each test find a difference between two equally good methods?

    python -m tools.simulate_intervals --trials 2000 --seed 0

Each trial draws a new dataset: a quality for every image and two methods' predictions, each the
quality plus its own noise, so that both have one SRCC in the population and any "significant"
difference is false. Predictions are fixed, which isolates what overlapping test splits do to a
test. The dataset is split 80/20 at random again and again, and both methods are scored on the same
test parts, as a benchmark does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.stats.bootstrap import image_difference, side
from bench.stats.median import median_interval
from bench.stats.paired import corrected_t, paired_t, wilcoxon_signed_rank
from bench.stats.split_covariance import SplitSizes
from tools import command_line

FloatArray = npt.NDArray[np.float64]
TESTS = ("Nadeau-Bengio", "Wilcoxon", "paired t", "check: worse")
TOLERANCE = 0.005
"""What `bench check` accepts by default."""


@dataclass(frozen=True)
class Simulation:
    """What is simulated; the defaults are LIVEC's size and a method of SRCC 0.79."""

    trials: int = 2000
    seed: int = 0
    images: int = 1162
    test_share: float = 0.2
    repeats: tuple[int, ...] = (10, 20, 100)
    correlation: float = 0.8
    alpha: float = 0.05
    bootstrap_resamples: int = 400


@dataclass(frozen=True)
class Rates:
    """Shares of trials; `false_positive` by test, `covered` for the median's 95 % interval."""

    false_positive: dict[int, dict[str, float]]
    covered: dict[int, float]
    bootstrap: float


def simulate(setting: Simulation) -> Rates:
    """The false-positive rate of each test for each number of repeats, over all trials.

    >>> rates = simulate(Simulation(trials=3, images=100, repeats=(5,), bootstrap_resamples=50))
    >>> sorted(rates.false_positive[5])
    ['Nadeau-Bengio', 'Wilcoxon', 'check: worse', 'paired t']
    """
    rejected = {k: dict.fromkeys(TESTS, 0) for k in setting.repeats}
    covered = dict.fromkeys(setting.repeats, 0)
    by_image = 0
    # Spearman's rho of a bivariate normal with Pearson correlation r (Pearson 1907).
    truth = 6 / math.pi * math.asin(setting.correlation / 2)
    for trial, (quality, first, second) in enumerate(_datasets(setting)):
        a, b = _over_splits(setting, trial, quality, first, second)
        for k in setting.repeats:
            for test, p in _p_values(setting, (a - b)[:k]).items():
                rejected[k][test] += p < setting.alpha
            interval = median_interval(a[:k])
            covered[k] += interval.low <= truth <= interval.high
        difference = image_difference(
            [side(first, quality)],
            [side(second, quality)],
            resamples=setting.bootstrap_resamples,
            seed=trial,
        )
        by_image += not difference.low <= 0 <= difference.high
    return Rates(
        {k: {test: n / setting.trials for test, n in row.items()} for k, row in rejected.items()},
        {k: n / setting.trials for k, n in covered.items()},
        by_image / setting.trials,
    )


def _p_values(setting: Simulation, differences: FloatArray) -> dict[str, float]:
    n_train, n_test = _sizes(setting)
    test = corrected_t(differences, SplitSizes(n_train, n_test))
    return {
        "Nadeau-Bengio": test.p_value,
        "Wilcoxon": wilcoxon_signed_rank(differences).p_value,
        "paired t": paired_t(differences).p_value,
        # A verdict, not a test: significantly worse, and by more than the tolerance.
        "check: worse": 0.0 if test.high < 0 and test.mean < -TOLERANCE else 1.0,
    }


def _sizes(setting: Simulation) -> tuple[int, int]:
    n_test = round(setting.images * setting.test_share)
    return setting.images - n_test, n_test


def _datasets(setting: Simulation) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    noise = math.sqrt(1 - setting.correlation**2)
    for trial in range(setting.trials):
        rng = np.random.default_rng([setting.seed, trial, 0])
        quality, *errors = rng.standard_normal((3, setting.images))
        first, second = (setting.correlation * quality + noise * error for error in errors)
        yield quality, first, second


def _over_splits(setting: Simulation, trial: int, *columns: FloatArray) -> tuple[FloatArray, ...]:
    """SRCC of each method on each random test part: two arrays of (repeats,)."""
    rng = np.random.default_rng([setting.seed, trial, 1])
    n_test = _sizes(setting)[1]
    # The first n_test places of a random order are a random test part without replacement.
    order = rng.random((max(setting.repeats), setting.images)).argsort(axis=1)[:, :n_test]
    quality, *methods = (_ranks(column[order]) for column in columns)
    return tuple(_row_correlation(method, quality) for method in methods)


def _ranks(rows: FloatArray) -> FloatArray:
    # Continuous values have no ties, so a double argsort is the ranks.
    ranks = rows.argsort(axis=1).argsort(axis=1).astype(np.float64)
    return np.asarray(ranks - (rows.shape[1] - 1) / 2)


def _row_correlation(x: FloatArray, y: FloatArray) -> FloatArray:
    power = (x * x).sum(axis=1) * (y * y).sum(axis=1)
    return np.asarray((x * y).sum(axis=1) / np.sqrt(power))


def table(setting: Simulation, rates: Rates) -> str:
    """The rates as Markdown, for people."""
    head = ["repeats", *TESTS, "median's interval holds the true SRCC"]
    lines = [_row(head), _row(["---:"] * len(head))]
    for k in setting.repeats:
        cells = [f"{rates.false_positive[k][test]:.3f}" for test in TESTS]
        lines.append(_row([str(k), *cells, f"{rates.covered[k]:.3f}"]))
    n_train, n_test = _sizes(setting)
    error = math.sqrt(setting.alpha * (1 - setting.alpha) / setting.trials)
    return "\n".join(
        [
            *lines,
            "",
            f"False-positive rate at nominal {setting.alpha:g}; {setting.trials} trials, seed "
            f"{setting.seed}, {setting.images} images, {n_train} training and {n_test} test; "
            f"standard error of a rate of {setting.alpha:g}: {error:.3f}.",
            f"Paired bootstrap over all {setting.images} images "
            f"({setting.bootstrap_resamples} resamples, no splits): {rates.bootstrap:.3f}.",
        ]
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table for the settings given on the command line."""
    default = Simulation()
    parser = command_line("simulate_intervals", __doc__)
    parser.add_argument("--trials", type=int, default=default.trials)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--images", type=int, default=default.images)
    parser.add_argument("--correlation", type=float, default=default.correlation)
    parser.add_argument("--repeats", type=int, nargs="+", default=list(default.repeats))
    given = parser.parse_args(arguments)
    given.repeats = tuple(given.repeats)
    setting = Simulation(**vars(given))
    print(table(setting, simulate(setting)))


if __name__ == "__main__":
    main()
