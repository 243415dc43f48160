"""Unpacking what somebody else packed: nothing leaves the folder, and nothing fills the disk."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.data.fetch import archives
from bench.data.fetch.archives import ArchiveMember, Sink
from bench.data.fetch.download import need_room
from bench.data.fetch.sources import readable
from bench.util import atomic
from bench.util.errors import DataError


@dataclass(frozen=True)
class UnpackLimits:
    """Limits that no database's archive approaches: the largest has 100,000 images."""

    members: int = 2_000_000
    """Files and folders."""
    ratio: float = 100.0
    """Bytes unpacked to bytes packed, ..."""
    harmless: int = 2**28
    """... counted from so many bytes on: small text packs well."""


def unpack(
    archive: Path,
    folder: Path,
    limits: UnpackLimits | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Unpack a tar, zip or 7z into `folder`; returns how many files it holds.

    `folder` is new, or holds what was unpacked from another archive of the same database.

    Raises `DataError` for a damaged archive and for one that means harm: a name that climbs out or
    is absolute, a link that leads out, a device, more members or bytes than `limits` grant. A link
    in a zip or 7z is refused wherever it leads. Raises `StoreError` where the disk is too small.
    The folder then holds a part; remove it. `progress` is called with the bytes unpacked.
    """
    unpacking = _Unpacking(archive, folder, limits or UnpackLimits(), progress)
    members = archives.declared(archive)
    for member in members:  # what can be refused is refused before anything is written
        unpacking.count(member)
    need_room(folder.parent, unpacking.announced)
    unpacking.begin()
    archives.visit(archive, unpacking.take)
    unpacking.link()
    return unpacking.files


@dataclass
class _Unpacking:
    archive: Path
    folder: Path
    limits: UnpackLimits
    progress: Callable[[int], None]
    files: int = 0
    members: int = 0
    announced: int = 0
    """Bytes that the members so far say they have."""
    written: int = 0
    _links: list[tuple[Path, str]] = field(default_factory=list)

    def begin(self) -> None:
        """Start over with the counts, and make the folder."""
        self.files = self.members = self.announced = 0
        with atomic.writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def count(self, member: ArchiveMember) -> Path:
        """Where a member goes. Raises `DataError` for one that is refused."""
        self.members += 1
        self.announced += member.size
        if self.members > self.limits.members:
            raise self._refused(f"more than {self.limits.members:,} files: a bomb, no database")
        self._refuse_bomb(self.announced)
        target = self._inside(member.name, "a name")
        if member.kind == "other":
            raise self._refused(f"'{member.name}' is a device or the like")
        if member.kind in ("symlink", "hardlink"):
            self._destination(member, target)
        return target

    def _refuse_bomb(self, size: int) -> None:
        packed = max(self.archive.stat().st_size, 1)
        if size > max(self.limits.harmless, self.limits.ratio * packed):
            raise self._refused(
                f"it unpacks to more than {self.limits.ratio:g} times its {readable(packed)}: "
                "a bomb, no database"
            )

    def _inside(self, name: str, what: str) -> Path:
        """A name as a path under the folder. Raises `DataError` if it leads elsewhere."""
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        absolute = name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name)
        if absolute or ".." in parts or "\0" in name:
            raise self._refused(f"'{name}' is {what} that leads out of the folder")
        return self.folder.joinpath(*parts)

    def _destination(self, member: ArchiveMember, target: Path) -> Path:
        """What a link points to. Raises `DataError` where that is not inside the folder."""
        # A hard link of a tar counts from the archive's top, a symbolic one from where it lies.
        name = member.link
        if member.kind == "symlink" and not name.startswith(("/", "\\")):
            around = target.parent.relative_to(self.folder).as_posix()
            name = os.path.normpath(f"{around}/{name}")
        if not member.link:
            raise self._refused(f"'{member.name}' is a link")
        return self._inside(name, f"the target of the link '{member.name}', one")

    def take(self, member: ArchiveMember) -> Sink | None:
        """Make room for a member, or the member itself; a file's bytes go into what is returned."""
        target = self.count(member)
        need_room(self.folder, member.size)
        with atomic.writing(target):
            if member.kind == "folder":
                target.mkdir(parents=True, exist_ok=True)
                return None
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if member.kind == "symlink":
                # Made last, so that no file is written through one.
                self._links.append((target, member.link))
                return None
            if member.kind == "hardlink":
                self._same_file(member, target)
                return None
            target.touch()
        self.files += 1
        return self._sink(target)

    def _same_file(self, member: ArchiveMember, target: Path) -> None:
        earlier = self._destination(member, target)
        if not earlier.is_file():
            raise self._refused(f"'{member.name}' is a link to '{member.link}', which is not there")
        os.link(earlier, target, follow_symlinks=False)

    def _sink(self, target: Path) -> Sink:
        def write(data: bytes) -> None:
            self.written += len(data)
            self._refuse_bomb(self.written)
            with atomic.writing(target), target.open("ab") as file:
                file.write(data)
            self.progress(self.written)

        return write

    def link(self) -> None:
        """Make the symbolic links. Raises `DataError` for one that leads out after all."""
        for target, destination in self._links:
            with atomic.writing(target):
                target.symlink_to(destination)
        top = self.folder.resolve()
        for target, destination in self._links:
            if not target.resolve().is_relative_to(top):
                raise self._refused(f"the link '{target.name}' to '{destination}' leads out")

    def _refused(self, reason: str) -> DataError:
        return DataError(f"'{self.archive}' is refused: {reason}")
