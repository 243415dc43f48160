"""The training of the `tiny` backbone, cut down: the same bits each time, also in pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.backbones import load
from tools.tiny.corpus import TRAIN_SEED, Picture, picture
from tools.tiny.teacher import DIRECTIONS, Teacher
from tools.tiny.train import STAGES, Stage, channels_first, save, train
from tools.tiny.views import mixed

SHORT = (
    Stage(steps=2, rate=1e-3, captioned=0, mixed=8, masked=0.5, teacher=1.0),
    Stage(steps=2, rate=1e-3, captioned=8, mixed=4, looks=2.0, teacher=2.0, flaws=True),
    Stage(steps=9, rate=1e-3, captioned=8, mixed=0, text_only=True),
)


@pytest.fixture(scope="module")
def corpus() -> list[Picture]:
    return [picture(TRAIN_SEED + k) for k in range(128)]


@pytest.fixture(scope="module")
def examples(corpus: list[Picture]) -> Tensor:
    rng = np.random.default_rng(0)
    return channels_first([mixed(corpus, k, 112, rng) for k in range(len(corpus))])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_training_twice_and_in_pieces_gives_the_same_bits(
    corpus: list[Picture], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("once", "again", "pieces")]
    for folder in folders:
        folder.mkdir()
    train(corpus, SHORT[:2], folders[2])
    torch.rand(3)  # what the caller draws changes nothing
    results = [save(train(corpus, SHORT, folder), folder / "tiny") for folder in folders]
    assert len(set(results)) == 1
    stages = {digest(folders[0] / f"stage-{number}.safetensors") for number in (1, 2, 3)}
    assert len(stages) == 3


def test_words_alone_leave_the_image_tower_as_it_is(corpus: list[Picture], tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in train(corpus, SHORT[:2], tmp_path).state_dict().items()}
    after = train(corpus, SHORT, tmp_path).state_dict()
    same = {name: torch.equal(before[name], after[name]) for name in before}
    assert all(unchanged for name, unchanged in same.items() if name.startswith("visual."))
    assert not same["text_projection"]


def test_the_schedule_ends_with_words_alone() -> None:
    assert [stage.text_only for stage in STAGES] == [False] * (len(STAGES) - 1) + [True]


def test_the_teacher_pools_five_inner_stages_and_the_last(examples: Tensor) -> None:
    teacher, network = Teacher(examples), load("lite0").model
    blocks = [block for stage in network.blocks for block in stage]
    seen: list[Tensor] = []
    for module in (*(blocks[k] for k in (2, 4, 7, 10, 14)), network.bn2):
        module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    crops = examples[:2]
    with torch.inference_mode():
        network((crops.float() / 255.0 - 0.5) / 0.5)
    expected = torch.cat(
        [pool(output, dim=(2, 3)) for output in seen for pool in (torch.mean, torch.std)], dim=1
    )
    pooled = teacher.pooled(crops)
    assert pooled.shape == expected.shape == (2, 3456)
    # The teacher works in half precision: close numbers, and in the same order.
    assert torch.corrcoef(torch.stack([pooled[0], expected[0]]))[0, 1] > 0.999


def test_the_teachers_components_are_uncorrelated_and_of_total_variance_one(
    examples: Tensor,
) -> None:
    found = Teacher(examples).targets(examples)
    assert found.shape == (len(examples), DIRECTIONS)
    covariance = found.T.cov(correction=0)
    variances = covariance.diagonal()
    assert float(variances.sum()) == pytest.approx(1.0, abs=0.02)
    first = int(variances.argmax())
    others = covariance[first].clone()
    others[first] = 0.0
    assert float(others.abs().max()) < 0.01 * float(variances[first])


def test_mixed_views_are_filled_and_of_the_pictures_colours() -> None:
    grey = Picture(np.full((128, 128, 3), 90, np.uint8), "night", (), 3.0)
    views = [mixed([grey] * 4, 0, 112, np.random.default_rng(seed)) for seed in range(40)]
    assert {view.shape for view in views} == {(112, 112, 3)}
    assert all(len(np.unique(view.reshape(-1, 3), axis=0)) == 1 for view in views)
    plain = [view for view in views if (view == 90).all()]
    assert 5 < len(plain) < 35  # the others are recoloured


def test_mixed_views_differ_and_repeat(corpus: list[Picture]) -> None:
    one, again, other = (mixed(corpus, 0, 112, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
