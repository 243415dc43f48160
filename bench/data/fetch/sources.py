"""Where databases and checkpoints can be obtained: `bench/data/sources.yaml`, validated."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from bench.data import datasets
from bench.util.errors import UsageError
from bench.util.strict import StrictModel
from bench.util.yaml_files import load_yaml

FILE = Path(__file__).parents[1] / "sources.yaml"
UNITS = {"MB": 1e6, "GB": 1e9}
Origin = Literal["mirror", "home"]


@dataclass(frozen=True)
class RoughSize:
    """A size as people print it."""

    text: str
    bytes: int
    slack: int
    """How far the true number may be off: half of the last digit, and a tenth, since a MB may be
    10^6 or 2^20 bytes."""

    @classmethod
    def of(cls, text: str) -> RoughSize:
        """The size that '6.35 GB' means. ValueError for another text.

        >>> RoughSize.of("721 MB").fits(730_000_000), RoughSize.of(".1 GB").fits(2_000)
        (True, False)
        """
        found = re.fullmatch(r"(\d*)\.?(\d*) (MB|GB)", text)
        if found is None or not found[1] + found[2]:
            raise ValueError(f"'{text}' is not a size; expected one such as 721 MB or 6.35 GB")
        unit = UNITS[found[3]]
        size = float(text.split()[0]) * unit
        last_digit = unit / 10 ** len(found[2])
        return cls(text, round(size), round(0.1 * size + last_digit / 2))

    def fits(self, size: int) -> bool:
        """Whether a number of bytes may be this size."""
        return abs(size - self.bytes) <= self.slack


class SourceFile(StrictModel):
    """One file that is downloaded: an address, or a file of a repository of the hub."""

    url: str = ""
    hub: str = ""
    """OWNER/NAME on the Hugging Face hub; datasets/OWNER/NAME for a repository of data."""
    file: str = ""
    """Its name; by default the last part of the address."""
    size: str = ""
    """As published, e.g. '721 MB'; '' where it is not known."""
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")

    @field_validator("size")
    @classmethod
    def _is_a_size(cls, value: str) -> str:
        if value:
            RoughSize.of(value)
        return value

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if bool(self.url) == bool(self.hub):
            raise ValueError("needs 'url' or 'hub', and not both")
        if self.hub and not self.file:
            raise ValueError("needs 'file', since it is on the hub")
        return self

    @property
    def name(self) -> str:
        """What it is called on disk."""
        return self.file or PurePosixPath(urlsplit(self.url).path).name

    @property
    def rough_size(self) -> RoughSize | None:
        """Its published size, None where that is not known."""
        return RoughSize.of(self.size) if self.size else None


class Source(StrictModel):
    """One place that has a whole database."""

    origin: Origin = Field(alias="from")
    files: tuple[SourceFile, ...] = Field(min_length=1)
    evidenced: datetime.date
    """When somebody last saw it there."""


class DatabaseSources(StrictModel):
    """Where to get one database."""

    asks: tuple[str, ...] = ()
    """Further conditions of its terms."""
    note: str = ""
    """What to know before getting it."""
    apply: str = ""
    """How to get it where no address is known."""
    sources: tuple[Source, ...] = ()

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if bool(self.apply) == bool(self.sources):
            raise ValueError("needs 'sources' or 'apply', and not both")
        return self

    def source(self, origin: str | None = None) -> Source | None:
        """The first source, or the first of an origin; None where there is none."""
        found = (one for one in self.sources if origin in (None, one.origin))
        return next(found, None)


class WeightsSource(StrictModel):
    """A method's released checkpoint."""

    setting: str
    """The method's setting that takes its path."""
    hub: str
    file: str
    what: str
    """What it is, in a few words."""
    seen: tuple[str, ...]
    """The databases whose labels it has seen."""
    evidenced: datetime.date
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")

    @property
    def source_file(self) -> SourceFile:
        """The file to download."""
        return SourceFile(hub=self.hub, file=self.file, sha256=self.sha256)


class Sources(StrictModel):
    """The whole file."""

    databases: dict[str, DatabaseSources]
    weights: dict[str, WeightsSource] = Field(default_factory=dict)


@cache
def known() -> Sources:
    """All sources. Raises `UsageError` that names line and key of what is wrong in the file."""
    return load_yaml(FILE, Sources)


def of_database(name: str) -> DatabaseSources:
    """The sources of a database (bare name); where none are listed, that its home page has it.

    Raises `UsageError` for a demo set or a database of the user's own.
    """
    info = datasets.info(name)
    if info.demo:
        raise UsageError(f"{name} is rendered by the project itself: there is nothing to get")
    if info.kind == "user":
        raise UsageError(f"{name} is a database of your own: nobody else has it")
    listed = known().databases.get(info.name)
    if listed is not None:
        return listed
    return DatabaseSources(apply="no direct link is known; see its page")


def how_to_apply(name: str) -> str:
    """How to get a database that no address is known of, with its page."""
    page = datasets.info(name).homepage
    return f"{of_database(name).apply}: {page}" if page else of_database(name).apply


def in_a_line(name: str) -> str:
    """How to get a database: the command, or how to apply."""
    listed = of_database(name)
    kinds = [f"{one.origin}, {published_size(one.files)}" for one in listed.sources]
    return f"bench data get {name} ({'; '.join(kinds)})" if kinds else how_to_apply(name)


def published_size(files: tuple[SourceFile, ...]) -> str:
    """The published sizes of some files together, e.g. '6.35 GB'; 'unknown size' without any."""
    known_sizes = [one.rough_size for one in files if one.rough_size]
    total = sum(size.bytes for size in known_sizes)
    return readable(total) if known_sizes else "unknown size"


def readable(size: int) -> str:
    """Bytes in words.

    >>> readable(6_350_000_000), readable(17_100_000), readable(2_048)
    ('6.35 GB', '17.1 MB', '2.05 kB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
