"""How often does an interval over images hold the truth, and how often do tests of errors err?

    python -m tools.simulate_images --trials 400

First table: each trial draws a new database, with or without groups of images of one content, and
the predictions of one method; the interval of the median over random 80/20 splits should hold the
SRCC of the population in 95 % of trials. "As single images" is what ignoring the groups would give.
Second table: two equally good methods whose errors correlate; the share of trials in which a test
calls them different at 0.05.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

from bench.metrics import srcc
from bench.metrics.krasula import krasula_difference
from bench.metrics.p1401 import epsilon_errors
from bench.stats import Side, image_interval, image_replicates, side, suite_difference
from bench.stats.dependent import outlier_ratios, pitman_morgan, squared_errors
from tools import command_line

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """A population of databases."""

    title: str
    contents: int
    each: int
    """Images of one content."""
    splits: int
    shared: float
    """Share of the variance of quality and of errors that images of one content share."""

    def draw(self, rng: np.random.Generator, contents: int) -> tuple[FloatArray, FloatArray]:
        """Quality and predictions, content by content."""
        found = []
        for _ in range(2):
            common = np.repeat(rng.standard_normal(contents), self.each)
            own = rng.standard_normal(contents * self.each)
            found.append(math.sqrt(self.shared) * common + math.sqrt(1 - self.shared) * own)
        quality, error = found
        return quality, quality + 0.75 * error


WORLDS = (
    World("586 images, one split of 117", 586, 1, 1, 0.0),
    World("586 images, 10 splits", 586, 1, 10, 0.0),
    World("1,162 images, 10 splits", 1162, 1, 10, 0.0),
    World("25 references x 24, 10 splits", 25, 24, 10, 0.5),
    World("81 references x 12, 10 splits", 81, 12, 10, 0.5),
    World("300 prompts x 4, 10 splits", 300, 4, 10, 0.3),
)


def coverage(world: World, trials: int, resamples: int, seed: int) -> tuple[float, float]:
    """Share of trials in which the interval holds the truth: by groups, and as single images."""
    truth = _truth(world)
    held = [0, 0]
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        quality, prediction = world.draw(rng, world.contents)
        sides = _splits(world, quality, prediction, rng)
        for at, chosen in enumerate(sides):
            found = image_interval(chosen, resamples=resamples, seed=trial)
            held[at] += found.low <= truth <= found.high
    return held[0] / trials, held[1] / trials


@cache
def _truth(world: World) -> float:
    """SRCC in the population."""
    rng = np.random.default_rng(12345)
    return srcc(*world.draw(rng, max(400_000 // world.each, 2000)))


def _splits(
    world: World, quality: FloatArray, prediction: FloatArray, rng: np.random.Generator
) -> tuple[list[Side], list[Side]]:
    """Random test parts of whole contents, clustered by content and by image."""
    content = np.repeat(np.arange(world.contents), world.each)
    grouped, single = [], []
    for _ in range(world.splits):
        tested = rng.permutation(world.contents)[: round(0.2 * world.contents)]
        rows = np.flatnonzero(np.isin(content, tested))
        grouped.append(side(prediction[rows], quality[rows], content[rows]))
        single.append(side(prediction[rows], quality[rows], rows))
    return grouped, single


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
    ratio = float(residuals[0] @ residuals[0]) / float(residuals[1] @ residuals[1])
    areas = krasula_difference(first[:120], second[:120], mos[:120], std[:120], raters[:120])
    z, exact = outlier_ratios(beyond[0] > 0, beyond[1] > 0)
    return {
        "RMSE: F test (P.1401)": 2 * min(_f(ratio, images), _f(1 / ratio, images)),
        "RMSE: Pitman-Morgan": pitman_morgan(*residuals).p_value,
        "RMSE*: squared errors": squared_errors(*beyond).p_value,
        "OR: z (P.1401)": z.p_value,
        "OR: McNemar": exact.p_value,
        "AUC different/similar, 120 images": areas[0].p_value,
        "AUC better/worse, 120 images": areas[1].p_value,
    }


def _f(ratio: float, images: int) -> float:
    return float(scipy_stats.f.sf(ratio, images, images))


def suite(trials: int, seed: int, resamples: int = 200) -> float:
    """Share of trials in which two equally good methods differ over a suite of six sets."""
    rejected = 0
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial, 2])
        differences = []
        for number, images in enumerate((117, 173, 232, 160, 120, 300)):
            quality = rng.standard_normal(images)
            one, two = (
                image_replicates(
                    [side(quality + rng.standard_normal(images), quality)],
                    "srcc",
                    resamples=resamples,
                    seed=trial * 10 + number,
                )
                for _ in range(2)
            )
            differences.append(one.minus(two))
        found = suite_difference(differences, seed=trial).over_images
        rejected += not found.low <= 0 <= found.high
    return rejected / trials


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = command_line("simulate_images", __doc__)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    print("| database | interval over images holds the truth | as single images |")
    print("| --- | ---: | ---: |")
    for world in WORLDS:
        grouped, single = coverage(world, given.trials, given.resamples, given.seed)
        print(f"| {world.title} | {grouped:.3f} | {single:.3f} |", flush=True)
    print("\n| test | false positives, 232 images |\n| --- | ---: |")
    for name, rate in false_positives(given.trials * 2, 232, given.seed).items():
        print(f"| {name} | {rate:.3f} |")
    print(f"| suite of six sets, over images | {suite(given.trials, given.seed):.3f} |")
    error = math.sqrt(0.05 * 0.95 / given.trials)
    print(f"\n{given.trials} trials (tests: twice that), seed {given.seed}; error {error:.3f}.")


if __name__ == "__main__":
    main()
