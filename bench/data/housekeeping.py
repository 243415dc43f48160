"""The work of `bench data` and `bench splits`: plain functions that return tables.

status(roots)            -> list[DatasetStatus]
verify(spec, roots)      -> Verification
prepare(spec, policy)    -> Prepared
export_splits(spec, ...) -> list[ExportedSplit]
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api import ImagePolicy
from bench.data import datasets
from bench.data.datasets._places import Roots
from bench.util.errors import BenchError, DataError

if TYPE_CHECKING:
    from bench.data.datasets.base import Dataset
    from bench.data.images.packing import Progress


AT_MOST = 20
"""Equal pictures that `verify` names for a list in `iqa-data.yaml`."""


@dataclass(frozen=True)
class DatasetStatus:
    """One line of `bench data status`."""

    name: str
    title: str
    kind: str
    root: Path | None
    """Its folder; None if it was not found (or, for a demo set, not rendered yet)."""
    samples: int
    """Samples in the annotation files, 0 where they cannot be read."""
    images: int
    """How many of their image files are there."""
    expected: int
    """Published number of samples, 0 for a database of the user's own."""
    problem: str = ""
    """What is wrong, in one line; "" for nothing."""

    @property
    def state(self) -> str:
        """missing, not rendered, broken, annotations only, incomplete or complete."""
        if self.root is None:
            return "not rendered" if self.name.startswith("demo_") else "missing"
        if not self.samples:
            return "broken"
        if not self.images:
            return "annotations only"
        whole = self.images == self.samples and self.expected in (0, self.samples)
        return "complete" if whole else "incomplete"


@dataclass(frozen=True)
class Check:
    """One check of `verify`."""

    what: str
    good: bool
    detail: str


@dataclass(frozen=True)
class Verification:
    """The result of `bench data verify`."""

    spec: str
    root: Path | None
    checks: tuple[Check, ...]
    digest: str = ""
    """`Dataset.digest`: names, labels and groups."""
    torn: tuple[tuple[str, ...], ...] = ()
    """Groups of image names that show one picture and that a random split may separate."""

    @property
    def good(self) -> bool:
        """Whether every check passed."""
        return all(check.good for check in self.checks)


@dataclass(frozen=True)
class Prepared:
    """A decoded cache that is ready."""

    spec: str
    folder: Path
    images: int
    bytes: int
    seconds: float
    digest: str
    """`bench.data.images.images_digest`: names and pixels."""


@dataclass(frozen=True)
class ExportedSplit:
    """One split file."""

    path: Path
    repeat: int
    digest: str
    train: int
    val: int
    test: int


def status(roots: Roots = None) -> list[DatasetStatus]:
    """The folder and completeness of every known database. Renders and decodes nothing."""
    return [status_of(name, roots) for name in datasets.names(roots)]


def verify(spec: str, roots: Roots = None, progress: Progress | None = None) -> Verification:
    """Check a database thoroughly: tables, counts, score range, and that every image decodes.

    Raises `UsageError` for an unknown name; everything else is a failed `Check`.
    """
    described = datasets.info(spec, roots)
    if not described.demo and datasets.locate(spec, roots) is None:
        detail = datasets.describe_missing(datasets.missing([spec], roots))
        return Verification(spec, None, (Check("found", False, detail),))
    try:
        data = datasets.load(spec, roots)
    except DataError as error:
        failed = Check("annotations readable", False, str(error))
        return Verification(spec, datasets.locate(spec, roots), (failed,))
    readable = Check("annotations readable", True, f"{len(data)} samples, no name twice")
    found, torn = _images(data, progress)
    checks = (readable, _count(data), _range(data), *found)
    return Verification(spec, data.root, checks, data.digest, torn)


def prepare(
    spec: str,
    policy: ImagePolicy | None = None,
    roots: Roots = None,
    progress: Progress | None = None,
) -> Prepared:
    """Decode a database into the cache that runs use. Raises `DataError` for bad images."""
    from bench.data.images import images_digest, open_images

    data = datasets.load(spec, roots)
    start = time.monotonic()
    cache = datasets.cache_folder() / "images"
    names = list(data.table["image"])
    images = open_images(data.root, names, policy or ImagePolicy(), cache, progress)
    size = sum(file.stat().st_size for file in images.folder.iterdir())
    took = time.monotonic() - start
    return Prepared(spec, images.folder, len(images), size, took, images_digest(images))


def export_splits(
    spec: str, repeats: Iterable[int], folder: Path, roots: Roots = None, **rule: Any
) -> list[ExportedSplit]:
    """Write one CSV per repeat, `SPEC-REPEAT.csv`; `rule` goes to `bench.data.splits.make_split`.

    Scheme 'file' reads them again. The digest is in the first line of each.
    """
    from bench.data.splits import export, make_split
    from bench.data.splits.published_splits import export_name

    data = datasets.load(spec, roots)
    if rule.get("folder") is None and rule.get("scheme"):
        rule["folder"] = datasets.split_folder(rule["scheme"], roots)
    written = []
    for repeat in repeats:
        split = make_split(data, repeat=repeat, **rule)
        path = folder / export_name(data.info.spec, repeat)
        digest = export(split, data, path)
        sizes = (split.train.size, split.val.size, split.test.size)
        written.append(ExportedSplit(path, repeat, digest, *sizes))
    return written


def status_of(name: str, roots: Roots = None) -> DatasetStatus:
    """One database: where it lies and how complete it is. Raises `UsageError` for no name."""
    from bench.data.images.files import find_files

    described = datasets.info(name, roots)
    root = datasets.locate(name, roots)
    samples = images = 0
    problem = ""
    if root is not None:
        try:
            data = datasets.load(name, roots)
            samples = len(data)
            files = find_files(data.root, list(data.table["image"]))
            images = sum(file is not None for file in files)
        except BenchError as error:
            problem = str(error).splitlines()[0]
        if images and images < samples:
            problem = f"{samples - images} image files are missing"
        elif samples and described.size not in (0, samples):
            problem = f"{samples} samples, published are {described.size}"
    return DatasetStatus(
        name, described.title, described.kind, root, samples, images, described.size, problem
    )


def _count(data: Dataset) -> Check:
    wanted = data.info.size
    good = wanted in (0, len(data))
    published = f"published are {wanted}" if wanted else "no published number"
    return Check("count as published", good, f"{len(data)} samples, {published}")


def _range(data: Dataset) -> Check:
    what = "score range as published"
    if not data.info.labelled:
        return Check(what, True, "no scores")
    low, high = float(data.table["score"].min()), float(data.table["score"].max())
    ends = data.info.published
    if ends is None:
        scale = f"on the scale {data.info.low:g} to {data.info.high:g}"
        return Check(what, True, f"{low:.4g} to {high:.4g}, {scale}")
    slack = 0.001 * (ends[1] - ends[0])
    good = abs(low - ends[0]) <= slack and abs(high - ends[1]) <= slack
    return Check(
        what, good, f"{low:.5g} to {high:.5g}, published are {ends[0]:.5g} to {ends[1]:.5g}"
    )


def _images(
    data: Dataset, progress: Progress | None
) -> tuple[list[Check], tuple[tuple[str, ...], ...]]:
    """Every file there, every file decodable, no picture under two names; and `torn`."""
    from bench.data.images.decode import Unreadable
    from bench.data.images.files import find_files
    from bench.data.images.packing import complaint, decoded
    from bench.model.images import pixel_digest

    names = list(data.table["image"])
    found = dict(zip(names, find_files(data.root, names), strict=True))
    there = {name: file for name, file in found.items() if file is not None}
    lost = [(name, "missing") for name in names if name not in there]
    failures: list[tuple[str, str]] = []
    names_of: dict[str, list[str]] = {}
    results = decoded(list(there.values()), ImagePolicy())
    for done, (name, image) in enumerate(zip(there, results, strict=True), start=1):
        if isinstance(image, Unreadable):
            failures.append((name, image.reason))
        else:
            names_of.setdefault(pixel_digest(image), []).append(name)
        if progress:
            progress(done, len(there))
    missing = complaint(len(names), lost) if lost else f"all {len(names)}"
    broken = complaint(len(there), failures) if failures else f"{len(there)} decoded"
    twice = [tuple(sorted(same)) for same in names_of.values() if len(same) > 1]
    copies = f"{len(twice)}: {', '.join(map(' = '.join, twice[:3]))}" if twice else "none"
    units = dict(zip(data.names.tolist(), data.units.tolist(), strict=True))
    # No group and no list keeps these on one side of a split.
    torn = tuple(same for same in twice if len({units[name] for name in same}) > 1)
    if torn:
        listed = ", ".join(f"[{', '.join(same)}]" for same in torn[:AT_MOST])
        copies += (
            f"; a split can tear {len(torn)} of them apart ({listed}): --write-duplicates lists "
            f"them, or list them under 'duplicates: {data.info.name}:' in iqa-data.yaml"
        )
    checks = [
        Check("images there", not lost, missing),
        Check("images decodable", bool(there) and not failures, broken),
        # The authors' own duplicates are a fact about the database, not a fault of the copy.
        Check("pictures under two names", True, copies),
    ]
    return checks, torn
