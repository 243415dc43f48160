"""The changes of a branch of a leaderboard's repository, by git."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.model import cards
from bench.publishing.board import NAMES, SUBMISSIONS, Board
from bench.util.errors import BenchError, UsageError

_FILES = ("100644", "100755", "000000")
"""Git's modes of files, and of removed ones."""


@dataclass(frozen=True)
class Changes:
    """The files that differ between the start of a branch and its last commit."""

    paths: tuple[str, ...]
    """Relative to the leaderboard's folder."""
    no_files: tuple[str, ...] = ()
    """Changed files that are now links or other repositories; a checkout may show them as files."""

    @property
    def submissions(self) -> list[str]:
        """Names of the submissions with changed files, sorted."""
        found = {
            parts[1]
            for path in self.paths
            if len(parts := path.split("/")) > 2 and parts[0] == SUBMISSIONS
        }
        return sorted(found)

    @property
    def outside(self) -> list[str]:
        """Changed files of no submission."""
        own = tuple(f"{SUBMISSIONS}/{name}/" for name in self.submissions)
        return [path for path in self.paths if not (own and path.startswith(own))]


def changes(root: Path, base: str) -> Changes:
    """The changes of the checked-out branch since it left `base`.

    Raises `UsageError` if the folder is in no git repository, or the base is unknown there.
    """
    commit = _commit(root, base)
    text = _git(root, "diff", "--raw", "--no-renames", "--relative", "-z", f"{commit}...HEAD")
    # Two texts a file: ":MODE MODE HASH HASH STATUS", of before and now, and the path.
    parts = text.decode("utf-8", "replace").split("\0")
    modes = {path: about.split()[1] for about, path in zip(parts[:-1:2], parts[1::2], strict=True)}
    return Changes(tuple(modes), tuple(path for path in modes if modes[path] not in _FILES))


@contextmanager
def board_at(root: Path, base: str) -> Iterator[Board]:
    """The leaderboard at a commit, in a temporary folder."""
    archive = _git(root, "archive", "--format=tar", _commit(root, base))
    with tempfile.TemporaryDirectory(prefix="iqa-bench-board-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        yield Board.read(Path(folder))


def refusals(found: Changes, before: Board, author: str) -> Iterator[str]:
    """Why changes are not those of one submission by its owner; empty if they are."""
    names = found.submissions
    for path in found.no_files[:3]:
        yield f"{path} is a link or another repository; a submission holds files alone"
    if found.outside:
        shown = ", ".join(found.outside[:3])
        more = f" and {len(found.outside) - 3} more" if len(found.outside) > 3 else ""
        yield f"changes files outside one's own submission: {shown}{more}"
    if len(names) > 1:
        yield f"changes several submissions at once: {', '.join(names)}"
    if not names:
        yield "changes no submission; a maintainer has to look at it"
    for name in names:
        if not before.can_name(name):
            yield f"'{name}' cannot name a submission: {NAMES}"
            continue
        owner = _owner(before, name)
        if owner is not None and owner != author:
            who = f"{author} does not" if author else "nobody was named (--author) who does"
            yield f"overwrites '{name}', which belongs to {owner}; {who}"


def _owner(board: Board, name: str) -> str | None:
    """Who may change a submission of a board; None if there is none of this name."""
    if name not in board.submissions:
        return None
    try:
        return cards.read(board.folder(name) / cards.FILE).submitter
    except BenchError:
        return "a card that cannot be read"


def _commit(root: Path, base: str) -> str:
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
    try:
        return _git(root, *asked).decode().strip()
    except UsageError:
        raise UsageError(f"--base {base}: no such commit in the repository of '{root}'") from None


def _git(root: Path, *arguments: str) -> bytes:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise UsageError("--base needs git, which is not installed") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["git failed"]
        raise UsageError(f"git in '{root}': {said[-1]}")
    return done.stdout
