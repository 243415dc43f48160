"""pyiqa's no-reference metrics, as they come. pyiqa's licence is non-commercial: see the README."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from bench.api import Context, Images, Method, Pixels, Scores, Settings
from bench.errors import BenchError
from methods._batches import content, same_shape
from methods._seeding import seeded

BATCHED = frozenset(
    {
        "cnniqa",
        "dbcnn",
        "metaiqa",
        "nima",
        "nima-koniq",
        "nima-spaq",
        "nima-vgg16-ava",
        "paq2piq",
        "topiq_nr",
        "topiq_nr-flive",
        "topiq_nr-spaq",
        "wadiqam_nr",
    }
)
"""Metrics that give an image the same score in a batch as alone (tested); others go one by one."""


class PyiqaSettings(Settings):
    """Which metric."""

    metric: str = Field(description="Name in `pyiqa.list_models(metric_mode='NR')`, e.g. 'piqe'.")


class _Metric(Method):
    """A metric of pyiqa on images (H, W, 3) at the size of their files.

    Every metric resizes as it needs; images go in batches only for the metrics of `BATCHED`.
    Draws at inference are seeded by an image's content, so that they depend on nothing else.
    """

    version = "2"

    def __init__(self, settings: Settings, context: Context) -> None:
        super().__init__(settings, context)
        self._metric: Any = None

    @property
    def metric_name(self) -> str:
        """pyiqa's name of the metric: the method's own, unless it takes one."""
        return self.name

    def trained_on(self) -> tuple[str, ...]:
        """The databases whose labels the released weights have seen."""
        from methods._contamination import pyiqa_trained_on

        return pyiqa_trained_on(self.metric_name)

    def predict(self, images: Images) -> Scores:
        """pyiqa's score, negated where lower is better, (n,)."""
        metric = self._loaded()
        sign = -1.0 if metric.lower_better else 1.0
        self._note_unknown_training()
        size = self.context.batch_size if self.metric_name in BATCHED else 1
        scores = np.empty(len(images))
        for places, pixels in same_shape(images, size):
            names = [images.names[place] for place in places]
            scores[places] = sign * self._scores(metric, pixels, names)
        return scores

    def _note_unknown_training(self) -> None:
        from methods._contamination import pyiqa_known

        text = f"what pyiqa:{self.metric_name} was trained on is not known"
        if not pyiqa_known(self.metric_name) and text not in self.notes:
            self.notes.append(text)

    def _scores(self, metric: Any, pixels: Sequence[Pixels], names: Sequence[str]) -> Scores:
        import torch

        stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
        seed = self.context.seed_for("pyiqa", content(pixels[0]))
        try:
            with torch.no_grad(), seeded(seed, self.context.device):
                found = metric(stacked.to(self.context.device))
            values = torch.as_tensor(found, dtype=torch.float64).reshape(-1).cpu().numpy()
        except (RuntimeError, AssertionError, ValueError, IndexError) as error:
            if type(error).__name__ == "OutOfMemoryError":
                raise  # the harness answers with smaller batches
            height, width = pixels[0].shape[:2]
            raise BenchError(
                f"pyiqa:{self.metric_name} cannot score '{names[0]}' ({width} x {height}): {error}"
            ) from error
        if len(values) != len(pixels):
            raise BenchError(
                f"pyiqa:{self.metric_name} gave {len(values)} scores for {len(pixels)} images"
            )
        return np.asarray(values)

    def _loaded(self) -> Any:
        if self._metric is None:
            from methods._pyiqa_library import create

            self._metric = create(self.metric_name, self.context.device)
        return self._metric


class PyiqaMetric(_Metric):
    """Any no-reference metric of pyiqa, untouched (`pyiqa:piqe`, `pyiqa:topiq_nr`, ...).

    Scores are turned upwards by pyiqa's own metadata, its input policy is kept.
    """

    name = "pyiqa"
    argument = "metric"
    Settings: ClassVar[type[PyiqaSettings]] = PyiqaSettings
    settings: PyiqaSettings

    @property
    def metric_name(self) -> str:
        """The setting `metric`."""
        return self.settings.metric


class Piqe(_Metric):
    """PIQE by pyiqa: block-wise distortion, opinion-unaware."""

    name = "piqe"


class Niqe(_Metric):
    """NIQE by pyiqa: distance to natural scene statistics, opinion-unaware."""

    name = "niqe"


class IlNiqe(_Metric):
    """IL-NIQE by pyiqa: NIQE with more features, patch by patch, opinion-unaware."""

    name = "ilniqe"


class Brisque(_Metric):
    """BRISQUE by pyiqa: scene statistics and an SVR trained on LIVE."""

    name = "brisque"


class Nrqm(_Metric):
    """NRQM (Ma) by pyiqa: forests trained on super-resolved images."""

    name = "nrqm"
