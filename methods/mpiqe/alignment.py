"""Feature alignment of the paper: Eq. 8 to 11, on similarities and targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.methods.mpiqe.model_settings import MpiqeModelSettings


def similarities(features: Tensor, texts: Tensor, kind: str = "cosine") -> Tensor:
    """Sim of features (…, e) and texts (C, e): cosine or dot product, (…, C)."""
    if kind == "cosine":
        features, texts = F.normalize(features, dim=-1), F.normalize(texts, dim=-1)
    return features @ texts.T


def window_features(patches: Tensor, windows: int) -> Tensor:
    """Patch features E (B, N, e) of a square grid, max-pooled to w × w windows: (B, w·w, e)."""
    side = round(patches.shape[1] ** 0.5)
    grid = patches.transpose(1, 2).unflatten(2, (side, side))
    return F.adaptive_max_pool2d(grid, windows).flatten(2).transpose(1, 2)


def spatially_weighted(similarity: Tensor, temperature: Tensor | float) -> Tensor:
    """Eq. 10: similarities of windows and classes (B, w·w, C) to those of the image, (B, C).

    Each class has separate weights, a softmax over windows. The paper prints V^s here where its
    text has V^d; the distortion texts it must be, since Eq. 11 compares the result with
    distortion labels.
    """
    weights = (similarity / temperature).softmax(dim=1)
    return (weights * similarity).sum(dim=1)


def cross_entropy(log_probabilities: Tensor, targets: Tensor, mean_over_classes: bool) -> Tensor:
    """Eq. 9 and 11 averaged over the images that have a label; zero if none has.

    `targets` y are (B, C), rows of zeros for images without a label. `mean_over_classes` divides
    by C, as printed.
    """
    labelled = (targets > 0).any(dim=1).sum().clamp(min=1)
    loss = -(targets * log_probabilities).sum() / labelled
    return loss / targets.shape[1] if mean_over_classes else loss


class Alignment(torch.nn.Module):
    """Log-probabilities of scenes (Eq. 8) and distortions (Eq. 10) with their temperatures."""

    def __init__(self, settings: MpiqeModelSettings, clip_temperature: float) -> None:
        super().__init__()
        self.kind = settings.similarity
        self.windows = settings.windows
        first = settings.temperature or clip_temperature
        second = settings.window_temperature or first
        logs = torch.tensor([first, second]).log()
        self.log_temperatures = torch.nn.Parameter(logs, requires_grad=False)

    @property
    def temperatures(self) -> tuple[Tensor, Tensor]:
        """𝒯 and 𝒯̄."""
        first, second = self.log_temperatures.exp()
        return first, second

    def scenes(self, cls: Tensor, texts: Tensor) -> Tensor:
        """CLS features (B, e) and scene texts (9, e) to log p of Eq. 8, (B, 9)."""
        similarity = similarities(cls, texts, self.kind)
        return (similarity / self.temperatures[0]).log_softmax(dim=-1)

    def distortions(self, patches: Tensor, texts: Tensor) -> Tensor:
        """Patch features (B, N, e) and distortion texts (11, e) to log p, (B, 11): Eq. 10 and the
        softmax over classes that the paper applies to it."""
        pooled = window_features(patches, self.windows)
        whole = spatially_weighted(similarities(pooled, texts, self.kind), self.temperatures[1])
        return (whole / self.temperatures[0]).log_softmax(dim=-1)
