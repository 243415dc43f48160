"""How often do tests across datasets tell equally good methods apart?

    python -m tools.simulate_datasets --trials 2000

Each trial draws a score for every method on every dataset: the dataset's own difficulty plus noise
that is the same for all methods, so that any "significant" difference is false. "Any pair" is the
share of trials in which Wilcoxon's test with Holm's correction finds a pair, "diagram" that in
which a critical-difference diagram shows methods apart: Friedman first, then the pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.stats import critical_difference, friedman, wilcoxon_holm
from tools import command_line

ALPHA = 0.05
TESTS = ("Friedman", "any pair (Wilcoxon-Holm)", "diagram")
DESIGNS = ((7, 3), (10, 3), (20, 3), (12, 8), (20, 8))
"""Datasets and methods."""


def rates(datasets: int, methods: int, trials: int, seed: int) -> dict[str, float]:
    """Test -> share of trials in which it rejects at 0.05.

    >>> list(rates(6, 3, 2, 0)) == list(TESTS)
    True
    """
    rejected = dict.fromkeys(TESTS, 0)
    names = [f"m{number}" for number in range(methods)]
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial, datasets, methods])
        scores = 0.8 + 0.1 * rng.standard_normal((datasets, 1))
        scores = scores + 0.02 * rng.standard_normal((datasets, methods))
        shown = critical_difference(scores, names)
        one_group = len(shown.groups) == 1 and len(shown.groups[0].members) == methods
        rejected["Friedman"] += friedman(scores).p_value < ALPHA
        rejected[TESTS[1]] += bool((wilcoxon_holm(scores).p_holm < ALPHA).any())
        rejected["diagram"] += not one_group
    return {test: count / trials for test, count in rejected.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the rates as Markdown."""
    parser = command_line("simulate_datasets", __doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    print(f"| datasets | methods | {' | '.join(TESTS)} |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for datasets, methods in DESIGNS:
        found = rates(datasets, methods, given.trials, given.seed)
        cells = [str(datasets), str(methods), *(f"{rate:.3f}" for rate in found.values())]
        print(f"| {' | '.join(cells)} |", flush=True)
    error = math.sqrt(ALPHA * (1 - ALPHA) / given.trials)
    print(f"\n{given.trials} trials, seed {given.seed}; standard error of 0.05: {error:.3f}.")


if __name__ == "__main__":
    main()
