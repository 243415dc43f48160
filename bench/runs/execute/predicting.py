"""`bench predict`: a method's scores for a user's own images."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.api import Context, ImagePolicy, Method
from bench.data.images.decode import Unreadable, decode
from bench.data.images.files import find_files, image_files
from bench.model.images import ArrayImages
from bench.runs.execute.fitting import predict
from bench.util.atomic import write_text
from bench.util.errors import BenchError, DataError, UsageError
from bench.util.tables import read_table

if TYPE_CHECKING:
    from bench.api import Images
    from bench.data.data_cache import DataCache
    from bench.protocol.variants import Variant
    from bench.store import Store

CHUNK = 256  # images decoded and scored at a time, so that a folder of any size fits in memory


def expand(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The image files among and under `paths`, and for people what was left out of each folder.

    Raises `DataError` for a path that is not there, and where there is no image at all.
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
    return found, left_out


def read_pairs(path: Path) -> tuple[list[Path], list[float]]:
    """Image-score pairs from a table with columns image and score; images relative to the file.

    Raises `DataError` naming the column or the line that is wrong.
    """
    table = read_table(path)
    names, scores = table.paths("image"), table.numbers("score", finite=True)
    files = find_files(path.parent, names)
    pairs = zip(files, names, strict=True)
    return [file or path.parent / name for file, name in pairs], scores.tolist()


def load_images(paths: Sequence[Path], policy: ImagePolicy) -> ArrayImages:
    """Decoded images. Raises `DataError` naming the file that is not an image."""
    arrays = []
    for path in paths:
        try:
            arrays.append(decode(path, policy))
        except (Unreadable, OSError) as error:
            raise DataError(f"'{path}': {error}") from None
    return ArrayImages(arrays, [str(path) for path in paths])


def ready(
    variant: Variant, device: str, weights: Path | None, store: Store, data_cache: DataCache
) -> Method:
    """The method, ready to predict: fitted weights from a file, or pre-trained as runs have it."""
    method = variant.build(Context(device=device))
    if weights is not None:
        load_weights(method, weights)
    elif method.corpora():
        from bench.runs.execute.pretraining import pretrain_whole

        state = pretrain_whole(variant, store, data_cache, device, lambda event: None)
        method.load_pretrained(state)
    return method


def load_weights(method: Method, weights: Path) -> None:
    """Give the method its fitted state; nothing in the file is executed.

    Raises a `BenchError` for a file that is not this method's.
    """
    try:
        method.load(weights)
    except BenchError:
        raise
    except Exception as error:  # each reader of weights has errors of its own
        reason = (str(error).splitlines() or [""])[0]
        raise UsageError(
            f"--weights: '{weights}' holds no weights of {method.name} "
            f"({type(error).__name__}: {reason})"
        ) from error


def score(method: Method, paths: Sequence[Path]) -> np.ndarray[Any, Any]:
    """Scores of image files, (n,) float64, higher is better."""
    parts = []
    for start in range(0, len(paths), CHUNK):
        images: Images = load_images(paths[start : start + CHUNK], method.policy)
        parts.append(predict(method, images))
    return np.concatenate(parts)


def write_scores(path: Path, images: Sequence[Path], scores: np.ndarray[Any, Any]) -> None:
    """A CSV with columns image and score, in the order given."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "score"])
    writer.writerows(
        [str(image), f"{value:.6f}"] for image, value in zip(images, scores, strict=True)
    )
    write_text(path, text.getvalue())


def prompt(method: Method, pairs: Path) -> None:
    """Give the method a user's image-score pairs. Raises `UsageError` where it takes none."""
    images, scores = read_pairs(pairs)
    try:
        method.set_prompt(load_images(images, method.policy), np.array(scores))
    except TypeError as error:
        raise UsageError(f"--prompt: {error}") from None
