"""The observer model: masking, combination, raters, and its ceiling."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr

from bench.data.demo import DEMO_SETS
from bench.data.demo.distortions import DISTORTIONS
from bench.data.demo.noise import generator
from bench.data.demo.observer import (
    CEILING_SRCC,
    POOL_SIZE,
    Content,
    impairment,
    latent_quality,
    measure,
    rate,
    visibility,
)
from bench.data.demo.render import samples

_SMOOTH = Content(smoothness=0.95, detail=0.1, brightness=0.5, colourfulness=0.5, contrast=0.5)
_BUSY = Content(smoothness=0.3, detail=0.7, brightness=0.5, colourfulness=0.5, contrast=0.5)


def test_texture_hides_noise_and_shows_blur() -> None:
    assert visibility("white_noise", _SMOOTH) > visibility("white_noise", _BUSY)
    assert visibility("gaussian_blur", _SMOOTH) < visibility("gaussian_blur", _BUSY)


def test_measures_tell_flat_from_busy() -> None:
    flat = measure(np.full((64, 64, 3), 0.5))
    busy = measure(generator("busy").random((64, 64, 3)))
    assert flat.smoothness > busy.smoothness
    assert flat.detail < busy.detail


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_quality_falls_with_severity(kind: str) -> None:
    qualities = [latent_quality([(kind, s)], _BUSY, False) for s in np.linspace(0, 5, 11)]
    assert qualities[0] == 5.0
    assert all(a > b for a, b in pairwise(qualities))
    assert qualities[-1] >= 1.0


def test_distortions_add_up_and_the_strongest_dominates() -> None:
    strong, weak = ("jpeg", 4.0), ("haze", 1.0)
    both = latent_quality([strong, weak], _BUSY, False)
    alone = latent_quality([strong], _BUSY, False)
    assert impairment(*strong, _BUSY) > impairment(*weak, _BUSY)
    assert alone - 0.2 < both < alone


def test_raters_are_deterministic_and_bounded() -> None:
    opinion = rate("demo_authentic", 3, 3.2)
    assert opinion == rate("demo_authentic", 3, 3.2)
    assert 1.0 <= opinion.score <= 5.0
    assert 12 <= opinion.raters <= min(25, POOL_SIZE)
    assert opinion.spread > 0.0


def test_raters_scatter_around_the_latent_quality() -> None:
    scores = [rate("demo_authentic", index, 3.0).score for index in range(300)]
    assert abs(float(np.mean(scores)) - 3.0) < 0.2
    assert 0.05 < float(np.std(scores)) < 0.4


def test_content_term_is_small() -> None:
    gap = latent_quality([("jpeg", 2.0)], _BUSY, True) - latent_quality(
        [("jpeg", 2.0)], _BUSY, False
    )
    assert 0.0 < abs(gap) <= 0.25


@pytest.mark.slow
@pytest.mark.parametrize("name", DEMO_SETS)
def test_ceiling_is_as_stated(name: str) -> None:
    rendered = [(item.latent, float(item.row["score"])) for item in samples(name)]
    assert round(float(spearmanr(*zip(*rendered, strict=True))[0]), 2) == CEILING_SRCC[name]


def test_ceiling_holds_on_a_part() -> None:
    some = [
        (item.latent, float(item.row["score"])) for item in islice(samples("demo_authentic"), 150)
    ]
    reached = float(spearmanr(*zip(*some, strict=True))[0])
    assert 0.95 < reached < 1.0
