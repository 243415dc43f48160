"""Our GRMP-IQA on the weights and images of a golden case."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from bench.methods.grmp.model import QualityCLIP, finetuned_names
from bench.methods.grmp.qgr import angle, quality_loss, regulate, semantic_loss
from bench.methods.grmp.settings import GrmpSettings
from tests.golden import Comparison, recipe, state_dict_shapes

LOGITS, NORMS = 1e-4, 1e-4
DEGREES = math.degrees(1e-4)
STRENGTH = 5.0
TOKENS = ("prompt_learner2.token_prefix", "prompt_learner2.token_suffix")


@cache
def recipe_model() -> QualityCLIP:
    """`new_model`, once."""
    return new_model()


def new_model() -> QualityCLIP:
    """The model at full ViT-B/16 size, every weight from `recipe.py`.

    The fixed tokens of the quality prompts are embedded anew: they hang on the token embedding.
    """
    import open_clip

    clip = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None)
    tokenizer = open_clip.get_tokenizer("ViT-B-16-quickgelu")
    values = {
        name: torch.as_tensor(recipe.tensor(name, shape))
        for name, shape in state_dict_shapes("grmp").items()
        if name not in TOKENS
    }
    clip.token_embedding.weight.data = values["text_encoder.token_embedding.weight"]
    model = QualityCLIP(clip.eval(), tokenizer, GrmpSettings(recipe="official"))
    missing = model.load_state_dict(values, strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) == set(TOKENS)
    return model


def gradients(loss: Tensor, parameters: list[Tensor]) -> list[Tensor | None]:
    """Gradients of `loss`, None where a parameter has no part in it."""
    return list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))


def check(case: dict[str, Any]) -> list[Comparison]:
    """Every number of the case against ours."""
    model = recipe_model()
    names = finetuned_names(model, blocks=4, visual_prompts=False)
    parameters: list[Tensor] = list(model.train_only(names))
    pixels = torch.as_tensor(recipe.images(**case["images"]))
    features = model.image_encoder(pixels)
    quality = model.logits(features, model.quality_texts())
    scenes = model.logits(features, model.scene_texts())
    ce = quality_loss(quality, torch.tensor(case["labels"]))
    kl = semantic_loss(scenes, torch.tensor(case["teacher_logits"]).softmax(dim=-1))
    high = quality.softmax(dim=-1)[:, 0]
    found = [
        *_table("quality_logits", case["quality_logits"], quality),
        *_table("scene_logits", case["scene_logits"], scenes),
        *_table("p_high", [[value] for value in case["p_high"]], high[:, None]),
        Comparison("ce", case["ce"], ce.item(), LOGITS),
        Comparison("kl", case["kl"], kl.item(), LOGITS),
    ]
    qua = [gradient for gradient in gradients(ce, parameters) if gradient is not None]
    sem = gradients(kl, parameters)
    assert len(qua) == len(parameters)
    found += _angles(case, qua, sem)
    found += _trained(case["per_tensor"], names)
    return found + _per_tensor(case["per_tensor"], names, qua, sem)


def _angles(case: dict[str, Any], qua: list[Tensor], sem: list[Tensor | None]) -> list[Comparison]:
    """The angle as the case has it, and ours against the case's own norms and products.

    Over 41 million entries the two differ by 0.004 degrees: the case's was taken in float32, whose
    norm of the joined gradient is 0.5 % short. How short depends on the machine, so that the
    cosine may be 1 % off.
    """
    left = torch.cat([gradient.flatten() for gradient in qua])
    right = torch.cat([_dense(g, like).flatten() for g, like in zip(sem, qua, strict=True)])
    cosine = float(torch.dot(left, right) / (left.norm() * right.norm()))
    rows = case["per_tensor"].values()
    dot = sum(row["dot"] for row in rows)
    sizes = [sum(row[key] ** 2 for row in rows) for key in ("norm_gqua", "norm_gsem")]
    exact = math.degrees(math.acos(dot / math.sqrt(sizes[0] * sizes[1])))
    float32 = math.degrees(math.acos(cosine))
    wide = DEGREES + math.degrees(0.01 * abs(cosine) / math.sqrt(1 - cosine**2))
    return [
        Comparison("global_angle_deg", case["global_angle_deg"], float32, wide),
        Comparison("per_tensor/angle_deg", exact, angle(qua, sem), DEGREES),
    ]


def _dense(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient


def _table(name: str, expected: list[list[float]], actual: Tensor) -> list[Comparison]:
    """One comparison an entry; a missing row or column counts as wrong."""
    rows = actual.tolist()
    if [len(row) for row in rows] != [len(row) for row in expected]:
        return [Comparison(f"{name}/shape", len(expected), float("nan"), LOGITS)]
    return [
        Comparison(f"{name}/{i}/{j}", value, rows[i][j], LOGITS)
        for i, row in enumerate(expected)
        for j, value in enumerate(row)
    ]


def _norm(entry: str, expected: float, gradient: Tensor) -> Comparison:
    """A norm that the case took in float32 or float64: over two million entries the former is up to
    0.02 % short, more or less so from machine to machine."""
    exact = float(gradient.double().norm())
    short = abs(float(gradient.norm()) - exact) / max(exact, 1e-12)
    return Comparison(entry, expected, exact, NORMS + short, relative=True)


def _trained(expected: dict[str, Any], names: list[str]) -> list[Comparison]:
    """That the same tensors train, by name."""
    different = set(expected) ^ set(names)
    return [Comparison(f"per_tensor/{name}", 1.0, float("nan"), NORMS) for name in different]


def _per_tensor(
    expected: dict[str, Any], names: list[str], qua: list[Tensor], sem: list[Tensor | None]
) -> list[Comparison]:
    regulated = regulate(qua, sem, STRENGTH, "per_tensor").gradients
    found = []
    for name, g_qua, g_sem, g_qgr in zip(names, qua, sem, regulated, strict=True):
        if name not in expected:
            continue
        row = expected[name]
        semantic = _dense(g_sem, g_qua)
        ours = {"norm_gqua": g_qua, "norm_gsem": semantic, "norm_gqgr_lambda5": g_qgr}
        found += [_norm(f"per_tensor/{name}/{key}", row[key], value) for key, value in ours.items()]
        dot = float((g_qua.double() * semantic.double()).sum())
        size = max(float(g_qua.double().norm() * semantic.double().norm()), 1e-12)
        found.append(Comparison(f"per_tensor/{name}/dot", row["dot"], dot, NORMS * size))
    return found
