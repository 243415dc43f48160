"""From comparisons to scores: the model of Bradley and Terry (1952) with a normal prior.

P(i better than j) = 1 / (1 + exp(s_j - s_i)). Outcomes are probabilities, and count as that share
of a win. Scores maximise the posterior, as in Compare2Score (arXiv 2405.19298), which takes
Thurstone's model in place of this one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

STEPS = 100
CLOSE = 1e-10


def scale(wins: Array, prior: float = 1.0) -> Array:
    """Scores of n items that were compared with each other, (n,), mean 0.

    `wins[i, j]` is the probability in 0-1 that i is better than j, NaN where they were not
    compared. `prior` is the standard deviation of scores in logits. ValueError for another shape.
    """
    if wins.ndim != 2 or wins.shape[0] != wins.shape[1]:
        raise ValueError(f"wins must be square, not {wins.shape}")
    known = ~np.isnan(wins)
    share = np.where(known, wins, 0.0)
    scores = np.zeros(len(wins))
    for _ in range(STEPS):
        chance = _chance(scores[:, None] - scores[None, :])
        # An item's pairs stand in its row, and turned round in its column.
        gain = np.where(known, share - chance, 0.0)
        slope = np.where(known, chance * (1 - chance), 0.0)
        gradient = gain.sum(1) - gain.sum(0) - scores / prior**2
        both = slope + slope.T
        hessian = np.diag(both.sum(1) + prior**-2) - both
        step = np.linalg.solve(hessian, gradient)
        scores = scores + step
        if np.abs(step).max(initial=0) < CLOSE:
            break
    return np.asarray(scores - scores.mean() if len(scores) else scores)


def place(wins: Array, anchors: Array, prior: float = 1.0) -> float:
    """The score of one item against anchors whose scores are known.

    `wins` (m,) is the probability in 0-1 that it is better than each anchor; `anchors` (m,) their
    scores in logits.
    """
    score = 0.0
    for _ in range(STEPS):
        chance = _chance(score - anchors)
        gradient = float((wins - chance).sum()) - score / prior**2
        step = gradient / (float((chance * (1 - chance)).sum()) + prior**-2)
        score += float(np.clip(step, -2.0, 2.0))  # Newton overshoots where all chances are near 1
        if abs(step) < CLOSE:
            break
    return score


def _chance(differences: Array) -> Array:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(differences / 2)))
