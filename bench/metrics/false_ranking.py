"""Decisions on pairs: how often does a metric rank two images against a subjective test?

M. H. Pinson, "Confidence Intervals for Subjective Tests and Objective Metrics That Assess Image,
Video, Speech, or Audiovisual Quality", NTIA Technical Report TR-21-550, 2020, and NTIA's
NRMetricFramework (`ci_calc`). A subjective test with the usual number of viewers ranks two images
whose scores differ by more than half a level of a five-level scale. The constants come from
lab-to-lab comparisons on that scale, with scores that are plain means: they hold for no other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.metrics.inputs import finite_pair
from bench.metrics.known import Known

DIFFERENT = 0.5
"""Difference of two scores from 1 to 5 above which a subjective test ranks the images."""
VIEWERS = ((0.0325, 12), (0.0395, 9), (0.056, 6), (0.0765, 3), (0.0995, 2), (0.1285, 1))
"""Largest false-ranking rate -> viewers of an ad-hoc test with that rate, without statistics."""


def false_ranking_rate(
    prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known | None = None
) -> float:
    """Share of all pairs that the subjective test ranks and the predictions rank the other way.

    In [0, 1], lower is better. Quality is on five levels, from 1 to 5; equal predictions rank
    nothing. A constant prediction has 0, which its correlations tell apart. Raises as `srcc`.

    >>> round(false_ranking_rate([1, 3, 2, 4], [1.0, 2.0, 3.0, 4.0]), 4)  # one pair of six
    0.1667
    """
    predicted, human = finite_pair(prediction, quality)
    false = 0
    # A row at a time: matrices of all pairs of 10,000 images would take gigabytes.
    for row in range(predicted.size - 1):
        gap = human[row] - human[row + 1 :]
        delta = predicted[row] - predicted[row + 1 :]
        ranked = np.abs(gap) > DIFFERENT
        false += int(np.count_nonzero(ranked & (delta * np.sign(gap) < 0)))
    return false / (predicted.size * (predicted.size - 1) / 2)


def equivalent_viewers(
    prediction: npt.ArrayLike, quality: npt.ArrayLike, known: Known | None = None
) -> float:
    """Viewers of an ad-hoc test that ranks as falsely: 12, 9, 6, 3, 2, 1, or 0 for more falsely
    than a single viewer. Higher is better; 12 means 12 or more. NaN for a constant prediction.

    >>> equivalent_viewers([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])
    12.0
    """
    predicted, human = finite_pair(prediction, quality)
    if np.ptp(predicted) == 0:
        return float("nan")
    rate = false_ranking_rate(predicted, human)
    return float(next((viewers for largest, viewers in VIEWERS if rate <= largest), 0))
