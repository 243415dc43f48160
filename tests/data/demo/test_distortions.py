"""Distortions keep shape and range, and grow with severity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.data.demo import DEMO_SETS, filters
from bench.data.demo.distortions import DISTORTIONS, distort
from bench.data.demo.noise import generator
from bench.data.demo.scenes import render_scene


@pytest.fixture(scope="module")
def picture() -> NDArray[np.float32]:
    return render_scene("cityscape", 3).pixels


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_error_grows_with_severity(kind: str, picture: NDArray[np.float32]) -> None:
    errors = []
    for level in range(6):
        result = distort(picture, kind, float(level), generator(kind))
        assert result.shape == picture.shape
        assert result.dtype == np.float32
        assert result.min() >= 0.0
        assert result.max() <= 1.0
        errors.append(float(np.sqrt(np.mean((result - picture) ** 2))))
    assert errors == sorted(errors)
    assert errors[0] < 0.03
    assert errors[5] > 1.5 * errors[1] > 0.0


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(list(DISTORTIONS)), severity=st.floats(0.0, 5.0))
def test_any_severity_is_finite_and_repeatable(kind: str, severity: float) -> None:
    source = render_scene("indoor", 1, size=48).pixels
    first = distort(source, kind, severity, generator("a"))
    assert np.isfinite(first).all()
    assert np.array_equal(first, distort(source, kind, severity, generator("a")))


def test_errors_name_what_is_right(picture: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="gaussian_blur"):
        distort(picture, "gausian", 1.0, generator("a"))
    with pytest.raises(ValueError, match="outside"):
        distort(picture, "jpeg", 5.5, generator("a"))


def test_sets_use_known_kinds() -> None:
    used = {kind for demo in DEMO_SETS.values() for kind in demo.kinds}
    assert used <= set(DISTORTIONS)
    assert len(DEMO_SETS["demo_pretrain"].kinds) >= 11


def test_codecs_are_nearly_lossless_at_their_best(picture: NDArray[np.float32]) -> None:
    grey = np.repeat(picture[..., :1], 3, axis=2).astype(np.float64)
    assert np.abs(filters.jpeg(grey, 100.0) - grey).max() < 0.01
    assert np.abs(filters.jpeg2000(grey, 1e-4) - grey).max() < 0.001


def test_codecs_take_any_size() -> None:
    odd = render_scene("night", 0, size=50).pixels.astype(np.float64)
    assert filters.jpeg(odd, 30.0).shape == odd.shape
    assert filters.jpeg2000(odd, 0.05).shape == odd.shape


def test_blur_keeps_the_mean_of_a_flat_picture() -> None:
    flat = np.full((40, 40, 3), 0.3)
    assert np.allclose(filters.gaussian(flat, 2.0), 0.3)
    assert np.allclose(filters.convolve(flat, filters.disc_kernel(3.5)), 0.3)
    assert np.allclose(filters.convolve(flat, filters.line_kernel(7.0, 0.4)), 0.3)
