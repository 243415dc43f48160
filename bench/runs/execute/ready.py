"""The method of `bench predict`, with its settings and weights checked before any image is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.api import OWN, Context, Method
from bench.model.fitted_weights import WeightsNote, read_note
from bench.protocol import Protocol
from bench.protocol.variants import Variant, choose
from bench.util.errors import BenchError, DataError, UsageError

if TYPE_CHECKING:
    from bench.api import Images, Scores
    from bench.data.data_cache import DataCache
    from bench.store import Store

PACKAGES = ("open_clip_torch", "timm", "pyiqa", "torch")
"""Libraries whose networks fitted weights may belong to."""


@dataclass
class Ready:
    """A method, and the weights or pairs that it predicts with."""

    variant: Variant
    weights: Path | None
    note: WeightsNote | None
    """The note that `bench fit` wrote into the weights file; None for other files or no file."""
    prompted: bool = False
    """Whether a user's image-score pairs will be given."""

    @classmethod
    def of(
        cls, name: str | None, given: Mapping[str, Any], weights: Path | None, prompted: bool
    ) -> Ready:
        """Combine the given settings with those of the weights file. Reads no tensor.

        A file of `bench fit` holds its method and settings, which then need not be given. Raises
        `UsageError` if it contradicts given settings, if the method has neither weights nor pairs
        to predict with, and if it takes no pairs.
        """
        note = None if weights is None else _note(weights)
        if name is None and note is None:
            raise _unnamed(weights)
        full = registry.full_name(name) if name is not None else note.fit.method if note else ""
        variant = choose(Protocol(name="predict"), [full], given)[0]
        if note is not None and weights is not None:
            variant = _as_fitted(variant, given, note, weights)
        ready = cls(variant, weights, note, prompted)
        ready._check()
        return ready

    def _check(self) -> None:
        method = self.variant.build()
        if self.prompted and type(method).set_prompt is Method.set_prompt:
            raise UsageError(f"--prompt: {method.name} takes no image-score pairs")
        if self.weights is not None and not self.weights.is_file():
            raise UsageError(f"--weights: there is no file '{self.weights}'")
        if OWN in method.corpora() and self.weights is None:
            raise method.unlearnt()
        if self.weights is None and not self.prompted:
            method.require_learnt()

    def identity(self, pairs: tuple[Images, Scores] | None) -> dict[str, Any]:
        """Everything besides the images that scores depend on, as plain values."""
        from bench import source
        from bench.protocol.variants import file_digest

        prompt = pairs and [
            [pairs[0].digest(index) for index in range(len(pairs[0]))],
            [float(score) for score in pairs[1]],
        ]
        return {
            "method": self.variant.method,
            "code": source.digest(self.variant.cls.name),
            "settings": self.variant.identity(),
            "backbone": self.variant.weights(),
            "weights": self.weights and file_digest(self.weights),
            "pairs": prompt,
        }

    def remarks(self) -> list[str]:
        """Remarks for the user: what the weights were trained on, and other versions than here."""
        seen = self.note.trained_on if self.note else self.variant.build().all_trained_on()
        lines = [f"trained on {', '.join(seen)}"] if seen else []
        if self.weights is not None and self.note is None:
            lines.append(f"'{self.weights}' does not say what it was trained on")
        if self.note is None:
            return lines
        from bench import source
        from bench.util.environment import environment

        if self.note.fit.code != source.digest(self.variant.cls.name):
            lines.append(f"fitted by other code of {self.variant.cls.name} ({self.note.fit.code})")
        here = environment("cpu").packages
        for package in PACKAGES:
            then = self.note.environment.packages.get(package)
            if then is not None and here.get(package, then) != then:
                lines.append(f"fitted with {package} {then}, here is {here[package]}")
        return lines

    def build(self, device: str, batch_size: int, store: Store, data_cache: DataCache) -> Method:
        """The method with its weights loaded or, without a file, pre-trained on its corpora."""
        method = self.variant.build(Context(device=device, batch_size=batch_size))
        if self.weights is not None:
            load_weights(method, self.weights)
        elif corpora := method.corpora():
            from bench.data import datasets
            from bench.runs.execute.pretraining import pretrain_whole

            absent = datasets.missing(corpora, data_cache.data_roots)
            if absent:
                raise DataError(datasets.describe_missing(absent))
            state = pretrain_whole(self.variant, store, data_cache, device, lambda event: None)
            method.load_pretrained(state)
        return method


def _unnamed(weights: Path | None) -> UsageError:
    """The error for a command that names no method."""
    if weights is None:
        return UsageError("--method is missing, and no weights file (--weights) names one")
    if not weights.is_file():
        return UsageError(f"--weights: there is no file '{weights}'")
    return UsageError(
        f"--weights: '{weights}' names no method: it is not a file of `bench fit`, or is damaged. "
        "--method says whose weights they are"
    )


def _note(weights: Path) -> WeightsNote | None:
    try:
        return read_note(weights)
    except ValueError as error:
        raise UsageError(f"--weights: the note in '{weights}' cannot be read: {error}") from None


def _as_fitted(
    variant: Variant, given: Mapping[str, Any], note: WeightsNote, weights: Path
) -> Variant:
    """The variant with the settings that the weights were fitted with."""
    if note.fit.method != variant.method:
        raise UsageError(
            f"--weights: '{weights}' was fitted by {note.fit.method}, not by {variant.method}"
        )
    fitted = registry.settings_for(variant.method, note.settings)[1]
    own = {key.removeprefix(f"{variant.cls.name}."): value for key, value in given.items()}
    merged = registry.settings_for(variant.method, {**note.settings, **own})[1]
    for name in type(fitted).model_fields:
        wanted, kept = getattr(merged, name), getattr(fitted, name)
        # The same backbone may lie elsewhere on this machine.
        if wanted != kept and name != "backbone":
            raise UsageError(f"--set {name}: '{weights}' was fitted with {name}={kept}")
    found = Variant(variant.title, variant.method, variant.cls, merged)
    if found.weights() != note.fit.weights:
        theirs, ours = (_named(one) for one in (note.fit.weights, found.weights()))
        raise UsageError(f"--weights: '{weights}' was fitted on {theirs}, and here is {ours}")
    return found


def _named(weights: Mapping[str, str]) -> str:
    return " ".join(weights.values()) or "no backbone"


def load_weights(method: Method, weights: Path) -> None:
    """Give the method its fitted state; nothing in the file is executed.

    Raises a `BenchError` for a file that is not this method's.
    """
    try:
        method.load(weights)
    except BenchError:
        raise
    except Exception as error:  # every library that reads weights has its own errors
        reason = (str(error).splitlines() or [""])[0]
        raise UsageError(
            f"--weights: '{weights}' holds no weights of {method.name} "
            f"({type(error).__name__}: {reason})"
        ) from error
    method.learnt = True
