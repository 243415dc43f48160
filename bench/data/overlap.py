"""Pictures that two databases share, found by decoded content and kept for splits.

    find(["live", "tid2013"])  decodes both, compares, and writes the list into the cache
    known(live, tid2013)       reads that list; opens no image

A picture is shared if the pixels are equal ('exact'), if it was resized, compressed or distorted
('near'), or if one pristine image is a part of another at the same scale ('crop'; TID2013's are cut
out of larger photographs). Pristine images of references are compared too where they lie beside a
database: whatever was made from them shares their content. What counts for splits is which groups
(`Dataset.units`) share a picture, so that one line is kept for each two groups.

Near pictures are looked for by a perceptual hash (the signs of the 64 lowest frequencies of a 32 x
32 thumbnail's cosine transform; C. Zauner, Implementation and Benchmarking of Perceptual Image Hash
Functions, 2010), and each candidate is verified by the correlation of the thumbnails.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bench.api import ImagePolicy, Pixels
from bench.data import datasets
from bench.data.datasets._places import Roots, within
from bench.util.atomic import write_text
from bench.util.errors import DataError, UsageError

if TYPE_CHECKING:
    from bench.data.datasets.base import Dataset
    from bench.data.images.packing import Progress

THUMBNAIL, FREQUENCIES = 32, 8
FARTHEST = 12
"""Bits of 64 in which the hashes of one picture may differ. Different pictures differ in 32 on
average; a wrong candidate costs a comparison of thumbnails and nothing else."""
ALIKE = 0.9
"""Correlation of two gray thumbnails from which they count as one picture."""
CUT = 0.95
"""Correlation from which a pristine image counts as a part of another."""
COARSE = 4
"""Pristine images are reduced by this factor before parts are looked for."""
AT_ONCE = 1024
_VERSION = 1
"""Version of the rules above; lists made by other rules are not read."""

Kind = Literal["exact", "near", "crop"]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shared:
    """One picture in two databases: the most alike of all that two groups share."""

    kind: Kind
    first: str
    """Name of the image, or of the pristine image, in the first database."""
    second: str
    """The same in the second database."""
    first_group: str
    """`Dataset.units` of the image; of a pristine image, of the images made from it."""
    second_group: str
    """The same in the second database."""
    alike: float
    """Correlation of thumbnails (of the cut, for 'crop'), 1 for equal pixels."""


@dataclass(frozen=True)
class _Pictures:
    """What is compared of a database, a row a picture."""

    names: list[str]
    groups: list[str]
    digests: list[str]
    thumbnails: Floats
    """(n, 1024), zero mean and unit length; zeros for a picture of one gray."""
    bits: Floats
    """(n, 64), 1 or -1."""
    coarse: list[npt.NDArray[np.uint8] | None]
    """Reduced gray pixels of the pristine ones, None for samples."""


def find(
    specs: Sequence[str], roots: Roots = None, progress: Progress | None = None
) -> dict[tuple[str, str], list[Shared]]:
    """Compare any two of several databases, each decoded once, and keep what they share.

    Raises `UsageError` for a database with itself, `DataError` for one that is not there and for
    images that cannot be decoded.
    """
    bases = [spec.partition("@")[0] for spec in specs]
    twice = next((base for base in bases if bases.count(base) > 1), None)
    if twice or len(specs) < 2:
        raise UsageError(
            f"overlap compares two databases or more{f', not {twice} with itself' * bool(twice)}; "
            "`bench data verify NAME` names pictures that a database holds twice"
        )
    absent = datasets.missing(specs, roots)
    if absent:
        raise DataError(datasets.describe_missing(absent))
    loaded = [datasets.load(spec, roots) for spec in specs]
    pictures = [_pictures(data, roots, progress) for data in loaded]
    found = {}
    for at, one in enumerate(loaded):
        for other in range(at + 1, len(loaded)):
            shared = _compare(pictures[at], pictures[other])
            _write(one, loaded[other], shared)
            found[one.info.spec, loaded[other].info.spec] = shared
    return found


def known(first: Dataset, second: Dataset) -> list[Shared]:
    """What `find` kept of two databases, in this order. Opens no image.

    Raises `DataError` where they were not compared, or in another state.
    """
    ordered = sorted((first, second), key=lambda data: data.info.spec)
    path = _place(*ordered)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    if not lines or lines[0] != _head(*ordered):
        specs = " ".join(data.info.spec for data in ordered)
        state = "their images have other names now" if lines else "nobody has compared them here"
        raise DataError(
            f"exclude_overlap: which pictures {specs.replace(' ', ' and ')} share is not known, as "
            f"{state}: bench data overlap {specs}"
        )
    rows = csv.DictReader(lines[1:])
    shared = [Shared(**{**row, "alike": float(row["alike"])}) for row in rows]  # type: ignore
    return shared if ordered[0] is first else [_swapped(item) for item in shared]


def to_csv(found: dict[tuple[str, str], list[Shared]]) -> str:
    """A row for each pair of groups of any two databases."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["first_database", "second_database", *_COLUMNS])
    for pair, shared in found.items():
        writer.writerows([*pair, *astuple(item)] for item in shared)
    return out.getvalue()


_COLUMNS = [field.name for field in fields(Shared)]


def _pictures(data: Dataset, roots: Roots, progress: Progress | None) -> _Pictures:
    from bench.data.images.decode import Unreadable
    from bench.data.images.files import find_files
    from bench.data.images.packing import complaint, decoded
    from bench.model.images import pixel_digest

    names, groups = data.names.tolist(), data.units.tolist()
    files = find_files(data.root, names)
    pristine = _pristine(data, roots)
    lost = [(name, "missing") for name, file in zip(names, files, strict=True) if file is None]
    names += [name for name, _, _ in pristine]
    groups += [group for _, _, group in pristine]
    found = [file for file in files if file is not None] + [file for _, file, _ in pristine]
    if lost:
        raise DataError(f"{data.info.spec}: {complaint(len(files), lost)}")
    digests, thumbnails, bits, coarse = [], [], [], []
    for done, (name, image) in enumerate(
        zip(names, decoded(found, ImagePolicy()), strict=True), start=1
    ):
        if isinstance(image, Unreadable):
            raise DataError(f"{data.info.spec}: {name}: {image.reason}")
        gray = _gray(image)
        thumbnail = _reduced(gray, (THUMBNAIL, THUMBNAIL)).astype(np.float32)
        digests.append(pixel_digest(image))
        thumbnails.append(_unit(thumbnail))
        bits.append(_hash(thumbnail))
        small = (max(1, gray.shape[1] // COARSE), max(1, gray.shape[0] // COARSE))
        coarse.append(_reduced(gray, small) if done > len(files) else None)
        if progress:
            progress(done, len(found))
    return _Pictures(names, groups, digests, np.stack(thumbnails), np.stack(bits), coarse)


def _pristine(data: Dataset, roots: Roots) -> list[tuple[str, Path, str]]:
    """Name, file and group of each pristine image that lies beside a database."""
    found = datasets.reader(data.info.name, roots)
    root = datasets.locate(data.info.spec, roots)
    pairs = zip(data.table["reference"], data.units.tolist(), strict=True)
    groups = {str(name): group for name, group in pairs if name}
    places = {
        name: next((file for path in found.pristine if (file := _file(root, path, name))), None)
        for name in groups
    }
    return [(name, file, groups[name]) for name, file in places.items() if file is not None]


def _file(root: Path | None, template: str, name: str) -> Path | None:
    file = within(root, template.replace("{}", name)) if root is not None else None
    return file if file is not None and file.is_file() else None


def _gray(image: Pixels) -> npt.NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY))


def _reduced(gray: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Means over areas, (width, height)."""
    import cv2

    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA))


def _unit(thumbnail: Floats) -> Floats:
    """(1024,) with zero mean and unit length; zeros where there is one gray only."""
    flat = (thumbnail - thumbnail.mean()).ravel()
    length = float(np.linalg.norm(flat))
    return flat / length if length > 1e-3 else np.zeros_like(flat)


def _hash(thumbnail: Floats) -> Floats:
    """(64,) signs of the lowest frequencies around their median."""
    import cv2

    low = np.asarray(cv2.dct(thumbnail))[:FREQUENCIES, :FREQUENCIES].ravel()
    low[0] = 0.0  # the mean says nothing of what is to be seen
    return np.where(low > np.median(low), 1, -1).astype(np.float32)


def _compare(first: _Pictures, second: _Pictures) -> list[Shared]:
    """The most alike picture of each two groups, by the names of the groups."""
    rank: dict[str, int] = {"exact": 2, "near": 1, "crop": 0}
    best: dict[tuple[str, str], Shared] = {}
    pairs = itertools.chain(_equal(first, second), _near(first, second), _cut(first, second))
    for kind, row, other, alike in pairs:
        item = Shared(
            kind,
            first.names[row],
            second.names[other],
            first.groups[row],
            second.groups[other],
            round(float(alike), 4),
        )
        key = item.first_group, item.second_group
        before = best.get(key)
        if before is None or (rank[kind], item.alike) > (rank[before.kind], before.alike):
            best[key] = item
    return [best[key] for key in sorted(best)]


def _equal(first: _Pictures, second: _Pictures) -> Iterator[tuple[Kind, int, int, float]]:
    places: dict[str, list[int]] = {}
    for other, digest in enumerate(second.digests):
        places.setdefault(digest, []).append(other)
    for row, digest in enumerate(first.digests):
        for other in places.get(digest, ()):
            yield "exact", row, other, 1.0


def _near(first: _Pictures, second: _Pictures) -> Iterator[tuple[Kind, int, int, float]]:
    # The product of two rows of signs is 64 less twice the number of bits that differ.
    least = first.bits.shape[1] - 2 * FARTHEST
    for start in range(0, len(first.names), AT_ONCE):
        close = first.bits[start : start + AT_ONCE] @ second.bits.T >= least
        for row, other in np.argwhere(close):
            alike = float(first.thumbnails[start + row] @ second.thumbnails[other])
            if alike >= ALIKE and first.digests[start + row] != second.digests[other]:
                yield "near", int(start + row), int(other), alike


def _cut(first: _Pictures, second: _Pictures) -> Iterator[tuple[Kind, int, int, float]]:
    """Pristine images of which one is a part of the other."""
    import cv2

    for row, one in enumerate(first.coarse):
        for other, two in enumerate(second.coarse):
            if one is None or two is None or one.shape == two.shape:
                continue
            whole, part = (one, two) if one.size > two.size else (two, one)
            if part.shape[0] > whole.shape[0] or part.shape[1] > whole.shape[1]:
                continue
            if float(part.std()) < 1:
                continue  # one gray is a part of anything
            alike = float(cv2.matchTemplate(whole, part, cv2.TM_CCOEFF_NORMED).max())
            if alike >= CUT:
                yield "crop", row, other, min(alike, 1.0)


def _place(one: Dataset, other: Dataset) -> Path:
    return datasets.cache_folder() / "overlap" / f"{one.info.spec}+{other.info.spec}.csv"


def _head(one: Dataset, other: Dataset) -> str:
    """The first line of a list: its two databases and their images."""
    digests: list[Any] = [
        hashlib.sha256(
            json.dumps(sorted(zip(data.names, data.units, strict=True))).encode()
        ).hexdigest()
        for data in (one, other)
    ]
    return (
        f"# overlap {_VERSION} of {one.info.spec} {digests[0]} and {other.info.spec} {digests[1]}"
    )


def _write(one: Dataset, other: Dataset, shared: Sequence[Shared]) -> None:
    if one.info.spec > other.info.spec:
        one, other, shared = other, one, [_swapped(item) for item in shared]
    out = io.StringIO()
    out.write(_head(one, other) + "\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(map(astuple, shared))
    path = _place(one, other)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, out.getvalue())


def _swapped(item: Shared) -> Shared:
    return Shared(
        item.kind, item.second, item.first, item.second_group, item.first_group, item.alike
    )
