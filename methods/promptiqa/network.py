"""A built network with its weights: scores images against pairs, loads and saves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.api import ArrayImages, Context, Images, Pixels
from bench.methods.kit import checkpoints
from bench.methods.promptiqa.encoder import build_encoder, encoder_info
from bench.methods.promptiqa.features import FeatureExtractor
from bench.methods.promptiqa.model import ModelSize, PromptIQANet
from bench.methods.promptiqa.settings import PromptiqaModelSettings

Floats = npt.NDArray[np.float64]
Pairs = tuple[Sequence[Pixels], Floats]


def model_size(settings: PromptiqaModelSettings) -> ModelSize:
    """The network's sizes under these settings."""
    info = encoder_info(settings.backbone, settings.image_size, settings.map_pool)
    return ModelSize(
        tap_width=info.width,
        width=settings.map_width or info.width,
        grid=info.grid,
        opinions=settings.opinions,
        visual_heads=settings.visual_heads,
        channels=settings.channels,
        kernels=settings.kernels,
        pools=settings.pools,
        heads=settings.heads,
        prompt_depth=settings.prompt_depth,
        ispp_depth=settings.ispp_depth,
        fusion_depth=settings.fusion_depth,
        dropout=settings.dropout,
        prompted=settings.use_prompt,
    )


class Network:
    """The network under some settings. `imagenet` starts the encoder from ImageNet weights."""

    def __init__(
        self,
        settings: PromptiqaModelSettings,
        context: Context,
        path: Path | None = None,
        imagenet: bool = False,
    ) -> None:
        self.settings, self.context = settings, context
        self.info = encoder_info(settings.backbone, settings.image_size, settings.map_pool)
        self.extra: dict[str, npt.NDArray[Any]] = {}
        source = path or settings.checkpoint
        # Building must not move the global generator, which other code may have seeded.
        with torch.random.fork_rng([]):
            torch.manual_seed(context.seed_for("weights"))
            self.net = self._build(empty=source is not None, imagenet=imagenet)
        if source is not None:
            self.load(source)
        self.net.to(context.device).eval().requires_grad_(False)
        self.extractor = FeatureExtractor(self.net, self.info, context, settings.precision)

    def _build(self, empty: bool, imagenet: bool) -> PromptIQANet:
        """With `empty`, a network without CLIP tower has no memory yet: weights will follow."""
        settings = self.settings
        size = model_size(settings)
        meta = empty and settings.backbone is None
        with torch.device("meta" if meta else "cpu"):
            encoder = build_encoder(
                settings.backbone,
                self.info,
                settings.map_pool,
                imagenet and not empty,
                settings.encoder_weights,
            )
            return PromptIQANet(encoder, size)

    def load(self, path: Path) -> None:
        """Replace the weights by those of a checkpoint or of a file that `save` wrote."""
        found = checkpoints.read(path)
        state, count = found.tensors, found.header.get("prompt_num")
        if count is not None:
            self.context.say(f"promptiqa: '{path.name}' was trained with prompts of {count}")
        extra = {name: value for name, value in state.items() if name.startswith("prompt.")}
        self.extra = {name: value.numpy() for name, value in extra.items()}
        weights = {name: value for name, value in state.items() if name not in extra}
        checkpoints.put(self.net, weights, f"'{path.name}'")
        self.net.to(self.context.device).eval().requires_grad_(False)

    def save(self, path: Path, extra: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write weights and `extra` arrays to one safetensors file."""
        arrays = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in extra.items()}
        checkpoints.write(path, {**self.net.state_dict(), **arrays})

    def embedded(self, images: Images, pairs: Pairs | None) -> Tensor:
        """Image-prompt features (n, d) of images; without pairs the images' own features."""
        features = self.extractor.features(images)
        if pairs is None:
            return features
        with torch.no_grad():
            scores = torch.from_numpy(pairs[1]).to(features)
            shown = self.extractor.features(ArrayImages(pairs[0]))
            isps = self.net.encode_pairs(shown, scores)
            requirement = self.net.fuse_prompt(isps[None])
            parts = [self.net.fuse_image(part, requirement) for part in features.split(1024)]
        return torch.cat(parts)

    def scores(self, images: Images, pairs: Pairs | None) -> Floats:
        """Scores (n,) in 0 to 1 against the prompt `pairs`."""
        with torch.no_grad():
            found = self.net.score(self.embedded(images, pairs))
        return found.double().cpu().numpy()
