"""`bench predict`: a method's scores for a user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.api import Method
from bench.data.images.files import find_files, image_files
from bench.model.images import ArrayImages
from bench.runs.execute.scoring import load_images
from bench.util.errors import DataError
from bench.util.tables import read_table

Floats = npt.NDArray[np.float64]


def expand(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The image files in and under `paths`, each once, and a message for each folder on files that
    were left out.

    Raises `DataError` for a path that does not exist, and if there is no image at all.
    """
    found: list[Path] = []
    left_out: list[str] = []
    for path in paths:
        if path.is_dir():
            inside = image_files(path)
            found += inside.paths
            left_out += [f"{path}: {inside.left_out}"] if inside.left_out else []
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"no image '{path}'")
    if not found:
        besides = f"; left out of {'; '.join(left_out)}" if left_out else ""
        raise DataError(f"no images in what was given{besides}")
    return list(dict.fromkeys(found)), left_out


def read_pairs(path: Path) -> tuple[list[Path], list[float]]:
    """Image-score pairs from a table with columns image and score; images relative to the file.

    Raises `DataError` naming the column or the line that is wrong.
    """
    table = read_table(path)
    names, scores = table.paths("image"), table.numbers("score", finite=True)
    files = find_files(path.parent, names)
    pairs = zip(files, names, strict=True)
    return [file or path.parent / name for file, name in pairs], scores.tolist()


def read_prompt(path: Path, method: Method) -> tuple[ArrayImages, Floats]:
    """A user's image-score pairs, decoded as the method needs them; `method` serves as a test only.

    Raises `DataError` for a pair that cannot be read, `UsageError` if the method refuses the pairs.
    """
    files, values = read_pairs(path)
    images, scores = load_images(files, method.policy), np.array(values, dtype=np.float64)
    method.set_prompt(images, scores)
    return images, scores
