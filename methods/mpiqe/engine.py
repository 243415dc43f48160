"""The part of the method that needs torch: training and prediction of a model."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench import backbones
from bench.api import Context, Epoch, Images, LabelledSet, UsageError
from bench.methods.kit import checkpoints
from bench.methods.kit import gradcam as gradcam
from bench.methods.kit.lens import Lens
from bench.methods.kit.views import Crop
from bench.methods.mpiqe.crops import prediction_views
from bench.methods.mpiqe.model import CropOutput, PromptedCLIP
from bench.methods.mpiqe.settings import MPIQESettings
from bench.methods.mpiqe.targets import Targets
from bench.methods.mpiqe.training import MpiqeTraining

FORMAT = "iqa-bench-mpiqe-1"
Array = npt.NDArray[np.floating[Any]]


class MpiqeEngine:
    """The model of one method instance."""

    def __init__(self, settings: MPIQESettings, context: Context) -> None:
        self.settings = settings
        self.context = context
        backbone = backbones.load(settings.backbone, context.device)
        info = backbones.resolve_vit(settings.backbone, text=True)
        self.lens = Lens(
            info.image_size, info.mean, info.std, torch.device(context.device), settings.autocast
        )
        if settings.windows > info.image_size // info.patch_size:
            raise UsageError(
                f"mpiqe: windows={settings.windows}, but {settings.backbone} has only "
                f"{info.image_size // info.patch_size} patches a side"
            )
        seed = context.seed_for("model", settings.prompt_seed)
        self.model = PromptedCLIP(backbone.model, backbone.tokenizer, settings, seed).eval()

    def fit(self, train: LabelledSet, found: Targets) -> Generator[Epoch, float | None, None]:
        """Train on labelled images and the targets made of their annotations."""
        yield from MpiqeTraining(
            self.model, self.lens, self.settings, self.context, train, found
        ).run()

    # -- answers ------------------------------------------------------------------------------

    def score(self, images: Images) -> Array:
        """Scores averaged over the test crops, (n,)."""
        return self._ask(images, lambda answer: answer.score) / self.settings.label_scale

    def embed(self, images: Images) -> Array:
        """Multi-modal features averaged over queries and test crops, (n, e)."""
        return self._ask(images, lambda answer: answer.features.mean(dim=1))

    def class_probabilities(self, images: Images) -> dict[str, Array]:
        """Probabilities averaged over the test crops, by 'scene' and 'distortion'."""
        found: dict[str, Array] = {}
        if self.settings.uses_scenes:
            found["scene"] = self._ask(images, lambda answer: _shares(answer.scenes))
        if self.settings.uses_distortions:
            found["distortion"] = self._ask(images, lambda answer: _shares(answer.distortions))
        return found

    def attend(self, images: Images, evidence: gradcam.Evidence) -> Array:
        """Grad-CAM maps on the last block's patches, (n, h, w)."""
        with torch.no_grad():
            queries = self.model.texts()
        return gradcam.maps(
            images,
            self.lens,
            self.context.batch_size,
            self.model.tokens,
            lambda tokens: self.model(tokens, queries).score,
            evidence,
        )

    @torch.no_grad()
    def _ask(self, images: Images, part: Callable[[CropOutput], Tensor]) -> Array:
        """A part of the model's answers averaged over the test crops."""
        views = prediction_views(self.settings.test_crops, self.settings.flip)
        with self.lens.precision():
            queries = self.model.texts()
        sums = []
        for start in range(0, len(images), self.context.batch_size):
            places = range(start, min(start + self.context.batch_size, len(images)))
            of_views = []
            for view in views:
                pixels = self.lens.pixels([Crop(images, i, view, (i, view)) for i in places])
                with self.lens.precision():
                    tokens = self.model.tokens(pixels)
                answer = self.model(tokens, queries)
                of_views.append(part(answer).double())
            sums.append(torch.stack(of_views).mean(dim=0).cpu().numpy())
        return np.concatenate(sums) if sums else np.empty(0)

    # -- files --------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Every tensor that is not the backbone's."""
        tensors = {name: self.model.get_parameter(name) for name in self.model.own_names()}
        checkpoints.write(path, tensors, format=FORMAT, backbone=self.settings.backbone)

    def load(self, path: Path) -> None:
        """Read a file of `save`. BenchError if it does not fit; the model is then unchanged."""
        names = self.model.own_names()
        tensors = checkpoints.read(path).tensors
        checkpoints.put(self.model, tensors, f"'{path}'", names, own=True)


def _shares(log_probabilities: Tensor | None) -> Tensor:
    assert log_probabilities is not None
    return log_probabilities.exp()
