"""Methods for testing the harness: quick, without torch, some of them broken on purpose."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
from pydantic import Field

from bench.api import BenchError, Epoch, Method, Settings


class LinearSettings(Settings):
    """Settings of the toy learner."""

    epochs: int = 4
    rate: float = 0.5
    wait: float = 0.0
    strength: float = Field(1.0, alias="lambda")


class ToyLinear(Method):
    """Learns a line from mean luminance, by gradient steps."""

    name = "toy_linear"
    Settings = LinearSettings

    def __init__(self, settings, context):
        super().__init__(settings, context)
        self.slope, self.offset = context.rng("init").normal(scale=0.01, size=2)
        self.replies = []

    def fit(self, train):
        x = _luminance(train.images)
        for _ in range(self.settings.epochs):
            error = self.slope * x + self.offset - train.scores
            self.slope -= self.settings.rate * self.settings.strength * float((error * x).mean())
            self.offset -= self.settings.rate * float(error.mean())
            time.sleep(self.settings.wait)
            reply = yield Epoch(
                float((error**2).mean()), {"slope": self.slope}, self.settings.epochs
            )
            self.replies.append(reply)

    def predict(self, images):
        return self.slope * _luminance(images) + self.offset

    def embed(self, images):
        return np.stack([image.mean(axis=(0, 1)) for image in images])

    def attend(self, images):
        return np.stack([image[::8, ::8].mean(axis=2) / 255 for image in images])

    def per_image(self, images):
        return {"semantic_confidence": _luminance(images)}


class ToyLuminance(Method):
    """Mean luminance; learns nothing. Counts its calls in a file."""

    name = "toy_luminance"

    def predict(self, images):
        if path := os.environ.get("TOY_CALLS"):
            with Path(path).open("a") as file:
                file.write(f"{len(images)}\n")
        return _luminance(images)


class ToyConstant(Method):
    """The same score for every image: SRCC is undefined."""

    name = "toy_constant"

    def predict(self, images):
        return np.zeros(len(images))


class ToyBroken(Method):
    """Raises, or predicts NaN."""

    name = "toy_broken"

    class Settings(Settings):
        how: str = "raise"

    def predict(self, images):
        if self.settings.how == "raise":
            raise ZeroDivisionError("toy failure <b>bold</b>")
        scores = _luminance(images)
        scores[3] = np.nan
        return scores


class ToyDies(ToyLinear):
    """Kills its own process at the repeat whose training labels have the given sum parity."""

    name = "toy_dies"

    class Settings(LinearSettings):
        marker: str = ""

    def fit(self, train):
        marker = Path(self.settings.marker)
        # Exactly one run of the sweep dies, whichever comes first.
        if not marker.exists():
            marker.write_text(str(self.context.seed))
        if marker.read_text() == str(self.context.seed):
            os.kill(os.getpid(), signal.SIGKILL)
        yield from super().fit(train)


class ToyPretrained(ToyLinear):
    """Starts from a line learnt on a corpus."""

    name = "toy_pretrained"

    class Settings(LinearSettings):
        corpus: str = "toy"

    def needs_fit(self):
        return False  # its pre-training is enough to predict by

    def corpora(self):
        return (self.settings.corpus,)

    def pretrain_settings(self):
        return {"corpus": self.settings.corpus}

    def pretrain(self, corpora):
        seen = [name for corpus in corpora for name in corpus.images.names]
        self.seen = np.frombuffer("|".join(sorted(seen)).encode(), np.uint8)
        yield Epoch(0.0, total=1)

    def save_pretrained(self, path):
        np.save(path.open("wb"), self.seen)

    def load_pretrained(self, path):
        self.seen = np.load(path, allow_pickle=False)


class ToyCheckpointed(ToyPretrained):
    """Pre-trains in epochs, and goes on from the last one that it wrote down."""

    name = "toy_checkpointed"

    class Settings(ToyPretrained.Settings):
        epochs_before: int = 8
        wait_before: float = 0.0

    def pretrain(self, corpora):
        self.seen = np.zeros(1, np.uint8)
        progress = self.context.scratch / "progress"
        done = int(progress.read_text()) if progress.exists() else 0
        for epoch in range(done, self.settings.epochs_before):
            time.sleep(self.settings.wait_before)
            with Path(os.environ["TOY_CALLS"]).open("a") as file:
                file.write(f"{epoch}\n")
            progress.write_text(str(epoch + 1))
            yield Epoch(0.0, total=self.settings.epochs_before)


def supervisor() -> int:
    """The process that started this worker, which has started a server, which has forked us."""
    pid = os.getppid()
    for _ in range(2):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
        pid = int(after_name.split()[1])
    return pid


class ToyCounted(ToyLinear):
    """Writes into a file which of its runs it computes, and which process supervises it."""

    name = "toy_counted"

    def fit(self, train):
        with Path(os.environ["TOY_CALLS"]).open("a") as file:
            file.write(f"{self.context.seed} {supervisor()}\n")
        yield from super().fit(train)


class ToySaved(ToyCounted):
    """Keeps what it learnt; asked to, it never comes back from predicting a large test set."""

    name = "toy_saved"

    def save(self, path):
        np.save(path.open("wb"), np.array([self.slope, self.offset]))

    def load(self, path):
        self.slope, self.offset = np.load(path, allow_pickle=False)

    def predict(self, images):
        if len(images) == int(os.environ.get("TOY_HANGS_AT", -1)):
            time.sleep(600)
        return super().predict(images)


class ToyHangs(ToyLinear):
    """Never comes back from the first run that it sees."""

    name = "toy_hangs"

    class Settings(LinearSettings):
        marker: str = ""

    def fit(self, train):
        marker = Path(self.settings.marker)
        if not marker.exists():
            marker.write_text(str(self.context.seed))
        while marker.read_text() == str(self.context.seed):
            time.sleep(0.1)
        yield from super().fit(train)


class ToyEnvironment(ToyCounted):
    """Notes in its record what it was given to work with."""

    name = "toy_environment"

    def fit(self, train):
        names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
        self.notes += [f"{name}={os.environ.get(name)}" for name in names]
        self.notes.append(f"device={self.context.device}")
        yield from super().fit(train)


class ToyPrompted(Method):
    """The score of the pair whose luminance is nearest."""

    name = "toy_prompted"

    def set_prompt(self, images, scores):
        self.pairs = (_luminance(images), np.asarray(scores))

    def predict(self, images):
        known, scores = self.pairs
        nearest = np.abs(_luminance(images)[:, None] - known[None]).argmin(axis=1)
        return scores[nearest]


class ToyLarge(Method):
    """Mean luminance of images of at least eight pixels; refuses the others."""

    name = "toy_large"

    def predict(self, images):
        if any(min(image.shape[:2]) < 8 for image in images):
            raise BenchError("too small for toy_large")
        return _luminance(images)


def _luminance(images):
    return np.array([image.mean() / 255 for image in images])
