"""Measure the `tiny` backbone: `python -m tools.tiny.evaluate`.

Prints the accuracy of naming held-out scenes and, for each demo set, how well a pair of opposite
prompts ("Good photo." against "Bad photo.") ranks the pictures before anything is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bench.backbones import load
from bench.backbones._load import Backbone
from bench.data.demo import CATEGORIES, DEMO_SETS
from bench.data.demo.render import samples
from tools import command_line
from tools.tiny.corpus import HELD_OUT_SEED, pristine
from tools.tiny.train import fill

SCENE_PROMPT = "a photo of a {}."
ANTONYMS = (
    ("a high quality photo.", "a low quality photo."),
    ("a photo of high quality.", "a photo of low quality."),
    ("Good photo.", "Bad photo."),
)


def embed_images(backbone: Backbone, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Unit features (n, d) of uint8 pictures (h, w, 3), of which the centre is seen."""
    size = backbone.info.image_size
    mean, deviation = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.info.mean, backbone.info.std)
    )
    features = []
    for start in range(0, len(pictures), 64):
        batch = np.stack([_centre(item, size) for item in pictures[start : start + 64]])
        pixels = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255.0
        with torch.inference_mode():
            encoded = backbone.model.encode_image((pixels - mean) / deviation)
        features.append(functional.normalize(encoded, dim=-1))
    return torch.cat(features)


def _centre(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    top, left = ((side - size) // 2 for side in picture.shape[:2])
    return picture[top : top + size, left : left + size]


def embed_texts(backbone: Backbone, texts: list[str]) -> Tensor:
    """Unit features (n, d) of texts."""
    with torch.inference_mode():
        return functional.normalize(backbone.model.encode_text(backbone.tokenizer(texts)), dim=-1)


def scene_accuracy(backbone: Backbone, count: int) -> float:
    """The share of `count` held-out pristine scenes whose category the prompts name right."""
    pictures = [pristine(seed) for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + count)]
    texts = embed_texts(backbone, [SCENE_PROMPT.format(name) for name in CATEGORIES])
    named = (embed_images(backbone, [item.pixels for item in pictures]) @ texts.T).argmax(dim=1)
    right = [CATEGORIES[k] == item.category for k, item in zip(named, pictures, strict=True)]
    return float(np.mean(right))


def zero_shot_scores(
    backbone: Backbone, features: Tensor, pair: tuple[str, str]
) -> NDArray[np.float64]:
    """The probability (n,) of the first of two opposite prompts for each image feature."""
    texts = embed_texts(backbone, list(pair))
    logits = backbone.model.logit_scale.exp() * features @ texts.T
    scores: NDArray[np.float64] = logits.softmax(dim=1)[:, 0].double().numpy()
    return scores


def zero_shot_srcc(backbone: Backbone, name: str, limit: int | None = None) -> dict[str, float]:
    """SRCC by the positive prompt of each pair, on the first `limit` pictures of a demo set."""
    from scipy.stats import spearmanr

    chosen: Iterable[Any] = islice(samples(name), limit)
    rendered = [(item.pixels, float(item.row["score"])) for item in chosen]
    features = embed_images(backbone, [pixels for pixels, _ in rendered])
    labels = [score for _, score in rendered]
    return {
        pair[0]: float(spearmanr(zero_shot_scores(backbone, features, pair), labels)[0])
        for pair in ANTONYMS
    }


def main() -> None:
    """Parse, measure, print."""
    parser = command_line("tiny.evaluate", __doc__)
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--weights", type=Path, help="a file of tools.tiny.train, for `tiny`")
    parser.add_argument("--scenes", type=int, default=900)
    options = parser.parse_args()
    backbone = load(options.backbone)
    if options.weights:
        fill(backbone.model, options.weights)
    accuracy = scene_accuracy(backbone, options.scenes)
    print(f"scene accuracy, {options.scenes} held-out scenes: {accuracy:.3f}")
    for name in DEMO_SETS:
        for prompt, value in zero_shot_srcc(backbone, name).items():
            print(f"zero-shot SRCC, {name}, {prompt!r}: {value:.3f}")


if __name__ == "__main__":
    main()
