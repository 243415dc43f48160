"""Outer updates of GRMP-IQA's meta-pre-training against the authors' `train_model()`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api import Context
from bench.methods.grmp import meta
from bench.methods.grmp.model import QualityCLIP, prompt_names
from bench.methods.grmp.pipeline import Pipeline
from bench.methods.grmp.pretrain import InnerBatch, MetaTraining, Pretrainer
from bench.methods.grmp.recipes import RecipeName
from bench.methods.grmp.settings import GrmpSettings
from tests.golden import Comparison, recipe
from tests.golden.inputs import crops_of, lens, movement, probe_of, refuse

LOSSES, NORM, PROBE = 1e-4, 1e-3, 1e-2
RECIPES: dict[str, RecipeName] = {"as_shipped": "official", "reset": "paper"}
"""Which of the method's recipes each variant is."""
TOKENS = ("prompt_learner2.token_prefix", "prompt_learner2.token_suffix")


def check(case: dict[str, Any]) -> list[Comparison]:
    """Every number of the case against ours."""
    refuse(case, dropout=0.0)
    unknown = set(case["variants"]) - set(RECIPES)
    if unknown:
        raise ValueError(f"unknown variants: {', '.join(sorted(unknown))}")
    return [
        comparison
        for variant, expected in case["variants"].items()
        for comparison in _variant(case, variant, expected)
    ]


def _variant(case: Mapping[str, Any], name: str, expected: Mapping[str, Any]) -> list[Comparison]:
    settings = GrmpSettings(
        recipe=RECIPES[name],
        inner_optimiser=case["inner"]["kind"],
        inner_lr=case["inner"]["lr"],
        outer_lr=case["outer_lr"],
        pretrain_dropout=0.0,
        n_prompts=case["model"]["visual_prompts"],
        n_context=case["model"]["context_words"],
    )
    model = new_model(case, settings)
    names = prompt_names(model)
    parameters = model.train_only(names)
    size = case["model"]["image_size"]
    pipeline = Pipeline(model, lens(size), live_prompts=True)
    training = MetaTraining(Pretrainer(pipeline, parameters, settings, Context()))
    learner = replace(
        training.learner, new_optimiser=partial(_optimiser, case["inner"], parameters)
    )
    start = meta.snapshot(learner.theta)
    found: list[Comparison] = []
    for number, update in enumerate(case["updates"]):
        visits = [
            meta.Visit(update["corpus"], _pairs(case, task["pairs"])) for task in update["tasks"]
        ]
        losses = learner.update(visits)
        found += _losses(f"{name}/losses/{number}", expected["losses"][number], losses)
        ways = zip(names, learner.theta, start, strict=True)
        moved = {tensor: now.double() - first.double() for tensor, now, first in ways}
        found += _theta(f"{name}/theta/{number}", case, expected["theta"][number], moved)
    return found


def _optimiser(
    inner: Mapping[str, Any], parameters: Sequence[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """The method's inner optimiser with the case's moments and epsilon."""
    optimiser = meta.inner_optimiser(parameters, inner["kind"], inner["lr"])
    if inner["kind"] == "adam":
        for group in optimiser.param_groups:
            group["betas"], group["eps"] = tuple(inner["betas"]), inner["eps"]
    return optimiser


def _theta(
    entry: str, case: Mapping[str, Any], table: Mapping[str, Any], moved: Mapping[str, Tensor]
) -> list[Comparison]:
    """How far every tensor has come; one that no layer of ours reads has stayed where it was."""
    found = [
        Comparison(f"{entry}/{tensor}", 1.0, float("nan"), NORM) for tensor in moved.keys() - table
    ]
    for tensor, row in table.items():
        shape = tuple(case["state_dict"][tensor])
        delta = moved.get(tensor, torch.zeros(shape))
        probe = probe_of(tensor, shape)[: len(delta)]
        found += movement(f"{entry}/{tensor}", row, delta, probe, NORM, PROBE)
    return found


def new_model(case: Mapping[str, Any], settings: GrmpSettings) -> QualityCLIP:
    """The case's small model, every weight from `recipe.py`."""
    import open_clip
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    own = case["model"]
    vision = CLIPVisionCfg(
        layers=own["vision_layers"],
        width=own["vision_width"],
        head_width=own["vision_width"] // own["vision_heads"],
        patch_size=own["patch_size"],
        image_size=own["image_size"],
    )
    text = CLIPTextCfg(
        context_length=own["context_length"],
        vocab_size=own["vocab_size"],
        width=own["text_width"],
        heads=own["text_heads"],
        layers=own["text_layers"],
    )
    clip = CLIP(own["embed_dim"], vision, text, quick_gelu=True).eval()
    values = {
        name: torch.as_tensor(recipe.tensor(name, tuple(shape)))
        for name, shape in case["state_dict"].items()
        if name not in TOKENS
    }
    clip.token_embedding.weight.data = values["text_encoder.token_embedding.weight"]
    model = QualityCLIP(clip, open_clip.get_tokenizer("ViT-B-16-quickgelu"), settings)
    deep = "image_encoder.deep_prompt_embeddings"
    # The authors' class fixes eleven rows; those that no layer reads never move.
    values[deep] = values[deep][: len(model.get_parameter(deep))]
    missing = model.load_state_dict(values, strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= set(TOKENS)
    return model


def _pairs(case: Mapping[str, Any], pairs: Any) -> Iterator[tuple[InnerBatch, InnerBatch]]:
    for pair in pairs:
        support, query = (_batch(case, pair[side]) for side in ("support", "query"))
        yield support, query


def _batch(case: Mapping[str, Any], batch: Mapping[str, Any]) -> InnerBatch:
    images = {key: batch.get(key, case.get(key)) for key in ("n", "seed", "low", "high")}
    return InnerBatch(crops_of(images, case["model"]["image_size"]), np.array(batch["labels"]))


def _losses(entry: str, expected: Any, losses: Any) -> list[Comparison]:
    """Task by task, pair by pair: support, then query."""
    return [
        Comparison(f"{entry}/{task}/{step}/{side}", value, ours, LOSSES, relative=True)
        for task, (theirs, found) in enumerate(zip(expected, losses, strict=True))
        for step, pairs in enumerate(zip(theirs, found, strict=True))
        for side, value, ours in zip(("support", "query"), *pairs, strict=True)
    ]
