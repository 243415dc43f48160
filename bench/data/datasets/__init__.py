"""Databases by name: which there are, where they lie, and their tables.

    >>> info("livec@1169").size
    1169

A spec is `NAME` or `NAME@VERSION`. Every function takes the data roots (one path or several); None
stands for the environment's `IQA_DATA`. Importing this package loads no pandas, scipy or torch.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.data.datasets._places import (
    RULES,
    Roots,
    cache_folder,
    data_roots,
    folders,
    plain,
    within,
)
from bench.util.errors import DataError, UsageError, hint, unknown

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.datasets._config import Config
    from bench.data.datasets.base import Dataset, DatasetInfo, DatasetReader

__all__ = [
    "Missing",
    "Roots",
    "cache_folder",
    "data_roots",
    "describe_missing",
    "duplicates_file",
    "image_folder",
    "info",
    "list_duplicates",
    "load",
    "locate",
    "missing",
    "names",
    "reader",
    "split_folder",
    "strays",
]


TAKEN = {"demo", "own", "average"} | {
    f"{kind}{which}" for kind in ("mean", "mean_by_images") for which in ("", "_own", "_all")
}
"""What command lines, corpora and columns of tables mean something else by."""
_NAME = re.compile(r"[^\s,:+@#/\\]+")


@dataclass(frozen=True)
class Missing:
    """A database that is needed and was not found."""

    spec: str
    title: str
    homepage: str
    """Where to get it; "" for a database of the user's own."""
    folders: tuple[str, ...]
    """The folder names that would have been accepted, without regard to case."""
    looked: tuple[str, ...]
    """Where it was looked for."""


def names(roots: Roots = None) -> list[str]:
    """All databases: the built-in ones, the demo sets, and the user's own."""
    return sorted({*_built_in(), *_settings(roots).databases})


def reader(name: str, roots: Roots = None) -> DatasetReader:
    """The reader of a database. Raises `UsageError` with the nearest name for an unknown one."""
    built_in = _built_in()
    if name in built_in:
        return built_in[name]
    own = _settings(roots).databases
    if name not in own:
        raise unknown("dataset", name, {*built_in, *own})
    from bench.data.datasets._user import UserReader

    return UserReader(name, own[name])


def info(spec: str, roots: Roots = None) -> DatasetInfo:
    """What is known of a database without having it, with the spec's label version in force."""
    found, version = _parse(spec, roots)
    return _described(found.info, version)


def _described(plain_info: DatasetInfo, version: str) -> DatasetInfo:
    from bench.data.datasets import _requirements

    if version in _requirements.REQUIREMENTS:
        return _requirements.described(plain_info, version)
    return plain_info.at(version)


def locate(spec: str, roots: Roots = None) -> Path | None:
    """The database's folder, None where there is none (a demo set: before it is rendered)."""
    found = _parse(spec, roots)[0]
    place = _settings(roots).folders.get(found.info.name)
    if place is not None:
        return place.root if place.root.is_dir() else None
    here = data_roots(roots)
    if found.info.demo or found.info.kind == "user":
        return found.find(here[0] if here else Path())
    candidates = [path for root in here if (path := found.find(root))]
    marked = [path for path in candidates if found.recognises(path)]
    return next(iter(marked or candidates), None)


def load(spec: str, roots: Roots = None) -> Dataset:
    """Find and read a database; a demo set is rendered when it is not there yet.

    Raises `UsageError` for an unknown name or version, `DataError` when it is not found or its
    annotation files are not what they should be.
    """
    from bench.data.datasets._requirements import REQUIREMENTS
    from bench.data.datasets.base import Dataset, complete

    found, version = _parse(spec, roots)
    root = locate(spec, roots) or found.obtain()
    if root is None:
        raise DataError(describe_missing(missing([spec], roots)))
    described = _described(found.info, version)
    folder = image_folder(spec, root, roots)
    if version not in REQUIREMENTS:
        table = _annotated(complete(found.read(root, version), described), found.info.name, roots)
        return Dataset(described, folder, table, _duplicates(table, found, root, roots))
    from bench.data.relabel import relabelled

    table = _annotated(complete(found.read(root, ""), found.info), found.info.name, roots)
    data = Dataset(described, folder, table, _duplicates(table, found, root, roots))
    names = [str(name) for name in data.table["reference"]]
    files = _pristine(spec, found, root, names)
    return relabelled(data, [files[name] for name in names], version, cache_folder() / "labels")


def _duplicates(
    table: pd.DataFrame, found: DatasetReader, root: Path, roots: Roots
) -> tuple[tuple[str, ...], ...]:
    """The images that are one picture: those that the reader knows of, and those of the user.

    One list serves all versions of a database, of which one may have images that another lacks
    (the training images of `livec@1169`): a name has to be that of an image in some version.
    """
    config = _settings(roots)
    listed = config.duplicates.get(found.info.name, ())
    wanted = {name for same in listed for name in same}
    if wanted and not wanted <= (known := set(table["image"])):
        known |= _names_in_versions(found, root)
        for name in sorted(wanted - known):
            near = hint(name, known)
            raise UsageError(
                f"{_named_in(config)}: duplicates: {found.info.name} has no image '{name}'.{near}"
            )
    return (*found.duplicates, *listed)


def _names_in_versions(found: DatasetReader, root: Path) -> set[str]:
    """Names of the images of all label versions whose files can be read."""
    from bench.data.datasets.base import complete

    names: set[str] = set()
    for version in ("", *found.info.versions):
        with contextlib.suppress(DataError):
            names.update(complete(found.read(root, version), found.info.at(version))["image"])
    return names


def strays(roots: Roots = None) -> list[str]:
    """A line for each list of equal pictures in `iqa-duplicates.yaml` that no database here has.

    The program writes that file, and nobody looks into it: a database that is no longer configured,
    or is configured in another data root, is no error there.
    """
    config = _settings(roots)
    lost = sorted(config.duplicates.keys() - {*_built_in(), *config.databases})
    return [
        f"{_named_in(config)}: the equal pictures of '{name}' are ignored: no database of this "
        "name is built in or configured here"
        for name in lost
    ]


def _named_in(config: Config) -> str:
    """The files that may list equal pictures."""
    return " or ".join(map(str, config.files))


def duplicates_file(spec: str, roots: Roots = None) -> Path:
    """Where equal pictures of a database are listed: `iqa-duplicates.yaml` of the data root that
    holds it, else of the first. Raises `UsageError` without a data root."""
    from bench.data.datasets._config import DUPLICATES

    places = data_roots(roots)
    if not places:
        raise UsageError("no data root to write to: give --data-root, or set IQA_DATA")
    where = locate(spec, roots)
    inside = (root for root in places if where and where.resolve().is_relative_to(root.resolve()))
    return next(inside, places[0]) / DUPLICATES


def list_duplicates(spec: str, pictures: Sequence[Sequence[str]], roots: Roots = None) -> Path:
    """Add names of images that are one picture to `duplicates_file`. Returns the file.

    Random splits keep such images on one side from then on. Raises as `duplicates_file`, and
    `OSError` where it cannot be written.
    """
    from bench.data.datasets._config import write_duplicates

    path = duplicates_file(spec, roots)
    write_duplicates(path, spec.partition("@")[0], tuple(map(tuple, pictures)))
    return path


def _annotated(table: pd.DataFrame, name: str, roots: Roots) -> pd.DataFrame:
    """The table with scenes and distortions from LIQE's files, where those are there."""
    from bench.data import annotations

    folder = split_folder("liqe", roots) if name in annotations.DATABASES else None
    return annotations.completed(table, name, folder) if folder else table


def _pristine(
    spec: str, found: DatasetReader, root: Path, references: Iterable[str]
) -> dict[str, Path]:
    """The file of every pristine image, by its name. Raises `DataError` for those not there."""
    files: dict[str, Path] = {}
    lost: list[str] = []
    for name in dict.fromkeys(references):
        paths = [path.replace("{}", name) for path in found.pristine] if name else []
        file = next((file for path in paths if (file := within(root, path))), None)
        if file is not None and file.is_file():
            files[name] = file
        else:
            lost.append(paths[0] if paths else "(an image without reference)")
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise DataError(
            f"{spec}: its labels compare each image with its pristine reference, and "
            f"{len(lost)} references are not under {root}: {', '.join(lost[:3])}{more}; get them "
            f"from {found.info.homepage or 'where the images came from'}"
        )
    return files


def image_folder(spec: str, root: Path, roots: Roots = None) -> Path:
    """The folder of the images of the database that lies at `root`."""
    found = _parse(spec, roots)[0]
    place = _settings(roots).folders.get(found.info.name)
    if place is not None and place.images is not None:
        return root / place.images
    return found.images(root)


def split_folder(scheme: str, roots: Roots = None) -> Path | None:
    """The published files of a scheme: configured, or a folder of that name in a data root.

    'liqe' has splits, scenes and distortions, 'arniqa' and lists of images have splits. None where
    there are none, and for a scheme that needs no files.
    """
    if scheme in RULES:
        return None
    configured = _settings(roots).splits.get(scheme)
    if configured is not None:
        return configured
    below = (path for root in data_roots(roots) for path in folders(root, depth=2))
    return next((path for path in below if plain(path.name) == plain(scheme)), None)


def missing(specs: Iterable[str], roots: Roots = None) -> list[Missing]:
    """The databases among `specs` that are not to be found; demo sets never are."""
    out = []
    for spec in dict.fromkeys(specs):
        described = info(spec, roots)
        if described.demo or locate(spec, roots) is not None:
            continue
        out.append(
            Missing(
                spec, described.title, described.homepage, described.folders, _looked(spec, roots)
            )
        )
    return out


def describe_missing(absent: Iterable[Missing]) -> str:
    """One message for all: what is missing, where it was looked for, where to get it."""
    absent = list(absent)
    lines = [f"{len(absent)} database{'s' * (len(absent) != 1)} not found:"]
    for one in absent:
        source = f"; get it from {one.homepage}" if one.homepage else ""
        lines.append(
            f"  {one.spec} ({one.title}): no folder {' or '.join(one.folders)} in "
            f"{', '.join(one.looked) or 'any data root (none is given)'}{source}"
        )
    lines.append("Give the parent folder with --data-root or IQA_DATA, or name a folder per")
    lines.append("database in iqa-data.yaml in the data root.")
    return "\n".join(lines)


def _looked(spec: str, roots: Roots) -> tuple[str, ...]:
    found = _parse(spec, roots)[0]
    place = _settings(roots).folders.get(found.info.name)
    if place is not None:
        return (str(place.root),)
    if found.info.kind == "user":
        return (str(_settings(roots).databases[found.info.name].root),)
    return tuple(str(root) for root in data_roots(roots))


def _parse(spec: str, roots: Roots) -> tuple[DatasetReader, str]:
    """The reader and the label version ("" for the default one) of a spec."""
    name, mark, version = spec.partition("@")
    found = reader(name, roots)
    if not mark or (version and version == found.info.standard):
        return found, ""
    from bench.data.datasets._requirements import REQUIREMENTS

    if version in REQUIREMENTS and not found.info.references:
        raise UsageError(f"{spec}: {name} has no pristine references to compare images with")
    if version not in {**found.info.versions, **REQUIREMENTS}:
        metrics = REQUIREMENTS if found.info.references else ()
        known = [*found.info.versions, *filter(None, [found.info.standard]), *metrics]
        raise unknown(f"label version of {name}", version, known)
    return found, version


def _settings(roots: Roots) -> Config:
    from bench.data.datasets._config import read_config

    config = read_config(data_roots(roots))
    built_in = _built_in()
    for name in config.databases:
        if name in built_in or name in TAKEN or not _NAME.fullmatch(name):
            raise UsageError(
                f"{config.files[0]}: a database of your own cannot be called '{name}': names hold "
                f"none of , : + @ # / and blanks, and are not {', '.join(sorted(TAKEN))} or a "
                "built-in one's"
            )
    for name in config.folders:
        if name not in built_in:
            raise unknown("dataset", name, built_in, where=f"{config.files[0]}: folders")
    everything = {*built_in, *config.databases}
    for name in sorted(config.listed_by_hand - everything):
        raise unknown("dataset", name, everything, where=f"{_named_in(config)}: duplicates")
    return config


@cache
def _built_in() -> dict[str, DatasetReader]:
    """Every reader class in this package's modules, so that a new file is all it takes."""
    from bench.data.datasets.base import DatasetReader

    found: dict[str, DatasetReader] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("_") or module.name == "base":
            continue
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        for item in vars(loaded).values():
            own = isinstance(item, type) and item.__module__ == loaded.__name__
            if own and issubclass(item, DatasetReader) and hasattr(item, "info"):
                found[item.info.name] = item()
    return found
