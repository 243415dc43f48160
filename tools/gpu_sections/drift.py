"""How far scores move when frozen features are computed otherwise than in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import normalize

from bench import backbones
from bench.api import ImagePolicy
from bench.backbones._load import Backbone
from bench.data.data_cache import DataCache
from bench.methods.kit.devices import upload
from bench.methods.kit.forms import agreement, arithmetic
from tools.gpu_sections import SectionFinding, Setup

Forward = Callable[[Tensor], Tensor]
"""Normalised pixels to features of length one."""
BATCH = 64
DATASET = "demo_authentic"


def measure(setup: Setup) -> SectionFinding:
    """Each form against float32: linear scores of features, and zero-shot probabilities."""
    found = SectionFinding()
    for name in ("tiny",) if setup.small else ("tiny", "ViT-B-16:random"):
        _of(name, setup, found)
    return found


def _of(name: str, setup: Setup, found: SectionFinding) -> None:
    clip = backbones.load(name, setup.device)
    batches = list(_pixels(clip, setup))
    texts = _ends(clip, setup.device)
    exact: Tensor | None = None
    for title, forward, around in _forms(clip, setup):
        rows = []
        with torch.no_grad():
            for batch in batches:
                with around():
                    rows.append(forward(batch).float())
        features = torch.cat(rows)
        if exact is None:
            exact = features
            continue
        heads = agreement(exact, features)
        asked, told = (_zero_shot(clip, one, texts) for one in (exact, features))
        order = float(spearmanr(asked, told).statistic)
        value = f"{heads.worst:.1e} of the range, SRCC {heads.srcc:.6f}"
        beside = f"zero-shot: {np.abs(asked - told).max():.1e}, SRCC {order:.6f}"
        found.add(f"{name}, {len(features)} images, {title}", value, beside)


def _forms(
    clip: Backbone, setup: Setup
) -> Iterator[tuple[str, Forward, Callable[[], AbstractContextManager[None]]]]:
    def encode(batch: Tensor) -> Tensor:
        features: Tensor = clip.model.encode_image(batch, normalize=True)
        return features

    def tower(batch: Tensor) -> Tensor:
        return normalize(compiled(batch), dim=-1)

    compiled = torch.compile(clip.model.visual, backend="eager" if setup.small else "inductor")
    yield "fp32", encode, nullcontext
    yield "tf32", encode, lambda: arithmetic("tf32", setup.device)
    yield "bf16", encode, lambda: arithmetic("bf16", setup.device)
    yield "fp32, compiled", tower, nullcontext
    yield "bf16, compiled", tower, lambda: arithmetic("bf16", setup.device)


def _pixels(clip: Backbone, setup: Setup) -> Iterator[Tensor]:
    info = clip.info
    images = DataCache([]).images(DATASET, ImagePolicy("squash", info.image_size))
    count = 16 if setup.small else len(images)
    mean, std = (torch.tensor(v, device=setup.device)[:, None, None] for v in (info.mean, info.std))
    for start in range(0, count, BATCH):
        square = np.stack([images[place] for place in range(start, min(start + BATCH, count))])
        yield (upload(square, setup.device) - mean) / std


def _ends(clip: Backbone, device: str) -> Tensor:
    """Features (2, e) of the two ends that zero-shot asks about."""
    tokens = clip.tokenizer(["a photo of high quality.", "a photo of low quality."]).to(device)
    with torch.no_grad():
        texts: Tensor = clip.model.encode_text(tokens, normalize=True)
    return texts


def _zero_shot(clip: Backbone, features: Tensor, texts: Tensor) -> np.ndarray:
    logits = clip.model.logit_scale.exp().detach() * features @ texts.T
    return np.asarray(logits.softmax(dim=-1)[:, 0].double().cpu().numpy())
