"""The training of the `tiny` backbone, cut down: the same bits each time, also in pieces."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tools.tiny.corpus import TRAIN_SEED, CorpusPicture, picture
from tools.tiny.train import STAGES, Stage, save, train

SHORT = (
    Stage(steps=2, rate=1e-3, batch=8, masked=0.5),
    Stage(steps=2, rate=1e-3, batch=8, looks=2.0, flaws=True),
    Stage(steps=9, rate=1e-3, batch=8, text_only=True),
)


@pytest.fixture(scope="module")
def corpus() -> list[CorpusPicture]:
    return [picture(TRAIN_SEED + k) for k in range(32)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_training_twice_and_in_pieces_gives_the_same_bits(
    corpus: list[CorpusPicture], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("once", "again", "pieces")]
    for folder in folders:
        folder.mkdir()
    train(corpus, SHORT[:2], folders[2])
    torch.rand(3)  # what the caller draws changes nothing
    results = [save(train(corpus, SHORT, folder), folder / "tiny") for folder in folders]
    assert len(set(results)) == 1
    assert len({digest(path) for path in folders[0].glob("stage-*")}) == 3


def test_stages_of_another_recipe_are_not_taken(
    corpus: list[CorpusPicture], tmp_path: Path
) -> None:
    first = train(corpus, SHORT[:1], tmp_path).text_projection.clone()
    other = train(corpus, (replace(SHORT[0], rate=2e-3),), tmp_path).text_projection
    assert len(list(tmp_path.glob("stage-1-*"))) == 2
    assert not torch.equal(first, other)


def test_words_alone_leave_the_image_tower_as_it_is(
    corpus: list[CorpusPicture], tmp_path: Path
) -> None:
    before = {k: v.clone() for k, v in train(corpus, SHORT[:2], tmp_path).state_dict().items()}
    after = train(corpus, SHORT, tmp_path).state_dict()
    same = {name: torch.equal(before[name], after[name]) for name in before}
    assert all(unchanged for name, unchanged in same.items() if name.startswith("visual."))
    assert not same["text_projection"]


def test_the_schedule_ends_with_words_alone() -> None:
    assert [stage.text_only for stage in STAGES] == [False] * (len(STAGES) - 1) + [True]
