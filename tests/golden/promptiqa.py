"""PromptIQA at full size on recipe weights, against what the authors' class computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.methods.kit.checkpoints import put
from bench.methods.promptiqa.encoder import TapTransformer
from bench.methods.promptiqa.model import PromptIQANet
from tests.golden import Comparison, recipe, state_dict_shapes

TOLERANCE = 1e-4


def full_size_model() -> PromptIQANet:
    """The published architecture, its 505 tensors drawn by the recipe, in evaluation mode."""
    with torch.device("meta"):
        model = PromptIQANet(TapTransformer(224, 8, 768, 12, 12))
    shapes = state_dict_shapes("promptiqa")
    state = {
        name: torch.from_numpy(np.asarray(recipe.tensor(name, shape)))
        for name, shape in shapes.items()
    }
    put(model, state, "recipe weights")
    return model.eval()


def check(case: dict[str, Any]) -> list[Comparison]:
    """Compare every number of `case` (norms relative, the rest absolute)."""
    model = full_size_model()
    with torch.inference_mode():
        actual = _outputs(model, case)
    found = []
    for entry, values in actual.items():
        relative = entry.endswith("norm")
        pairs = zip(np.ravel(case[entry]), values.double().flatten().tolist(), strict=True)
        found += [
            Comparison(f"{entry}/{index}", float(expected), got, TOLERANCE, relative)
            for index, (expected, got) in enumerate(pairs)
        ]
    return found


def _outputs(model: PromptIQANet, case: dict[str, Any]) -> dict[str, torch.Tensor]:
    prompt, queries = (_features(model, case[key]) for key in ("prompt_images", "query_images"))
    pairs = model.encode_pairs(prompt, torch.tensor(case["prompt_scores"]))
    embedded = model.fuse_image(queries, model.fuse_prompt(pairs[None]))
    return {
        "query_feature_first8": queries[:, :8],
        "query_feature_norm": queries.norm(dim=1),
        "prompt_feature_norm": pairs.norm(dim=1),
        "logits_token0": model.score_block[:-1](embedded),
        "scores": model.score(embedded),
    }


def _features(model: PromptIQANet, images: dict[str, Any]) -> torch.Tensor:
    inputs = torch.from_numpy(recipe.images(**images))
    return torch.cat([model.features(one[None]) for one in inputs])
