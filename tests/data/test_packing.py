"""Decoding many files: in order, a few at a time, whoever takes them."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from bench.api import ImagePolicy, Pixels
from bench.data.images import packing
from bench.data.images.decode import Unreadable

FILES = [Path(str(number)) for number in range(5 * packing.AT_ONCE)]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the files whose decoding began; each file's pixels are its number."""
    numbers: list[int] = []

    def decode(file: Path, policy: ImagePolicy) -> Pixels:
        number = int(file.name)
        numbers.append(number)
        time.sleep(0.001 * (number % 3))  # later ones overtake
        if number % 7 == 6:
            raise Unreadable(file.name, f"reason {number}")
        return np.full((1, 1, 3), number, np.uint8)

    monkeypatch.setattr(packing, "decode", decode)
    return numbers


def test_images_come_in_order_and_few_are_decoded_before_they_are_taken(begun: list[int]) -> None:
    for number, image in enumerate(packing.decoded(FILES, ImagePolicy())):
        if number % 7 == 6:
            assert isinstance(image, Unreadable)
            assert image.reason == f"reason {number}"
        else:
            assert isinstance(image, np.ndarray)
            assert image[0, 0, 0] == number
        time.sleep(0.001)  # the others are not kept from decoding on
        assert len(begun) <= number + packing.AT_ONCE
    assert sorted(begun) == list(range(len(FILES)))


def test_whoever_stops_taking_images_stops_the_decoding_without_a_word(begun: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = packing.decoded(FILES, ImagePolicy())
        next(images)
        images.close()  # type: ignore[attr-defined]
    assert len(begun) == packing.AT_ONCE
