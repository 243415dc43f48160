"""Methods whose rank is known beforehand: a table that ranks them otherwise is wrong."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from bench.api import (
    BenchError,
    Context,
    DatasetName,
    Epoch,
    Images,
    LabelledSet,
    Method,
    Resources,
    Scores,
    Settings,
)


class Constant(Method):
    """The same score for every image: correlations are undefined."""

    name = "constant"
    resources = Resources(device="cpu")
    judges_images = False
    reads_images = False

    def predict(self, images: Images) -> Scores:
        """Zeros, (n,)."""
        return np.zeros(len(images))


class Random(Method):
    """A random score for every image: correlations scatter around zero."""

    name = "random"
    resources = Resources(device="cpu")
    judges_images = False

    def predict(self, images: Images) -> Scores:
        """Uniform draws in 0–1, (n,), each by the seed and the pixels of its image."""
        digests = map(images.digest, range(len(images)))
        return np.array([self.context.rng("random", digest).random() for digest in digests])


class LabelMean(Method):
    """The mean of the training labels for every image: the RMSE to beat, no correlation."""

    name = "label_mean"
    resources = Resources(device="cpu")
    judges_images = False
    reads_images = False

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context)
        self.mean: float | None = None

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """One pass: the mean."""
        self.mean = float(np.mean(train.scores))
        yield Epoch(float(np.var(train.scores)), total=1)

    def predict(self, images: Images) -> Scores:
        """The mean, (n,). UsageError before `fit`."""
        if self.mean is None:
            raise self.unlearnt()
        return np.full(len(images), self.mean)

    def save(self, path: Path) -> None:
        """Write the mean."""
        from safetensors.numpy import save_file

        if self.mean is None:
            raise self.unlearnt()
        save_file({"mean": np.array([self.mean])}, path)

    def load(self, path: Path) -> None:
        """Read a file of `save`."""
        from safetensors.numpy import load_file

        self.mean = float(load_file(path)["mean"][0])


class OracleSettings(Settings):
    """The database whose labels it knows, and the noise."""

    dataset: DatasetName
    """The database whose labels it reads, e.g. 'livec'."""
    noise: float = Field(default=0.0, ge=0)
    """Gaussian noise on the labels, in standard deviations of all labels."""


class Oracle(Method):
    """The labels themselves with noise (`oracle:livec`): the ceiling of a table.

    The one method that is given test labels: it names its database (`oracle_of`), and the harness
    hands the labels over. It declares the database as seen in training, so every cell that it
    fills is marked as contaminated.
    """

    name = "oracle"
    resources = Resources(device="cpu")
    judges_images = False
    reads_images = False
    argument = "dataset"
    real_names = True
    Settings: ClassVar[type[OracleSettings]] = OracleSettings
    settings: OracleSettings

    def __init__(self, settings: OracleSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.notes.append("knows the labels of its test images: a check of the protocol")

    def oracle_of(self) -> str:
        """The database whose labels it is given."""
        return self.settings.dataset

    def trained_on(self) -> tuple[str, ...]:
        """The database whose labels it is given."""
        return (self.settings.dataset,)

    def predict(self, images: Images) -> Scores:
        """Label plus noise, (n,) on the database's own scale, upwards."""
        labels = self.context.labels
        lost = [name for name in images.names if name not in labels]
        if lost:
            raise BenchError(
                f"oracle:{self.settings.dataset} knows no image '{lost[0]}' ({len(lost)} of "
                f"{len(images)} unknown); it can score its own database only, within a protocol"
            )
        spread = self.settings.noise * float(np.std(list(labels.values())))
        draws = [self.context.rng("oracle", name).normal() for name in images.names]
        return np.array([labels[name] for name in images.names]) + spread * np.array(draws)
