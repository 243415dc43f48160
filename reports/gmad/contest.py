"""One gMAD competition of stored predictions, and everything that its outputs say about it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.analysis.gmad import ImagePair, Match, compete, default_tolerance, judge
from bench.analysis.gmad_pools import Scores
from bench.protocol import GmadEntry
from bench.util.errors import UsageError

SCHEMA = 1


@dataclass(frozen=True)
class Contest:
    """Methods against each other on one pool."""

    scores: Scores
    settings: GmadEntry
    matches: tuple[Match, ...]
    tolerance: float | None
    """Difference of labels that still counts as equal; None without labels."""


def hold(
    scores: Scores,
    settings: GmadEntry,
    roles: Sequence[tuple[str, str]] | None = None,
    tolerance: float | None = None,
) -> Contest:
    """Let methods compete; `roles` are (attacker, defender), by default every ordered pair.

    Raises `UsageError` for fewer than two methods, and for a tolerance without labels or below 0.
    """
    if len(scores.scores) < 2:
        raise UsageError("gMAD needs two methods with predictions on one pool of images")
    if tolerance is not None and scores.quality is None:
        raise UsageError(f"--tolerance: {scores.pool.test} has no labels to judge by")
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise UsageError(f"--tolerance is {tolerance:g}, must be a finite number of at least 0")
    matches = compete(
        scores.scores, roles, levels=settings.levels, top=settings.pairs, spacing=settings.spacing
    )
    if tolerance is None and scores.quality is not None:
        tolerance = default_tolerance(scores.quality, settings.levels)
    return Contest(scores, settings, tuple(matches), tolerance)


def document(contest: Contest) -> dict[str, Any]:
    """The competition as plain JSON; levels and ranks count from 1, level 1 is the worst."""
    scores, pool = contest.scores, contest.scores.pool
    return {
        "schema_version": SCHEMA,
        "protocol": pool.protocol.name,
        "train": pool.train,
        "trainings": list(pool.trainings),
        "test": pool.test,
        "budget": pool.budget,
        "selection": pool.selection,
        "repeat": scores.repeat,
        "images": len(scores.images),
        "labelled": scores.quality is not None,
        "levels": contest.settings.levels,
        "pairs_per_level": contest.settings.pairs,
        "spacing": contest.settings.spacing,
        "tolerance": contest.tolerance,
        "methods": [
            {
                "label": label,
                "method": scores.runs[label]["method"],
                "run_id": scores.runs[label]["run_id"],
                "lowest": float(values.min()),
                "highest": float(values.max()),
            }
            for label, values in scores.scores.items()
        ],
        "matches": [_match(contest, match) for match in contest.matches],
        "tally": _tally(contest),
    }


def images_of(found: dict[str, Any], ends: bool) -> list[str]:
    """Names of the images that pairs of a document show, each once; `ends`: at the ends alone."""
    return list(
        dict.fromkeys(
            pair[side]["image"]
            for match in found["matches"]
            for level in match["levels"]
            if not ends or level["level"] in match["ends"]
            for pair in level["pairs"]
            for side in ("best", "worst")
        )
    )


def _match(contest: Contest, match: Match) -> dict[str, Any]:
    pairs: dict[int, list[dict[str, Any]]] = {}
    for pair in match.pairs:
        pairs.setdefault(pair.level, []).append(_pair(contest, match, pair))
    return {
        "attacker": match.attacker,
        "defender": match.defender,
        "ends": [level + 1 for level in match.ends()],
        "levels": [
            {
                "level": level + 1,
                "low": match.edges[level],
                "high": match.edges[level + 1],
                "images": match.sizes[level],
                "pairs": pairs.get(level, []),
            }
            for level in range(contest.settings.levels)
        ],
    }


def _pair(contest: Contest, match: Match, pair: ImagePair) -> dict[str, Any]:
    quality = contest.scores.quality
    found: dict[str, Any] = {
        "rank": pair.rank + 1,
        "gap": pair.gap,
        "gap_share": pair.gap / _range(contest, match.attacker),
        "held": pair.held,
        "held_share": abs(pair.held) / (_range(contest, match.defender) or 1.0),
        "best": _image(contest, match, pair.best),
        "worst": _image(contest, match, pair.worst),
    }
    if quality is not None and contest.tolerance is not None:
        found["difference"] = float(quality[pair.best] - quality[pair.worst])
        found["right"] = judge(pair, quality, contest.tolerance)
    return found


def _image(contest: Contest, match: Match, index: int) -> dict[str, Any]:
    scores = contest.scores
    found: dict[str, Any] = {
        "image": scores.images[index],
        "attacker": float(scores.scores[match.attacker][index]),
        "defender": float(scores.scores[match.defender][index]),
    }
    if scores.quality is not None:
        found["quality"] = float(scores.quality[index])
    return found


def _range(contest: Contest, label: str) -> float:
    """Width of a method's scores over the pool; a pair exists only where it is above 0."""
    return float(np.ptp(contest.scores.scores[label]))


def _tally(contest: Contest) -> list[dict[str, Any]]:
    """With labels: how often each method was right, attacking and defending."""
    quality, tolerance = contest.scores.quality, contest.tolerance
    if quality is None or tolerance is None:
        return []
    counts: Counter[tuple[str, str]] = Counter()
    for match in contest.matches:
        for pair in match.pairs:
            right = judge(pair, quality, tolerance)
            counts[match.attacker, "attacks"] += 1
            counts[match.attacker, "attacks_right"] += right == "attacker"
            counts[match.defender, "defences"] += 1
            counts[match.defender, "defences_right"] += right == "defender"
    keys = ("attacks", "attacks_right", "defences", "defences_right")
    return [
        {"label": label, **{key: counts[label, key] for key in keys}}
        for label in contest.scores.scores
    ]
