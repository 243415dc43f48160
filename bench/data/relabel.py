"""Labels by full-reference metrics (`tid2013@fsim`): computed once and kept by content.

A file of labels is named by the metric, pyiqa's version and a SHA-256 over all images and their
pristine references, so that the same pictures have the same labels wherever they lie. They are
computed on the CPU and rounded to six decimals: labels enter the names of runs, and the last bits
of a GPU must not.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.api import ImagePolicy, Pixels
from bench.util.atomic import write_text
from bench.util.errors import BenchError, DataError
from bench.util.tables import read_table

if TYPE_CHECKING:
    from bench.data.datasets.base import Dataset

Floats = npt.NDArray[np.float64]
DECIMALS = 6


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def relabelled(
    data: Dataset,
    references: Sequence[Path],
    metric: str,
    cache: Path,
    say: Callable[[str], None] = _to_stderr,
) -> Dataset:
    """`data` with a metric's labels as its scores; its description already has that version.

    `references` (n,) are the pristine files. Raises `DataError` for images that are missing,
    cannot be decoded or differ in size from their reference, and `BenchError` for a metric whose
    weights are not available.
    """
    from filelock import FileLock

    names = [str(name) for name in data.table["image"]]
    pairs = list(zip(_files(data, names), references, strict=True))
    content = _content(names, pairs, cache)
    path = cache / f"{metric}-pyiqa{_pyiqa_version(data)}-{content[:24]}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            say(f"{data.info.spec}: computing {len(names):,} labels; they are kept")
            write_text(path, _text(names, _scores(data, pairs, metric)))
    unknown = {"spread": np.nan, "raters": np.nan}
    return replace(data, table=data.table.assign(score=_read(path, names), **unknown))


def _pyiqa_version(data: Dataset) -> str:
    try:
        return version("pyiqa")
    except PackageNotFoundError:
        raise BenchError(f"{data.info.spec} needs pyiqa, which is not installed") from None


def _files(data: Dataset, names: Sequence[str]) -> list[Path]:
    from bench.data.images.files import find_files
    from bench.data.images.packing import complaint

    found = find_files(data.root, names)
    gone = [(name, "missing") for name, file in zip(names, found, strict=True) if file is None]
    if gone:
        raise DataError(f"{data.info.spec}: {complaint(len(names), gone)}")
    return [file for file in found if file is not None]


def _content(names: Sequence[str], pairs: Sequence[tuple[Path, Path]], cache: Path) -> str:
    """SHA-256 over names and the bytes of images and references.

    Reading a database takes a while, so that the digest is kept under the files' sizes and times.
    """
    states = [[_state(file) for file in pair] for pair in pairs]
    stamp = hashlib.sha256(json.dumps([list(names), states]).encode()).hexdigest()
    memo = cache / "content" / stamp
    if memo.is_file():
        return memo.read_text(encoding="utf-8")
    digests: dict[Path, str] = {}
    for file in {file for pair in pairs for file in pair}:
        with file.open("rb") as opened:
            digests[file] = hashlib.file_digest(opened, "sha256").hexdigest()
    rows = sorted(
        [name, digests[image], digests[reference]]
        for name, (image, reference) in zip(names, pairs, strict=True)
    )
    found = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    memo.parent.mkdir(parents=True, exist_ok=True)
    write_text(memo, found)
    return found


def _state(file: Path) -> list[Any]:
    found = file.stat()
    return [str(file), found.st_size, found.st_mtime_ns]


def _scores(data: Dataset, pairs: Sequence[tuple[Path, Path]], metric: str) -> Floats:
    """The metric as pyiqa gives it, (n,), in the order of `pairs`."""
    import torch

    from bench import pyiqa_library

    measure = pyiqa_library.full_reference(metric)
    scores = np.empty(len(pairs))
    pristine: tuple[Path, torch.Tensor] | None = None
    for row in sorted(range(len(pairs)), key=lambda row: str(pairs[row][1])):
        file, reference = pairs[row]
        if pristine is None or pristine[0] != reference:
            pristine = (reference, _tensor(reference))
        image = _tensor(file)
        if image.shape != pristine[1].shape:
            raise DataError(
                f"{data.info.spec}: '{file.name}' is {image.shape[3]} x {image.shape[2]} pixels, "
                f"its reference '{reference.name}' {pristine[1].shape[3]} x {pristine[1].shape[2]}"
            )
        with torch.no_grad():
            scores[row] = float(measure(image, pristine[1]))
        if not np.isfinite(scores[row]):
            raise DataError(f"{data.info.spec}: {metric} of '{file.name}' is {scores[row]}")
    return scores


def _tensor(file: Path) -> Any:
    """(1, 3, H, W) from 0 to 1."""
    import torch

    from bench.data.images.decode import decode

    pixels: Pixels = decode(file, ImagePolicy())
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def _text(names: Sequence[str], scores: Floats) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["image", "score"])
    writer.writerows(
        [name, f"{score:.{DECIMALS}f}"] for name, score in zip(names, scores, strict=True)
    )
    return out.getvalue()


def _read(path: Path, names: Sequence[str]) -> Floats:
    table = read_table(path)
    kept = dict(zip(table.texts("image"), table.numbers("score"), strict=True))
    return np.array([kept[name] for name in names])
