"""PromptIQA at full size against the authors' numbers."""

from __future__ import annotations

import json

import pytest
import torch

from tests.golden import FOLDER, promptiqa, recipe

CASE = FOLDER / "promptiqa.json"


def test_an_image_feature_at_full_size() -> None:
    case = json.loads(CASE.read_text())
    model = promptiqa.full_size_model()
    image = torch.from_numpy(recipe.images(**case["query_images"]))[:1]
    with torch.inference_mode():
        feature = model.features(image)[0]
    assert float(feature.norm()) == pytest.approx(case["query_feature_norm"][0], rel=1e-4)
    expected = torch.tensor(case["query_feature_first8"][0])
    assert torch.allclose(feature[:8], expected, atol=1e-4)


@pytest.mark.slow
def test_the_whole_case() -> None:
    wrong = [item for item in promptiqa.check(json.loads(CASE.read_text())) if not item.ok]
    assert not wrong


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
