"""One database, from a source or a user's own files to the place where its reader finds it."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.data import datasets, housekeeping
from bench.data.fetch import archives, sources
from bench.data.fetch.download import Arrived, Progress, download, quiet, recorded
from bench.data.fetch.http import Patience, Remote
from bench.data.fetch.hub import remote_of
from bench.data.fetch.sources import Source
from bench.data.fetch.unpack import UnpackLimits, unpack
from bench.util import atomic
from bench.util.errors import DataError, UsageError

WORK = ".iqa-bench"
"""Folder in a data root for what is on its way and for receipts; no reader looks into it."""


@dataclass(frozen=True)
class Order:
    """What to get, with source and destination."""

    name: str
    """Bare name of the database."""
    root: Path
    """The data root that it goes into."""
    files: tuple[Remote, ...] = ()
    """What is to be downloaded, ..."""
    own: tuple[Path, ...] = ()
    """... or the user's own files instead."""
    source: Source | None = None
    """The listed source that `files` come from."""

    @property
    def folder(self) -> Path:
        """Where the database will lie: a name that its reader knows."""
        return self.root / self.name

    @property
    def work(self) -> Path:
        """Where it lies until then."""
        return self.root / WORK / self.name

    @property
    def receipt(self) -> Path:
        """The received files, their source, and the result of the check."""
        return self.root / WORK / f"{self.name}.json"


@dataclass(frozen=True)
class Got:
    """The result of an order."""

    order: Order
    there: housekeeping.DatasetStatus | None = None
    """Set where the database was there before: nothing was done."""
    arrived: tuple[Arrived, ...] = ()
    files: int = 0
    """How many files were put in place."""
    verified: housekeeping.Verification | None = None
    kept: tuple[Path, ...] = field(default=())
    """Archives that were downloaded and stay, since the result did not verify."""

    @property
    def good(self) -> bool:
        """Whether the database can be used."""
        if self.there is not None:
            return True
        return self.verified is not None and self.verified.good


def order(name: str, root: Path, wanted: Sequence[str] = ()) -> Order:
    """The order for `bench data get NAME --from WANTED`.

    `wanted` is nothing, 'mirror' or 'home', or one or several addresses or files. Raises
    `UsageError` for a name or file that does not exist, `DataError` that says how to apply where no
    address is known.
    """
    described = datasets.info(name)
    listed = sources.of_database(described.name)
    if len(wanted) == 1 and wanted[0] in ("mirror", "home"):
        source = listed.source(wanted[0])
        if source is None:
            others = ", ".join(one.origin for one in listed.sources) or "none"
            raise DataError(
                f"{name}: no source of the kind '{wanted[0]}' is known (kinds: {others})"
            )
        return _listed(described.name, root, source)
    if not wanted:
        source = listed.source()
        if source is None:
            raise DataError(
                f"{name}: {sources.how_to_apply(described.name)}. Once you have it, either put its "
                f"folder into a data root, or: bench data get {name} --from FILE"
            )
        return _listed(described.name, root, source)
    urls = [one for one in wanted if "://" in one]
    if urls and len(urls) < len(wanted):
        raise UsageError("--from: either addresses or files")
    if urls:
        remotes = tuple(_of_url(url, described.homepage) for url in urls)
        return Order(described.name, root, files=remotes)
    return Order(described.name, root, own=tuple(_own(Path(one).expanduser()) for one in wanted))


def _listed(name: str, root: Path, source: Source) -> Order:
    home = datasets.info(name).homepage
    files = tuple(remote_of(file, home) for file in source.files)
    return Order(name, root, files=files, source=source)


def _of_url(url: str, home: str) -> Remote:
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--from {url}: expected an address that begins with http:// or https://")
    file = sources.SourceFile(url=url)
    if not file.name:
        raise UsageError(f"--from {url}: the address names no file")
    return Remote(url, file.name, home=home)


def _own(path: Path) -> Path:
    if path.is_dir():
        raise UsageError(
            f"--from {path}: a folder; name its parent with --data-root or IQA_DATA, and it is "
            "read where it is"
        )
    if not path.is_file():
        raise UsageError(f"--from {path}: neither mirror nor home, nor an address, nor a file")
    return path


def get(
    wanted: Order,
    progress: Progress = quiet,
    patience: Patience | None = None,
    limits: UnpackLimits | None = None,
) -> Got:
    """Download or take, unpack, put in place and verify; one process a database and root at a time.

    Raises `DataError` for a source that fails, a harmful archive, and a folder that is in the way;
    `StoreError` for a disk that is full. Received files stay for the next call.
    """
    from filelock import FileLock, Timeout

    with atomic.writing(wanted.work):
        wanted.work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{wanted.work}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"waiting for another process that gets {wanted.name}", 0, None)
        lock.acquire()
    try:
        return _held(wanted, progress, patience, limits)
    finally:
        lock.release()


def tidy(name: str, root: Path) -> None:
    """Remove what a `get` left that was killed after the database was in place."""
    from filelock import FileLock, Timeout

    wanted = Order(name, root)
    if not wanted.work.exists():
        return
    with suppress(Timeout), FileLock(f"{wanted.work}.lock", timeout=0):
        shutil.rmtree(wanted.work, ignore_errors=True)


def _held(
    wanted: Order, progress: Progress, patience: Patience | None, limits: UnpackLimits | None
) -> Got:
    """As `get`, while no other process is at it."""
    there = _there(wanted)
    if there is not None:
        shutil.rmtree(wanted.work, ignore_errors=True)
        return Got(wanted, there=there)
    arrived = _arrived(wanted, progress, patience)
    count = _put(wanted, arrived, progress, limits)
    receipt(wanted, arrived)
    verified = housekeeping.verify(
        wanted.name,
        wanted.root,
        lambda done, total: progress(f"decoding {wanted.name}", done, total),
    )
    if verified.good:
        shutil.rmtree(wanted.work, ignore_errors=True)
    kept = [one.path for one in arrived if not (one.own or verified.good)]
    return Got(wanted, None, arrived, count, verified, tuple(kept))


def _there(wanted: Order) -> housekeeping.DatasetStatus | None:
    """The database, where the root has all of it. Raises `DataError` where it has a part."""
    found = housekeeping.status_of(wanted.name, wanted.root)
    if found.state == "complete":
        return found
    if wanted.folder.exists():
        raise DataError(
            f"'{wanted.folder}' is in the way: {found.state}"
            f"{f' ({found.problem})' if found.problem else ''}; move it away, or give another "
            "folder with --to"
        )
    return None


def _arrived(wanted: Order, progress: Progress, patience: Patience | None) -> tuple[Arrived, ...]:
    if wanted.own:
        listed = sources.of_database(wanted.name)
        digests = {file.name: file.sha256 for one in listed.sources for file in one.files}
        return tuple(
            recorded(path, path.resolve().as_uri(), digests.get(path.name, ""))
            for path in wanted.own
        )
    return tuple(download(file, wanted.work, patience, progress) for file in wanted.files)


def _put(
    wanted: Order, arrived: Sequence[Arrived], progress: Progress, limits: UnpackLimits | None
) -> int:
    """Unpack beside the place and rename: the place has nothing or all of it."""
    staged = wanted.work / "unpacked"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        count = sum(_added(one, staged, progress, limits) for one in arrived)
        with atomic.writing(wanted.folder):
            staged.rename(wanted.folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return count


def _added(one: Arrived, staged: Path, progress: Progress, limits: UnpackLimits | None) -> int:
    """The files of one archive, or a single file that is not an archive."""
    name = one.path.name
    if archives.is_archive(one.path):
        title = f"unpacking {name}"
        return unpack(one.path, staged, limits, lambda done: progress(title, done, None))
    with atomic.writing(staged / name):
        staged.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(one.path, staged / name)
    return 1


def receipt(wanted: Order, arrived: Sequence[Arrived]) -> None:
    """Write down what came: address, size, sha256, and what that was compared with."""
    files = [
        {"url": one.url, "bytes": one.size, "sha256": one.sha256, "checked": one.checked}
        for one in arrived
    ]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    atomic.write_json(wanted.receipt, {"database": wanted.name, "date": today, "files": files})
