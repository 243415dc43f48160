"""How long intervals over images take.

    python -m tools.image_interval_speed --cells 100

Prints the seconds for one test set of 2,000 images, and for all cells of a report: ten splits of
232 images each (LIVEC's size), with SRCC, PLCC and KRCC.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from bench.stats import Side, image_interval, numbered, side
from tools import command_line


def timings(cells: int, resamples: int) -> dict[str, float]:
    """What was measured -> seconds.

    >>> sorted(timings(1, 10))
    ['1 cells of 10 splits, 3 metrics', '2,000 images, SRCC']
    """
    rng = np.random.default_rng(0)
    quality = rng.normal(size=2000)
    one = [side(quality + rng.normal(size=2000), quality)]
    image_interval(one, resamples=10)  # imports scipy, which takes longer than the interval
    start = time.perf_counter()
    image_interval(one, resamples=resamples)
    single = time.perf_counter() - start
    splits = [_cell(rng) for _ in range(cells)]
    start = time.perf_counter()
    for sides in splits:
        for metric in ("srcc", "plcc", "krcc"):
            image_interval(sides, metric, resamples=resamples)
    every = time.perf_counter() - start
    return {"2,000 images, SRCC": single, f"{cells} cells of 10 splits, 3 metrics": every}


def _cell(rng: np.random.Generator) -> list[Side]:
    quality = rng.normal(size=1162)
    prediction = quality + rng.normal(size=1162)
    splits = [rng.permutation(1162)[:232] for _ in range(10)]
    codes = numbered([[f"{row}.png" for row in rows] for rows in splits])
    return [
        side(prediction[rows], quality[rows], code)
        for rows, code in zip(splits, codes, strict=True)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the seconds."""
    parser = command_line("image_interval_speed", __doc__)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--resamples", type=int, default=1000)
    given = parser.parse_args(arguments)
    for what, seconds in timings(given.cells, given.resamples).items():
        print(f"{what}, {given.resamples:,} resamples: {seconds:.2f} s")


if __name__ == "__main__":
    main()
