"""A download that is not whole yet: its bytes, and a journal of the parts that are there."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from bench.data.fetch.http import RemoteFile
from bench.util import atomic


def part_of(target: Path) -> Path:
    """The file of a download that is not complete yet."""
    return target.with_name(f"{target.name}.part")


class Partial:
    """`NAME.part`, with what it is part of in `NAME.part.json` and finished parts in `NAME.done`.

    A part is in the journal only after its bytes are on the disk, so that a process that is killed
    at any moment leaves nothing that the next one could take for more than it is.
    """

    def __init__(self, target: Path, url: str, answer: RemoteFile, chunk: int) -> None:
        self.path = part_of(target)
        self._target = target
        self._about = target.with_name(f"{target.name}.part.json")
        self._journal = target.with_name(f"{target.name}.done")
        self._lock = threading.Lock()
        self.size = answer.size
        self.chunk = chunk
        self._identity = {"url": url, "size": answer.size, "tag": answer.tag, "chunk": chunk}
        with atomic.writing(self.path):
            if not answer.ranges or not self._is_the_same():
                self.discard()
                atomic.write_json(self._about, self._identity)
            binary = getattr(os, "O_BINARY", 0)  # Windows would change line ends
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | binary, 0o666)

    def _is_the_same(self) -> bool:
        """Whether the parts on the disk belong to the file that the server has now."""
        try:
            return bool(json.loads(self._about.read_text(encoding="utf-8")) == self._identity)
        except (OSError, ValueError):
            return False

    def __enter__(self) -> Partial:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def missing(self) -> list[tuple[int, int]]:
        """The parts that are not there yet: (first byte, byte behind the last)."""
        done = self._done()
        starts = range(0, self.size or 0, self.chunk)
        ends = {start: min(start + self.chunk, self.size or 0) for start in starts}
        return [(start, end) for start, end in ends.items() if start not in done]

    def _done(self) -> set[int]:
        with suppress(OSError):
            lines = self._journal.read_text(encoding="utf-8").splitlines(keepends=True)
            # A line without its end was being written when the process was killed.
            return {int(line) for line in lines if line.endswith("\n") and line.strip().isdigit()}
        return set()

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes at their place. Raises `StoreError` where the disk is full."""
        with atomic.writing(self.path), self._lock:
            os.lseek(self._file, offset, os.SEEK_SET)
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]

    def finished(self, start: int) -> None:
        """Note that the part from `start` on is whole."""
        with atomic.writing(self._journal):
            # The bytes first: the journal must never name a part that is not on the disk.
            os.fsync(self._file)
            with self._lock, self._journal.open("a", encoding="utf-8") as journal:
                journal.write(f"{start}\n")

    def restart(self) -> None:
        """Begin again, for a server that gives a file only from its start."""
        with atomic.writing(self.path):
            self._journal.unlink(missing_ok=True)
            os.ftruncate(self._file, 0)

    def complete(self) -> None:
        """Give the file its name."""
        with atomic.writing(self._target):
            os.fsync(self._file)
            self.path.replace(self._target)
            self._about.unlink(missing_ok=True)
            self._journal.unlink(missing_ok=True)

    def discard(self) -> None:
        """Forget all of it."""
        for path in (self._journal, self._about, self.path):
            path.unlink(missing_ok=True)
