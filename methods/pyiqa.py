"""pyiqa's no-reference metrics, as they come. pyiqa's licence is non-commercial: see the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import field_validator

from bench.api import BenchError, Context, Images, Method, Pixels, Scores, Settings, UsageError
from bench.methods.kit.batches import same_shape
from bench.methods.kit.seeding import seeded

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
    """The metric."""

    metric: str
    """Name in `pyiqa.list_models(metric_mode='NR')`, e.g. 'piqe'."""

    @field_validator("metric")
    @classmethod
    def _is_a_metric(cls, name: str) -> str:
        """pyiqa itself is only asked about names without an entry in this project."""
        from bench.methods.kit.training_data import table

        if name not in table():
            from bench.pyiqa_library import options

            try:
                options(name)
            except UsageError as error:
                raise ValueError(str(error)) from None
        return name


class PyiqaMetric(Method):
    """Any no-reference metric of pyiqa, untouched (`pyiqa:piqe`, `pyiqa:topiq_nr`, ...).

    Scores are turned upwards by pyiqa's own metadata. Images (H, W, 3) come at the size of their
    files, and every metric resizes as it needs; they go in batches only for the metrics of
    `BATCHED`. Draws at inference are seeded by an image's content, so that they depend on nothing
    else.
    """

    name = "pyiqa"
    version = "2"
    argument = "metric"
    Settings: ClassVar[type[PyiqaSettings]] = PyiqaSettings
    settings: PyiqaSettings
    # A literal, since `bench list` reads it without importing. pyiqa's `clipiqa` is not here: that
    # name is a method of this project.
    short_names: ClassVar[Mapping[str, str]] = {
        "arniqa": "ARNIQA by pyiqa: ridge regression on a self-supervised encoder, on KonIQ-10k.",
        "brisque": "BRISQUE by pyiqa: scene statistics and an SVR trained on LIVE.",
        "cnniqa": "CNNIQA by pyiqa: a small network on patches, trained on KonIQ-10k.",
        "compare2score": "Compare2Score by pyiqa: a multimodal language model that compares.",
        "dbcnn": "DBCNN by pyiqa: two pooled networks, trained on KonIQ-10k.",
        "entropy": "Entropy of the grey levels by pyiqa, opinion-unaware.",
        "hyperiqa": "HyperIQA by pyiqa: a hyper network, trained on KonIQ-10k.",
        "ilniqe": "IL-NIQE by pyiqa: NIQE with more features, patch by patch, opinion-unaware.",
        "laion_aes": "LAION's aesthetic predictor by pyiqa: a linear layer on CLIP ViT-L/14.",
        "liqe": "LIQE by pyiqa: CLIP with scene, distortion and quality words, on KonIQ-10k.",
        "liqe_mix": "LIQE by pyiqa, trained on six databases.",
        "maniqa": "MANIQA by pyiqa: attention over a ViT's features, trained on KonIQ-10k.",
        "metaiqa": "MetaIQA by pyiqa: meta-learned over distortions.",
        "musiq": "MUSIQ by pyiqa: a multi-scale transformer, trained on KonIQ-10k.",
        "nima": "NIMA by pyiqa: distributions of aesthetic ratings, trained on AVA.",
        "niqe": "NIQE by pyiqa: distance to natural scene statistics, opinion-unaware.",
        "nrqm": "NRQM (Ma) by pyiqa: forests trained on super-resolved images.",
        "paq2piq": "PaQ-2-PiQ by pyiqa: patches and pictures, trained on FLIVE.",
        "pi": "Perceptual index by pyiqa: NIQE and NRQM together.",
        "piqe": "PIQE by pyiqa: block-wise distortion, opinion-unaware.",
        "qalign": "Q-Align by pyiqa: a multimodal language model of 8 billion parameters.",
        "qualiclip": "QualiCLIP by pyiqa: CLIP trained on degraded images without labels.",
        "topiq_iaa": "TOPIQ by pyiqa for aesthetics, trained on AVA.",
        "topiq_nr": "TOPIQ by pyiqa: features attended from semantic to fine, on KonIQ-10k.",
        "tres": "TReS by pyiqa: transformer with relative ranking, trained on KonIQ-10k.",
        "unique": "UNIQUE by pyiqa: trained on pairs of images of six databases.",
        "wadiqam_nr": "WaDIQaM-NR by pyiqa: weighted patches, trained on KonIQ-10k.",
    }

    def __init__(self, settings: PyiqaSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._metric: Any = None

    @property
    def metric_name(self) -> str:
        """pyiqa's name of the metric."""
        return self.settings.metric

    def trained_on(self) -> tuple[str, ...]:
        """The databases whose labels the released weights have seen."""
        from bench.methods.kit.training_data import pyiqa_trained_on

        return pyiqa_trained_on(self.metric_name)

    def downloads(self) -> tuple[str, ...]:
        """The files that pyiqa fetches for the metric."""
        return (f"pyiqa:{self.metric_name}",)

    def predict(self, images: Images) -> Scores:
        """pyiqa's score, negated where lower is better, (n,)."""
        metric = self._loaded()
        sign = -1.0 if metric.lower_better else 1.0
        self._note_unknown_training()
        size = self.context.batch_size if self.metric_name in BATCHED else 1
        scores = np.empty(len(images))
        for places, pixels in same_shape(images, size):
            name, digest = images.names[places[0]], images.digest(places[0])
            scores[places] = sign * self._scores(metric, pixels, name, digest)
        return scores

    def _note_unknown_training(self) -> None:
        from bench.methods.kit.training_data import pyiqa_known

        text = f"what pyiqa:{self.metric_name} was trained on is not known"
        if not pyiqa_known(self.metric_name) and text not in self.notes:
            self.notes.append(text)

    def _scores(self, metric: Any, pixels: Sequence[Pixels], name: str, digest: str) -> Scores:
        """Scores of a batch whose first image is called `name`; `digest` seeds what is random."""
        import torch

        from bench.methods.kit.devices import upload

        seed = self.context.seed_for("pyiqa", digest)
        try:
            with torch.no_grad(), seeded(seed, self.context.device):
                found = metric(upload(np.stack(pixels), self.context.device))
            values = torch.as_tensor(found, dtype=torch.float64).reshape(-1).cpu().numpy()
        except (RuntimeError, AssertionError, ValueError, IndexError) as error:
            if type(error).__name__ == "OutOfMemoryError":
                raise  # the harness answers with smaller batches
            height, width = pixels[0].shape[:2]
            raise BenchError(
                f"pyiqa:{self.metric_name} cannot score '{name}' ({width} x {height}): {error}"
            ) from error
        if len(values) != len(pixels):
            raise BenchError(
                f"pyiqa:{self.metric_name} gave {len(values)} scores for {len(pixels)} images"
            )
        return np.asarray(values)

    def _loaded(self) -> Any:
        if self._metric is None:
            from bench.pyiqa_library import create

            self._metric = create(self.metric_name, self.context.device)
        return self._metric
