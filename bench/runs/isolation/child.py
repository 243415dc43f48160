"""The method's end: builds one method and answers the harness until the pipe closes."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import traceback
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench import registry, source
from bench.api import (
    BenchError,
    Context,
    Epoch,
    Features,
    Images,
    LabelledSet,
    Method,
    computed_anew,
    ran_out,
)
from bench.model.costs import Measured
from bench.runs.isolation.measuring import TrainedParameters, measure
from bench.runs.isolation.memory import advice, retry_smaller_batch
from bench.runs.isolation.messages import Account, Facts, Failure, Start
from bench.store import artifacts
from bench.util import determinism
from bench.util.environment import environment, peak_memory_mb

ABANDONED = 130


def serve(pipe: Connection, lifeline: Connection, start: Start) -> None:
    """Build the method of `start`, then answer one request after another.

    A request is (name, arguments); an answer ('value', result), ('error', `Failure`), or, before
    either, any number of ('say', line). Ends when the harness closes the pipe or dies.
    """
    # Ctrl-C reaches every process of the terminal, but the harness decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave_traces()
    # Even if the harness is killed, the system closes its end of this pipe.
    threading.Thread(target=_end_with_the_harness, args=(lifeline,), daemon=True).start()
    served = Served(pipe, start)
    while True:
        try:
            name, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = ("value", getattr(served, name)(*arguments))
        except Exception as error:  # the harness reports whatever a method raises
            answer = ("error", _failure(error, start.method))
        pipe.send(answer)


class Served:
    """The requests, each a public method of this class."""

    def __init__(self, pipe: Connection, start: Start) -> None:
        self._pipe = pipe
        self._start = start
        self._built: Method | None = None
        self._steps: Generator[Epoch, Any, None] | None = None
        self._begun = False
        self._trained = TrainedParameters()

    def facts(self) -> Facts:
        """Properties of the method that the harness needs first."""
        method = self._method
        return Facts(
            name=method.name,
            policy=method.policy,
            corpus_policy=method.corpus_policy,
            learns=type(method).learns(),
            real_names=method.real_names,
            reads_images=method.reads_images,
            oracle_of=method.oracle_of(),
            corpora=tuple(method.corpora()),
            corpus_normalise=method.corpus_normalise,
            able=artifacts.able(type(method)),
            may_miss=method.may_miss,
            saves=type(method).save is not Method.save,
        )

    def account(self) -> Account:
        """What the record says of the method after it ran."""
        device = self._start.device
        method = self._method
        return Account(
            notes=tuple(method.notes),
            trained_on=tuple(method.all_trained_on()),
            environment=environment(device),
            peak_memory_mb=peak_memory_mb(device),
        )

    def know(self, labels: dict[str, float]) -> None:
        """Labels for an oracle."""
        self._method.context.labels = labels

    def load_pretrained(self, path: Path) -> None:
        """Read a pre-trained state."""
        self._method.load_pretrained(path)

    def begin_fit(self, train: LabelledSet) -> None:
        """Get ready to learn; `advance` does it."""
        self._trained.watch()
        self._steps, self._begun = self._method.fit(train), False
        self._method.learnt = True

    def begin_pretraining(self, corpora: Sequence[LabelledSet]) -> None:
        """Get ready to pre-train; `advance` does it."""
        self._steps, self._begun = self._method.pretrain(corpora), False

    def advance(self, reply: float | None) -> Epoch | None:
        """One epoch, after the monitored number of the last one; None at the end."""
        assert self._steps is not None
        try:
            epoch = self._steps.send(reply) if self._begun else next(self._steps)
        except StopIteration:
            self._steps = None
            return None
        self._begun = True
        return epoch

    def measure(self, images: Images) -> Measured:
        """Measure the method's cost."""
        return measure(self._method, images, self._trained)

    def predict(self, images: Images) -> np.ndarray[Any, Any]:
        """The method's scores, with a smaller batch if memory runs out."""
        method = self._method
        method.require_learnt()
        return np.asarray(
            retry_smaller_batch(method, lambda: method.predict(images)), dtype=np.float64
        )

    def embed(self, images: Images) -> np.ndarray[Any, Any]:
        """Features."""
        method = self._method
        return np.asarray(retry_smaller_batch(method, lambda: method.embed(images)))

    def attend(self, images: Images) -> np.ndarray[Any, Any]:
        """Attention maps."""
        method = self._method
        return np.asarray(retry_smaller_batch(method, lambda: method.attend(images)))

    def per_image(self, images: Images) -> dict[str, np.ndarray[Any, Any]]:
        """The method's own numbers of each image."""
        method = self._method
        found = retry_smaller_batch(method, lambda: method.per_image(images))
        return {name: np.asarray(values) for name, values in found.items()}

    def save_pretrained(self, path: Path) -> None:
        """Write the pre-trained state."""
        self._method.save_pretrained(path)

    def save(self, path: Path) -> None:
        """Write the fitted state."""
        self._method.save(path)

    def load(self, path: Path) -> None:
        """Read a fitted state."""
        self._method.load(path)
        self._method.learnt = True

    @property
    def _method(self) -> Method:
        if self._built is None:
            self._built = self._build()
        return self._built

    def _build(self) -> Method:
        start = self._start
        if start.deterministic:
            determinism.enable()
        cls, settings = registry.settings_for(start.method, start.settings)
        context = Context(
            device=start.device,
            seed=start.seed,
            scratch=start.scratch,
            replies=start.replies,
            batch_size=start.batch_size,
            cuda_graphs=start.cuda_graphs,
            compiled=start.compiled,
            exact=start.exact,
            say=lambda text: self._pipe.send(("say", text)),
            features=_features(start),
        )
        method = cls(settings, context)
        context.note = method.notes.append
        if start.pretrained is not None:
            method.load_pretrained(start.pretrained)
        return method


def _features(start: Start) -> Features:
    if start.features is None or not start.feature_bytes:
        return computed_anew
    from bench.data.features import FeatureCache

    own = registry.split_name(start.method)[0]
    return FeatureCache(
        start.features, lambda module: source.code_of(module, own), start.feature_bytes
    )


def _failure(error: Exception, method: str) -> Failure:
    first = (str(error).splitlines() or [""])[0]
    text = first if isinstance(error, BenchError) else f"{type(error).__name__}: {first}"
    if ran_out(error):
        text += f"; {advice(registry.load(registry.split_name(method)[0]))}"
    code = error.exit_code if isinstance(error, BenchError) else 1
    return Failure(text, traceback.format_exc(), code)


def _end_with_the_harness(lifeline: Connection) -> None:
    """Blocks until the harness's end of a pipe is gone, then ends this process at once."""
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(ABANDONED)


def _leave_traces() -> None:
    """Write to the log where every thread is, on a crash and on SIGUSR1 at the time limit."""
    faulthandler.enable(file=2)
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, file=2)
