"""`bench predict` on many large photos takes no more memory than on a few."""

from __future__ import annotations

import resource

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Bench

PHOTOS, SIZE = 200, (3000, 4000, 3)
MOST_MB = 1500


@pytest.mark.slow
def test_200_photos_of_12_megapixels(bench: Bench) -> None:
    folder = bench.folder / "photos"
    folder.mkdir()
    ramp = np.linspace(0, 255, SIZE[0] * SIZE[1] * SIZE[2]).astype(np.uint8).reshape(SIZE)
    Image.fromarray(ramp).save(folder / "000.jpg", quality=80)
    for index in range(1, PHOTOS):
        (folder / f"{index:03}.jpg").hardlink_to(folder / "000.jpg")
    # A method that keeps the size of the files: no resize makes the arrays smaller.
    done = bench.process("predict", folder, "--method", "random", "--out", "s.csv")
    assert done.returncode == 0, done.text
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB")
    assert peak < MOST_MB
    assert len((bench.folder / "s.csv").read_text().splitlines()) == PHOTOS + 1
