"""pyiqa's no-reference metrics, as they come. pyiqa's licence is non-commercial: see the README."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from pydantic import Field

from bench.api import Context, Images, Method, Scores, Settings
from bench.errors import BenchError


class PyiqaSettings(Settings):
    """Which metric."""

    metric: str = Field(description="Name in `pyiqa.list_models(metric_mode='NR')`, e.g. 'piqe'.")


class PyiqaMetric(Method):
    """Any no-reference metric of pyiqa, untouched (`pyiqa:piqe`, `pyiqa:topiq_nr`, ...).

    Scores are turned upwards by pyiqa's own metadata. Images go in at the size of their files, one
    by one: several metrics give other scores in a batch. Metrics that draw at inference are seeded
    per image.
    """

    name = "pyiqa"
    argument = "metric"
    Settings = PyiqaSettings

    def __init__(self, settings: PyiqaSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.metric_name = settings.metric
        self._metric: Any = None

    def predict(self, images: Images) -> Scores:
        metric = self._loaded()
        sign = -1.0 if metric.lower_better else 1.0
        return np.array([sign * self._score(metric, image) for image in images], dtype=np.float64)

    @torch.no_grad()
    def _score(self, metric: Any, image: np.ndarray) -> float:
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        # Same draws for every image, so that a score does not depend on the order of images.
        torch.manual_seed(self.context.seed_for("pyiqa") % 2**63)
        return float(metric(tensor.to(self.context.device)))

    def _loaded(self) -> Any:
        if self._metric is None:
            self._metric = _create(self.metric_name, self.context.device)
        return self._metric


def _create(name: str, device: str) -> Any:
    # Lazily: pyiqa's licence is non-commercial, and its import takes seconds.
    import pyiqa

    from bench.errors import unknown

    known = pyiqa.list_models(metric_mode="NR")
    if name not in known:
        raise unknown("pyiqa metric", name, known, where="pyiqa")
    try:
        return pyiqa.create_metric(name, device=torch.device(device), as_loss=False)
    except Exception as error:  # download and unpickling errors come in many classes
        folder = os.environ.get("TORCH_HOME", "~/.cache/torch")
        raise BenchError(
            f"pyiqa:{name}: its weights could not be loaded ({type(error).__name__}: {error}). "
            f"pyiqa looks under {folder}/hub/pyiqa and on the Hugging Face hub "
            "(chaofengc/IQA-PyTorch-Weights); place the file there by hand on a machine without "
            "network"
        ) from error
