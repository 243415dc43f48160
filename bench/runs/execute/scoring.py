"""Scores a user's images as a stream: memory is bounded, and scores are written as they come."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.api import BenchError, DataError, Images, Method, StoreError, UsageError
from bench.data.images.decode import Unreadable, check_header, decode
from bench.model.identity import digest
from bench.model.images import ArrayImages, Pixels
from bench.runs.execute.fitting import predict
from bench.util.atomic import write_text, writing

if TYPE_CHECKING:
    from bench.api import ImagePolicy

CHUNK_BYTES = 192 * 2**20
"""Bytes of decoded pixels that are in memory at a time."""
CHUNK_IMAGES = 256
"""Images that are scored at a time, however small."""
PARTIAL = ".partial"
"""Suffix of the scores' file while it is incomplete."""


@dataclass
class Scoring:
    """One file of scores on its way.

    Scores are appended to a file beside `out`, one line for each image, so that the same command
    can continue after a kill; `out` itself is written whole.
    """

    method: Method
    paths: Sequence[Path]
    out: Path
    identity: dict[str, Any]
    """Everything besides the images that scores depend on: method, settings, weights, pairs."""
    advance: Callable[[int], None] = lambda count: None
    """Called with the number of images that were just done."""
    broken: dict[Path, str] = field(default_factory=dict)
    """Images without a score, each with the reason."""
    scores: dict[Path, float] = field(default_factory=dict)

    @property
    def partial(self) -> Path:
        """The file of the scores so far."""
        return self.out.with_name(self.out.name + PARTIAL)

    def inspect(self) -> None:
        """Check the header of every file, so that broken images are known before anything is
        scored."""
        for path in self.paths:
            try:
                check_header(path)
            except (Unreadable, OSError) as error:
                self.broken[path] = _reason(error)

    def run(self) -> None:
        """Score the images that no earlier command has scored.

        An image that the method refuses is added to `broken`. If all of the first images fail,
        their error is raised, since the cause is then probably not an image.
        """
        self.scores = self._recall()
        self.advance(len(self.scores) + len(self.broken))
        todo = [path for path in self.paths if path not in self.scores and path not in self.broken]
        with self._open() as file:
            for paths, arrays in self._chunks(todo):
                self._score(paths, arrays, file)
                self.advance(len(paths))

    def _chunks(self, paths: Sequence[Path]) -> Iterator[tuple[list[Path], list[Pixels]]]:
        """Batches of decoded images within both bounds, of at least one image."""
        names: list[Path] = []
        arrays: list[Pixels] = []
        for path in paths:
            try:
                pixels = decode(path, self.method.policy)
            except (Unreadable, OSError) as error:
                self.broken[path] = _reason(error)
                self.advance(1)
                continue
            held = sum(array.nbytes for array in arrays) + pixels.nbytes
            if arrays and (held > CHUNK_BYTES or len(arrays) == CHUNK_IMAGES):
                yield names, arrays
                names, arrays = [], []
            names.append(path)
            arrays.append(pixels)
        if arrays:
            yield names, arrays

    def _score(self, paths: Sequence[Path], arrays: Sequence[Pixels], file: TextIO) -> None:
        images = ArrayImages(arrays, [str(path) for path in paths])
        try:
            found = dict(zip(paths, predict(self.method, images).tolist(), strict=True))
        except (UsageError, StoreError):
            raise
        except Exception as error:  # perhaps one image is the cause: score the others without it
            found = self._one_by_one(paths, images)
            if not found and not self.scores:
                kind = "" if isinstance(error, BenchError) else f"{type(error).__name__}: "
                refusal = DataError if isinstance(error, DataError) else BenchError
                raise refusal(f"{self.method.name} scores no image: {kind}{error}") from error
        self.scores.update(found)
        lines = (json.dumps([*_key(path), score]) for path, score in found.items())
        with writing(self.partial):
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()

    def _one_by_one(self, paths: Sequence[Path], images: Images) -> dict[Path, float]:
        found = {}
        for index, path in enumerate(paths):
            try:
                found[path] = float(predict(self.method, images.subset([index]))[0])
            except Exception as error:  # whatever a method raises is the image's result
                self.broken[path] = _reason(error)
        return found

    def _recall(self) -> dict[Path, float]:
        """Scores of an earlier command on the same files; {} if its method or settings differ."""
        try:
            first, *lines = self.partial.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return {}
        if first != digest(self.identity):
            return {}
        known: dict[tuple[Any, ...], float] = {}
        for line in lines:
            with contextlib.suppress(ValueError):  # the last line may be cut off
                *key, score = json.loads(line)
                known[tuple(key)] = float(score)
        keys = {path: _key(path) for path in self.paths if path not in self.broken}
        return {path: known[key] for path, key in keys.items() if key in known}

    @contextlib.contextmanager
    def _open(self) -> Iterator[TextIO]:
        """The file of the scores so far, rewritten with the usable ones."""
        # A line that a kill cut off would otherwise run into the next one.
        lines = [json.dumps([*_key(path), score]) for path, score in self.scores.items()]
        write_text(self.partial, "".join(f"{line}\n" for line in [digest(self.identity), *lines]))
        with writing(self.partial):
            file = self.partial.open("a", encoding="utf-8")
        with file:
            yield file

    def finish(self) -> None:
        """Write the scores in the order of the images and remove the partial file."""
        good = [path for path in self.paths if path in self.scores]
        write_scores(self.out, good, [self.scores[path] for path in good])
        self.partial.unlink(missing_ok=True)


def _key(path: Path) -> tuple[str, int, int]:
    """Identifies a file and its content, as far as the file system tells: path, size and time."""
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def _reason(error: BaseException) -> str:
    if isinstance(error, Unreadable):
        return error.reason
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = (str(error).splitlines() or [""])[0]
    return text or type(error).__name__


def write_scores(path: Path, images: Sequence[Path], scores: Sequence[float]) -> None:
    """A CSV with columns image and score, in the order given."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "score"])
    writer.writerows(
        [str(image), f"{value:.6f}"] for image, value in zip(images, scores, strict=True)
    )
    write_text(path, text.getvalue())


def load_images(paths: Sequence[Path], policy: ImagePolicy) -> ArrayImages:
    """Decoded images. Raises `Unreadable` naming the file that is not an image."""
    arrays = []
    for path in paths:
        try:
            arrays.append(decode(path, policy))
        except (Unreadable, OSError) as error:
            raise Unreadable(str(path), _reason(error)) from None
    return ArrayImages(arrays, [str(path) for path in paths])
