"""Files of images by the names that tables give them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bench.data.images.files import Tree, find_files


@pytest.mark.parametrize("name", ["../secret.png", "a/../../secret.png", "ABSOLUTE"])
def test_a_name_does_not_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "images"
    (inside / "a").mkdir(parents=True)
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    wanted = str(secret) if name == "ABSOLUTE" else name
    assert find_files(inside, [wanted]) == [None]
    assert Tree(inside).why_not(wanted) == "outside the folder"
