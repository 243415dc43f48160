"""Whole optimiser steps of GRMP-IQA's fine-tuning against the authors' `train()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api import Context
from bench.methods.grmp.finetune import Finetuner
from bench.methods.grmp.model import QualityCLIP, finetuned_names
from bench.methods.grmp.pipeline import Pipeline, Teacher
from bench.methods.grmp.reuse import Reuse
from bench.methods.grmp.settings import GrmpSettings
from bench.methods.kit.trainer import At
from tests.golden import Comparison, recipe, state_dict_shapes
from tests.golden.grmp import new_model
from tests.golden.inputs import crops_of, lens, movement, probe_of, refuse

SCALARS, COUNT = 1e-5, 0.5
NORM, PROBE, FIRST = 1e-4, 2e-3, 5e-3
MOST_ROUNDED = 0.05
"""Relative tolerance of a norm that no rounding widens."""
BLOCKS = 4


class GivenTeacher(Teacher):
    """Scene probabilities (n, 9) that are known, in place of a network's."""

    def __init__(self, known: Tensor) -> None:
        self.known = known

    def probabilities(self, crops: Any) -> Tensor:
        """(B, 9)."""
        return self.known[[crop.index for crop in crops]]


def check(case: dict[str, Any], most: int | None = None) -> list[Comparison]:
    """Every number of the case against ours; `most` stops after so many steps.

    The case's own p_high of the end is left out then. A case without the teacher's logits is
    trained with what our teacher says.
    """
    refuse(case, temperature=1.0, dropout=0.0)
    model = new_model()
    crops = crops_of(case["images"])
    teacher = _teacher(case, model)
    found: list[Comparison] = []
    if "teacher_logits" in case:
        given = torch.tensor(case["teacher_logits"]).softmax(dim=-1)
        found += [
            Comparison(f"teacher/{i}/{j}", value, float(teacher[i, j]), SCALARS)
            for i, row in enumerate(given.tolist())
            for j, value in enumerate(row)
        ]
        teacher = given
    ours = finetuner(case, model, teacher)
    trained = ours.trainer.parameters
    found += _high("p_high_before", case, ours.pipeline, crops)
    start = {name: value.detach().clone() for name, value in trained.items()}
    probes = {name: probe_of(name, value.shape) for name, value in start.items()}
    for number, expected in enumerate(case["steps"][:most]):
        _, means = ours.trainer.step(crops, At(0, number))
        entry, table = f"steps/{number}", expected["per_tensor"]
        found += _scalars(entry, expected, means, len(trained))
        found += [
            Comparison(f"{entry}/{name}", 1.0, float("nan"), NORM)
            for name in set(table) ^ set(trained)
        ]
        for name in table.keys() & trained.keys():
            now = trained[name].detach()
            found += _tensor(f"{entry}/{name}", table[name], start[name], now, probes[name])
    if most is None:
        found += _high("p_high", case, ours.pipeline, crops)
    return found


def finetuner(case: Mapping[str, Any], model: QualityCLIP, scenes: Tensor) -> Finetuner:
    """The method's own trainer under recipe `official`, with the case's optimiser and the teacher's
    scene probabilities (n, 9)."""
    optimiser = case["optimiser"]
    settings = GrmpSettings(
        recipe="official",
        optimiser=optimiser["kind"],
        lr=optimiser["lr"],
        momentum=optimiser["momentum"],
        weight_decay=optimiser["weight_decay"],
        scope=case["scope"],
        dropout=0.0,
        **{"lambda": case["lambda"]},
    )
    model.train_only(finetuned_names(model, BLOCKS, visual_prompts=False))
    frozen = model.image_encoder.n_layers - BLOCKS, model.text_encoder.n_layers - BLOCKS
    pipeline = Pipeline(model, lens(), frozen)
    labels, teacher = torch.tensor(case["labels"]), GivenTeacher(scenes)
    return Finetuner(pipeline, teacher, labels, lambda epoch: [], settings, Context())


def _teacher(case: Mapping[str, Any], model: QualityCLIP) -> Tensor:
    """Untouched CLIP's scene probabilities (n, 9): the method's teacher on a network of its own."""
    import open_clip

    clip = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None)
    names = {
        name.replace("image_encoder.", "visual.").replace("text_encoder.", ""): shape
        for name, shape in state_dict_shapes("grmp").items()
        if "prompt" not in name
    }
    clip.load_state_dict(
        {name: torch.as_tensor(recipe.tensor(name, shape)) for name, shape in names.items()}
    )
    teacher = Teacher(model, clip.eval(), lens(), Reuse())
    return teacher.probabilities(crops_of(case["images"]))


def _scalars(
    entry: str, expected: Mapping[str, Any], means: Mapping[str, float], tensors: int
) -> list[Comparison]:
    return [
        Comparison(f"{entry}/ce", expected["ce"], means["loss"], SCALARS),
        Comparison(f"{entry}/kl", expected["kl"], means["kl"], SCALARS),
        Comparison(f"{entry}/clipped", expected["clipped"], means["clipped"] * tensors, COUNT),
    ]


def _tensor(
    entry: str, expected: Mapping[str, Any], start: Tensor, now: Tensor, probe: Tensor
) -> list[Comparison]:
    delta = now.double() - start.double()
    root, gap = delta.numel() ** 0.5, _gap(start)
    # Two float32 runs whose gradients differ by 1e-5 round some entries apart. That moves a norm
    # by up to a quarter of the gap: at the authors' rate less than its tolerance after two steps,
    # at a tenth of it more.
    rounded = min(gap / 4 / expected["norm"], MOST_ROUNDED) if expected["norm"] > 0 else 0.0
    norm, share = max(NORM, rounded), max(PROBE, rounded * root)
    wide = max(FIRST * expected["norm"] / root, gap)
    first = delta.flatten()[: len(expected["first4"])].tolist()
    return [
        *movement(entry, expected, delta, probe, norm, share),
        *(
            Comparison(f"{entry}/first4/{place}", value, ours, wide)
            for place, (value, ours) in enumerate(zip(expected["first4"], first, strict=True))
        ),
    ]


def _gap(weights: Tensor) -> float:
    """Between neighbouring float32 numbers of the weights' size: 1.2e-7 in layer norms."""
    size = float(weights.double().square().mean()) ** 0.5
    return float(np.spacing(np.float32(size)))


@torch.no_grad()
def _high(name: str, case: Mapping[str, Any], pipeline: Pipeline, crops: Any) -> list[Comparison]:
    if name not in case:
        return []
    logits = pipeline.model.logits(pipeline.image_features(crops), pipeline.quality_texts())
    ours = logits.softmax(dim=-1)[:, 0].tolist()
    return [
        Comparison(f"{name}/{place}", value, got, SCALARS)
        for place, (value, got) in enumerate(zip(case[name], ours, strict=True))
    ]
