"""How often does an interval over images hold the truth, and how often do tests of errors err?

    python -m tools.simulate_images --trials 800

First table: each trial draws a new database, with or without groups of images of one content, and
the predictions of one method; the interval of the median over random 80/20 splits should hold the
SRCC of the population in 95 % of trials. "Expected" is what a test set of that size has on average,
which for few images is less (Moran 1948): that is what a table shows, and what small test sets can
be compared by. "No interval" are trials without one, which count neither
way; "as single images" is what ignoring the groups would give. Second table: two equally good
methods whose errors correlate; the share of trials in which a test calls them different at 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bench.metrics.correlation import root_mean_square
from bench.metrics.krasula import krasula_difference
from bench.metrics.p1401 import epsilon_errors
from bench.stats import (
    BootstrapInterval,
    Side,
    image_difference,
    image_interval,
    image_replicates,
    side,
    suite_difference,
)
from bench.stats.dependent import outlier_ratios, pitman_morgan, squared_errors
from bench.stats.p1401 import correlations, rmse_ratio
from tools import command_line

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """A population of databases."""

    contents: int
    each: int = 1
    """Images of one content."""
    splits: int = 10
    """Random splits, a fifth of the contents tested in each; 0: all images are one test set."""
    srcc: float = 0.8
    shared: float = 0.5
    """Share of the variance of quality and of errors that images of one content share."""

    @property
    def title(self) -> str:
        """What the database is, for a table."""
        what = f"{self.contents:,} images" if self.each == 1 else ""
        what = what or f"{self.contents} references x {self.each}"
        sets = f"{self.splits} splits" if self.splits > 1 else "one split"
        return f"{what}, {sets if self.splits else 'all tested'}"

    @property
    def pearson(self) -> float:
        """Of a bivariate normal with this Spearman's rho (Pearson 1907)."""
        return 2 * math.sin(math.pi * self.srcc / 6)

    @property
    def expected(self) -> float:
        """The mean SRCC of test sets of this size (Moran, Biometrika 35, 1948); NaN with groups."""
        if self.each > 1:
            return math.nan
        n = round(0.2 * self.contents) if self.splits else self.contents
        r = self.pearson
        return 6 / (math.pi * (n + 1)) * (math.asin(r) + (n - 2) * math.asin(r / 2))

    def draw(self, rng: np.random.Generator, methods: int = 1) -> FloatArray:
        """Quality and each method's predictions, (1 + methods, n), content by content."""
        shape = (1 + methods, self.contents)
        common = np.repeat(rng.standard_normal(shape), self.each, axis=1)
        own = rng.standard_normal((1 + methods, self.contents * self.each))
        shared = self.shared if self.each > 1 else 0.0
        found = math.sqrt(shared) * common + math.sqrt(1 - shared) * own
        noise = math.sqrt(1 - self.pearson**2)
        return np.concatenate([found[:1], self.pearson * found[:1] + noise * found[1:]])

    def tested(self, rng: np.random.Generator) -> list[npt.NDArray[np.intp]]:
        """The test images of each split: whole contents."""
        content = self.content
        if not self.splits:
            return [np.arange(content.size)]
        count = round(0.2 * self.contents)
        parts = (rng.permutation(self.contents)[:count] for _ in range(self.splits))
        return [np.flatnonzero(np.isin(content, part)) for part in parts]

    @property
    def content(self) -> npt.NDArray[np.intp]:
        """(n,) the content of each image."""
        return np.repeat(np.arange(self.contents), self.each)


HEAD = (
    "| database | SRCC | holds the truth | expected | as single images | no interval "
    "| two methods differ |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)
SMALL = tuple(World(n, splits=0) for n in (50, 100, 200, 500, 2000))
SPLIT = (World(586, splits=1), World(586), World(1162))
GROUPED = (
    *(World(contents, 24) for contents in (15, 20, 25)),
    World(25, 24, splits=3),
    *(World(30, 29, splits=splits) for splits in (0, 10)),
    World(60, 12),
    World(81, 12),
    World(300, 4, shared=0.3),
)
EXTREMES = tuple(
    replace(world, srcc=srcc) for srcc in (0.5, 0.95) for world in (SMALL[0], SPLIT[1], GROUPED[2])
)
WORLDS = (*SMALL, *SPLIT, *GROUPED, *EXTREMES)


@dataclass(frozen=True)
class Coverage:
    """Shares of trials."""

    held: float
    """In which an interval holds the truth, of those with one."""
    expected: float
    """In which it holds the mean SRCC of test sets of that size; NaN with groups."""
    without: float
    """That have no interval."""
    single: float
    """In which an interval that ignores the groups holds it; NaN where there are no groups."""
    different: float
    """In which two equally good methods differ by their paired interval."""


def coverage(world: World, trials: int, resamples: int, seed: int) -> Coverage:
    """How often intervals of databases of a kind hold the SRCC of the population.

    >>> found = coverage(World(40, splits=2), trials=2, resamples=50, seed=0)
    >>> 0 <= found.held <= 1, found.without
    (True, 0.0)
    """
    intervals: list[BootstrapInterval] = []
    single: list[BootstrapInterval] = []
    differences: list[BootstrapInterval] = []
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        quality, *methods = world.draw(rng, 2)
        parts = world.tested(rng)

        def sides(
            codes: npt.NDArray[np.intp],
            prediction: FloatArray,
            quality: FloatArray = quality,
            parts: Sequence[npt.NDArray[np.intp]] = parts,
        ) -> list[Side]:
            return [side(prediction[rows], quality[rows], codes[rows]) for rows in parts]

        first, second = (sides(world.content, one) for one in methods)
        intervals.append(image_interval(first, resamples=resamples, seed=trial))
        differences.append(image_difference(first, second, resamples=resamples, seed=trial))
        if world.each > 1:
            alone = sides(np.arange(quality.size), methods[0])
            single.append(image_interval(alone, resamples=resamples, seed=trial))
    without = sum(bool(one.reason) for one in intervals) / trials
    return Coverage(
        held=_held(intervals, world.srcc),
        expected=_held(intervals, world.expected),
        without=without,
        single=_held(single, world.srcc),
        different=1 - _held(differences, 0),
    )


def _held(intervals: Sequence[BootstrapInterval], truth: float) -> float:
    there = [one for one in intervals if not one.reason and not math.isnan(truth)]
    return sum(one.low <= truth <= one.high for one in there) / len(there) if there else math.nan


def false_positives(trials: int, images: int, seed: int) -> dict[str, float]:
    """Test -> share of trials in which it tells two equally good methods apart at 0.05.

    >>> all(0 <= rate <= 1 for rate in false_positives(3, 40, 0).values())
    True
    """
    found: dict[str, int] = {}
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial, 1])
        for name, p in _p_values(rng, images).items():
            found[name] = found.get(name, 0) + (p < 0.05)
    return {name: count / trials for name, count in found.items()}


def _p_values(rng: np.random.Generator, images: int) -> dict[str, float]:
    quality = rng.uniform(1.5, 4.5, images)
    shared, own, other = 0.35 * rng.standard_normal((3, images))
    first, second = (quality + shared + error for error in (own, other))
    raters, std = np.full(images, 20.0), np.full(images, 0.7)
    mos = quality + rng.normal(0, 0.7 / math.sqrt(20), images)
    residuals = [mos - x for x in (first, second)]
    beyond = [epsilon_errors(x, mos, std, raters) for x in (first, second)]
    errors = [root_mean_square(one) for one in residuals]
    insensitive = [root_mean_square(one) for one in beyond]
    linear = [float(np.corrcoef(x, mos)[0, 1]) for x in (first, second)]
    areas = krasula_difference(first[:120], second[:120], mos[:120], std[:120], raters[:120])
    z, exact = outlier_ratios(beyond[0] > 0, beyond[1] > 0)
    return {
        # Predictions are on the scale of the scores: no mapping has taken a degree of freedom.
        "RMSE: F test (P.1401)": rmse_ratio(errors[0], errors[1], images, 0).p_value,
        "RMSE: Pitman-Morgan": pitman_morgan(*residuals).p_value,
        "RMSE*: F test (P.1401)": rmse_ratio(insensitive[0], insensitive[1], images, 0).p_value,
        "RMSE*: squared errors": squared_errors(*beyond).p_value,
        "OR: z (P.1401)": z.p_value,
        "OR: McNemar": exact.p_value,
        "PLCC: Fisher's z (P.1401)": correlations(linear[0], linear[1], images).p_value,
        "AUC different/similar, 120 images": areas[0].p_value,
        "AUC better/worse, 120 images": areas[1].p_value,
    }


SUITE = (117, 173, 232, 160, 120, 300)
"""Test images of the sets of a suite."""


def suite(trials: int, seed: int, resamples: int = 200, spread: float = 0.0) -> tuple[float, float]:
    """Shares of trials in which two equally good methods differ over a suite of six sets: by the
    interval for new images of these sets, and by that for other sets of their kind.

    With a `spread` methods suit some sets more than others: the deviation of the logarithm of their
    errors from set to set. They are then equally good over sets of the kind, but not on these six,
    and only the second interval asks about the former.
    """
    rejected = [0, 0]
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial, 2])
        differences = []
        for number, images in enumerate(SUITE):
            quality = rng.standard_normal(images)
            noise = np.exp(spread * rng.standard_normal(2))
            one, two = (
                image_replicates(
                    [side(quality + scale * rng.standard_normal(images), quality)],
                    "srcc",
                    resamples=resamples,
                    seed=trial * 10 + number,
                )
                for scale in noise
            )
            differences.append(one.minus(two))
        found = suite_difference(differences, seed=trial)
        for at, interval in enumerate((found.over_images, found.over_sets)):
            rejected[at] += not interval.low <= 0 <= interval.high
    return rejected[0] / trials, rejected[1] / trials


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = command_line("simulate_images", __doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--tests", action="store_true", help="only the tests of errors")
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    print(HEAD)
    for world in WORLDS if not given.tests else ():
        found = coverage(world, given.trials, given.resamples, given.seed)
        shares = (found.held, found.expected, found.single, found.without, found.different)
        cells = ("" if math.isnan(share) else f"{share:.3f}" for share in shares)
        print(f"| {world.title} | {world.srcc:g} | {' | '.join(cells)} |", flush=True)
    print("\n| test | false positives, 232 images |\n| --- | ---: |")
    for name, rate in false_positives(given.trials * 2, 232, given.seed).items():
        print(f"| {name} | {rate:.3f} |")
    print(f"| suite of six sets, over images | {suite(given.trials, given.seed)[0]:.3f} |")
    other = suite(given.trials, given.seed, spread=0.15)[1]
    print(f"| suite of six sets that differ, over sets | {other:.3f} |")
    error = math.sqrt(0.05 * 0.95 / given.trials)
    print(f"\n{given.trials} trials (tests: twice that), seed {given.seed}; error {error:.3f}.")


if __name__ == "__main__":
    main()
