"""Archives as sequences of members: tar (plain or packed), zip and 7z behind one face."""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from bench.util.errors import DataError

Kind = Literal["file", "folder", "symlink", "hardlink", "other"]
PIECE = 2**20
TABLES = (".xlsx", ".ods")
"""Zip archives that are tables and must not be unpacked."""
DAMAGED = (EOFError, OSError, ValueError, KeyError, zlib.error)
"""Errors that readers of archives raise for damaged bytes, besides their own classes."""


@dataclass(frozen=True)
class ArchiveMember:
    """One entry of an archive, as the archive describes it; do not trust any of it."""

    name: str
    kind: Kind
    size: int
    """Bytes when unpacked."""
    link: str = ""
    """Where a link points."""


Sink = Callable[[bytes], None]
"""Takes the bytes of one file, piece by piece."""
Visit = Callable[[ArchiveMember], Sink | None]
"""Returns a sink for the bytes of a member, or None to skip them."""


def is_archive(path: Path) -> bool:
    """Whether a file is an archive that `visit` reads, by its content."""
    if path.suffix.lower() in TABLES:
        return False
    return zipfile.is_zipfile(path) or _is_7z(path) or _tar(path)


def _tar(path: Path) -> bool:
    try:
        with tarfile.open(path) as archive:
            return archive.next() is not None
    except (tarfile.TarError, *DAMAGED):
        return False


def declared(path: Path) -> list[ArchiveMember]:
    """All members where the archive has a list of them (zip, 7z); [] for tar, which has none."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return [_of_zip(info) for info in archive.infolist()]
        if _is_7z(path):
            import py7zr

            with py7zr.SevenZipFile(path) as archive7:
                return [_of_7z(entry) for entry in archive7.files]
    except Exception as error:  # each reader has errors of its own for damaged bytes
        raise damaged(path, error) from error
    return []


def visit(path: Path, each: Visit) -> None:
    """Show `each` member in the archive's order and pour the bytes of files into its sink.

    Raises `DataError` for an archive that is damaged, cut off or needs a password; what `each` and
    its sinks raise passes through.
    """
    try:
        if zipfile.is_zipfile(path):
            _visit_zip(path, each)
        elif _is_7z(path):
            _visit_7z(path, each)
        else:
            _visit_tar(path, each)
    except Rejected as error:
        raise error.reason from None
    except Exception as error:
        raise damaged(path, error) from error


class Rejected(Exception):
    """Carries an error of a visitor past the readers, whose own errors have the same classes."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


def damaged(path: Path, error: Exception) -> DataError:
    """The error for an archive that cannot be read."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(f"'{path}': not an archive that can be read: {reason}")


def _is_7z(path: Path) -> bool:
    import py7zr

    return py7zr.is_7zfile(path)


def _visit_tar(path: Path, each: Visit) -> None:
    # A stream: each member is met once, in order, and none is looked up by its name.
    with tarfile.open(path, "r|*") as archive:
        for info in archive:
            sink = _guarded(each, _of_tar(info))
            if sink is not None:
                _pour(archive.extractfile(info), sink)


def _of_tar(info: tarfile.TarInfo) -> ArchiveMember:
    kinds: tuple[tuple[bool, Kind], ...] = (
        (info.isfile(), "file"),
        (info.isdir(), "folder"),
        (info.issym(), "symlink"),
        (info.islnk(), "hardlink"),
    )
    kind: Kind = next((kind for found, kind in kinds if found), "other")
    return ArchiveMember(info.name, kind, info.size, info.linkname)


def _visit_zip(path: Path, each: Visit) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            sink = _guarded(each, _of_zip(info))
            if sink is not None:
                with archive.open(info) as stream:
                    _pour(stream, sink)


def _of_zip(info: zipfile.ZipInfo) -> ArchiveMember:
    # The upper half holds the Unix mode; it is 0 for archives from Windows.
    mode = info.external_attr >> 16
    kind: Kind = "folder" if info.is_dir() else "file"
    if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "symlink" if stat.S_ISLNK(mode) else "other"
    return ArchiveMember(info.filename, kind, info.file_size)


def _visit_7z(path: Path, each: Visit) -> None:
    import py7zr

    with py7zr.SevenZipFile(path) as archive:
        sinks = {}
        for entry in archive.files:
            sink = _guarded(each, _of_7z(entry))
            if sink is not None:
                sinks[entry.filename] = sink
        # In one call: 7z packs files together, and unpacking them one by one starts anew each time.
        archive.extract(targets=list(sinks), factory=_sinks(sinks))


def _of_7z(entry: Any) -> ArchiveMember:
    kind: Kind = "folder" if entry.is_directory else "file"
    if entry.is_symlink:
        kind = "symlink"
    elif entry.is_junction or entry.is_socket:
        kind = "other"
    return ArchiveMember(entry.filename, kind, int(entry.uncompressed or 0))


def _sinks(sinks: dict[str, Sink]) -> Any:
    """The files that py7zr writes to: a sink for each name, and none for other names."""
    from py7zr.io import Py7zIO, WriterFactory

    class Into(Py7zIO):
        def __init__(self, sink: Sink) -> None:
            self._sink, self._size = sink, 0

        def write(self, s: bytes | bytearray) -> int:
            _guarded(self._sink, bytes(s))
            self._size += len(s)
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return self._size

    class Factory(WriterFactory):
        def create(self, filename: str) -> Py7zIO:
            return Into(sinks[filename])

    return Factory()


def _pour(stream: IO[bytes] | None, sink: Sink) -> None:
    while stream is not None and (piece := stream.read(PIECE)):
        _guarded(sink, piece)


def _guarded(work: Callable[[Any], Any], value: Any) -> Any:
    try:
        return work(value)
    except Exception as error:
        raise Rejected(error) from error
