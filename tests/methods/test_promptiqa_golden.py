"""PromptIQA at full size against the authors' numbers."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
import torch

from tests.golden import FOLDER, promptiqa, promptiqa_steps, recipe

CASE = FOLDER / "promptiqa.json"


@pytest.mark.slow
def test_the_whole_case() -> None:
    wrong = [item for item in promptiqa.check(json.loads(CASE.read_text())) if not item.ok]
    assert not wrong


@pytest.mark.parametrize(
    "name",
    [
        "promptiqa_labels",
        pytest.param("promptiqa_steps", marks=pytest.mark.slow),
        pytest.param("promptiqa_two_sets", marks=pytest.mark.slow),
    ],
)
def test_training_is_the_authors(name: str) -> None:
    check = importlib.import_module(f"tests.golden.{name}").check
    wrong = [
        item for item in check(json.loads((FOLDER / f"{name}.json").read_text())) if not item.ok
    ]
    assert not wrong


def test_a_step_of_training_is_the_authors() -> None:
    comparisons = promptiqa_steps.check(
        first_step(json.loads((FOLDER / "promptiqa_steps.json").read_text()))
    )
    assert not [item for item in comparisons if not item.ok]
    assert any(item.entry.endswith("/delta_1/norm") for item in comparisons)


def first_step(case: dict[str, Any]) -> dict[str, Any]:
    """The same case without its later steps, and without what is asked after the last."""
    kept = [
        place
        for place, name in enumerate(case["columns"])
        if not name.startswith("delta_") or name.endswith("_1")
    ]
    return {
        **{name: value for name, value in case.items() if name != "after"},
        "steps": case["steps"][:1],
        "columns": [case["columns"][place] for place in kept],
        "tensors": {name: [row[at] for at in kept] for name, row in case["tensors"].items()},
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_half_precision_on_a_gpu_stays_near_the_authors_scores() -> None:
    case = json.loads(CASE.read_text())
    model = promptiqa.full_size_model().cuda()
    prompt, queries = (
        torch.from_numpy(recipe.images(**case[key])).cuda()
        for key in ("prompt_images", "query_images")
    )
    given = torch.tensor(case["prompt_scores"]).cuda()
    with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16):
        scores = model(queries, prompt, given)
    assert scores.float().cpu().tolist() == pytest.approx(case["scores"], abs=5e-3)
