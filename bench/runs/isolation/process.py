"""The harness's side of a method's process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import source
from bench.api import Epoch, Images, LabelledSet, Scores
from bench.model.costs import Measured
from bench.runs.isolation import child
from bench.runs.isolation.messages import Account, Facts, Failure, MethodFailed, Start
from bench.runs.isolation.names import Neutral

PRELOADED = ("bench.runs.isolation.child", "bench.data.images", "bench.runs.isolation.known_once")
HIDDEN = ("IQA_DATA",)
"""Environment variables that a method's process does not get: the folders of the databases."""


class MethodDied(Exception):
    """The process of a method was killed by a signal or exited by itself."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the method's process ended with code {code}")
        self.code = code


@dataclass
class MethodProcess:
    """One method in its own process, which answers requests in order.

    Raises `MethodFailed` if the method raised, and `MethodDied` if its process is gone.
    """

    start: Start
    say: Callable[[str], None] = lambda text: None
    """Called with lines of progress."""
    _names: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> MethodProcess:
        context = _context(self.start.method)
        self._pipe, theirs = context.Pipe()
        ours, self._lifeline = context.Pipe(duplex=False)
        arguments = (theirs, ours, self.start)
        self._process = context.Process(target=child.serve, args=arguments, daemon=True)
        # The fork server inherits the environment of the first start.
        with _hidden():
            self._process.start()
        theirs.close()
        ours.close()
        _RUNNING.append(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _RUNNING.remove(self)
        self._pipe.close()
        self._lifeline.close()
        if kind is not None:  # it may be in the middle of an epoch and would not see the end
            self._process.kill()
        self._process.join()
        self._process.close()

    @property
    def name(self) -> str:
        """The method's name without argument."""
        return self.facts.name

    @property
    def facts(self) -> Facts:
        """Properties of the method, asked once."""
        if "_facts" not in self.__dict__:
            self.__dict__["_facts"] = self._ask("facts")
        found: Facts = self.__dict__["_facts"]
        return found

    def account(self) -> Account:
        """What the record says of the method after it ran."""
        found: Account = self._ask("account")
        return replace(found, notes=tuple(self._named(note) for note in found.notes))

    def measure(self, images: Images) -> Measured:
        """The method's cost, on images of the size that it is shown."""
        found: Measured = self._ask("measure", images)
        return found

    def know(self, labels: Mapping[str, float]) -> None:
        """Give an oracle its labels, by the names of the images' files."""
        self._ask("know", dict(labels))

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """As `Method.fit`: yields epochs, takes the monitored number."""
        self._ask("begin_fit", self._hide_names(train))
        yield from self._epochs()

    def pretrain(self, corpora: Sequence[LabelledSet]) -> Iterator[Epoch]:
        """As `Method.pretrain`."""
        self._ask("begin_pretraining", [self._hide_names(corpus) for corpus in corpora])
        yield from self._epochs()

    def predict(self, images: Images) -> Scores:
        """As `Method.predict`; the scores are not checked here."""
        found: Scores = self._ask("predict", self._hide(images))
        return found

    def embed(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """As `Method.embed`."""
        found: npt.NDArray[np.floating[Any]] = self._ask("embed", self._hide(images))
        return found

    def attend(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """As `Method.attend`."""
        found: npt.NDArray[np.floating[Any]] = self._ask("attend", self._hide(images))
        return found

    def per_image(self, images: Images) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """As `Method.per_image`."""
        found: dict[str, npt.NDArray[np.floating[Any]]] = self._ask("per_image", self._hide(images))
        return found

    def save_pretrained(self, path: Path) -> None:
        """As `Method.save_pretrained`."""
        self._ask("save_pretrained", path)

    def save(self, path: Path) -> None:
        """As `Method.save`."""
        self._ask("save", path)

    def load(self, path: Path) -> None:
        """As `Method.load`."""
        self._ask("load", path)

    def _epochs(self) -> Generator[Epoch, float | None, None]:
        reply: float | None = None
        while True:
            epoch: Epoch | None = self._ask("advance", reply)
            if epoch is None:
                return
            reply = yield epoch

    def _hide_names(self, labelled: LabelledSet) -> LabelledSet:
        return replace(labelled, images=self._hide(labelled.images))

    def _hide(self, images: Images) -> Images:
        if self.facts.real_names:
            return images
        neutral = Neutral.of(images)
        self._names.update(neutral.real)
        return neutral.images

    def _named(self, text: str) -> str:
        """A message with the files' names in place of neutral ones."""
        for neutral, real in self._names.items():
            if neutral in text:
                text = text.replace(neutral, real)
        return text

    def _ask(self, request: str, *arguments: Any) -> Any:
        try:
            self._pipe.send((request, arguments))
            while True:
                kind, value = self._pipe.recv()
                if kind == "say":
                    self.say(value)
                    continue
                break
        except (EOFError, OSError) as error:
            self._process.join()
            raise MethodDied(self._process.exitcode or 0) from error
        if kind == "error":
            failure: Failure = value
            text, trace = self._named(failure.text), self._named(failure.trace)
            raise MethodFailed(replace(failure, text=text, trace=trace))
        return value

    def trace(self) -> None:
        """Ask the method's process to write to the log where each of its threads is."""
        with contextlib.suppress(ProcessLookupError, TypeError, ValueError):
            os.kill(self._process.pid or 0, signal.SIGUSR1)


_RUNNING: list[MethodProcess] = []


def trace_running() -> None:
    """Ask the process of every open method to log where its threads are."""
    for process in _RUNNING:
        process.trace()


def _context(method: str) -> ForkServerContext:
    """The fork server, which imports what its first method needs when it starts.

    It opens no file of a database, starts no thread and uses no device, so that every fit
    begins from the same clean state.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, *source.heavy_imports(method)])
    return context


@contextlib.contextmanager
def _hidden() -> Iterator[None]:
    """Remove `HIDDEN` from the environment while the fork server starts with the first process."""
    kept = {name: os.environ.pop(name) for name in HIDDEN if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
