"""PromptIQA under the method contract, with the tiny backbone and little training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import Context, ImagePolicy, LabelledSet
from bench.data.data_cache import DataCache
from bench.methods.promptiqa import features
from bench.methods.promptiqa.method import PromptIQA
from bench.methods.promptiqa.settings import PromptIQASettings
from bench.model.images import ArrayImages
from bench.protocol import Protocol
from bench.protocol.variants import choose
from bench.runs.plan import Planner
from bench.store import Store
from bench.util.errors import BenchError, UsageError

SIZE = 112


def build(context: Context | None = None, **values: object) -> PromptIQA:
    given = {"backbone": "tiny", "epochs": 2, "fusion_epochs": 0, **values}
    return PromptIQA(PromptIQASettings.model_validate(given), context or Context(seed=7))


def labelled(count: int, seed: int = 0, source: str = "noise") -> LabelledSet:
    """Flat grey images with noise that grows as their score falls."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(np.linspace(0, 1, count))
    arrays = [
        np.clip(128 + (1 - score) * 90 * rng.standard_normal((SIZE, SIZE, 3)), 0, 255)
        for score in scores
    ]
    images = ArrayImages([a.astype(np.uint8) for a in arrays], [f"{i:03d}" for i in range(count)])
    nothing = (None,) * count
    return LabelledSet(
        source, images, scores, nothing, nothing, nothing, nothing, (source,) * count
    )


def run(method: PromptIQA, corpora: Sequence[LabelledSet], train: LabelledSet) -> list[float]:
    losses = [epoch.loss for epoch in method.pretrain(corpora)] if method.corpora() else []
    return losses + [epoch.loss for epoch in method.fit(train)]


@pytest.fixture(scope="module")
def fitted() -> PromptIQA:
    method = build()
    run(method, [labelled(33, 1), labelled(12, 2, "other")], labelled(20, 3))
    return method


TEST = labelled(9, 4).images


@contextmanager
def recomputed(method: PromptIQA) -> Iterator[None]:
    """Within, no feature is taken from what was kept."""
    extractor = method._network().extractor
    extractor.reuse = False
    try:
        yield
    finally:
        extractor.reuse = True


def test_scores_do_not_depend_on_order_or_batches(fitted: PromptIQA) -> None:
    scores = fitted.predict(TEST)
    assert scores.shape == (9,)
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    with recomputed(fitted):
        order = np.random.default_rng(0).permutation(9)
        assert np.allclose(fitted.predict(TEST.subset(order)), scores[order], atol=1e-6)
        fitted.context.batch_size = 2
        assert np.allclose(fitted.predict(TEST), scores, atol=1e-6)
        fitted.context.batch_size = 64
    assert fitted.predict(TEST.subset([])).shape == (0,)


def test_same_seed_same_scores(fitted: PromptIQA) -> None:
    again = build()
    run(again, [labelled(33, 1), labelled(12, 2, "other")], labelled(20, 3))
    assert np.allclose(again.predict(TEST), fitted.predict(TEST), atol=1e-7)


def test_predicting_between_epochs_changes_nothing() -> None:
    results = []
    for disturb in (False, True):
        method = build(finetune_epochs=3, finetune_part="head")
        for _ in method.fit(labelled(22, 5)):
            if disturb:
                torch.rand(3)
                method.predict(TEST)
        results.append(method.predict(TEST))
    assert np.array_equal(results[0], results[1])


def test_saved_and_loaded(fitted: PromptIQA, tmp_path: Path) -> None:
    fitted.save(tmp_path / "state.safetensors")
    other = build(Context(seed=99))
    other.load(tmp_path / "state.safetensors")
    assert np.allclose(other.predict(TEST), fitted.predict(TEST), atol=1e-7)


def test_pretrained_state_is_all_that_a_run_needs(fitted: PromptIQA, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path / "weights.safetensors")
    other = build()
    other.load_pretrained(tmp_path / "weights.safetensors")
    run_only = list(other.fit(labelled(20, 3)))
    assert run_only == []
    assert np.allclose(other.predict(TEST), fitted.predict(TEST), atol=1e-7)


def test_a_file_of_another_size_is_refused(fitted: PromptIQA, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path / "weights.safetensors")
    other = build(fusion_depth=3)
    with pytest.raises(BenchError, match=r"12 missing \(blocks\.2"):
        other.load_pretrained(tmp_path / "weights.safetensors")


def test_a_checkpoint_takes_the_place_of_pretraining(fitted: PromptIQA, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path / "weights.safetensors")
    other = build(checkpoint=tmp_path / "weights.safetensors", checkpoint_sets=["a"])
    assert other.settings.recipe == "tiny"
    assert other.corpora() == ()
    assert other.trained_on() == ("a",)
    run(other, [], labelled(20, 3))
    assert np.allclose(other.predict(TEST), fitted.predict(TEST), atol=1e-7)
    assert "label_scale=constants" in other.notes[0]


def test_killed_pretraining_goes_on(tmp_path: Path) -> None:
    corpora = [labelled(22, 1)]
    whole = build(epochs=3)
    losses = [epoch.loss for epoch in whole.pretrain(corpora)]
    said: list[str] = []
    first = build(Context(seed=7, scratch=tmp_path), epochs=3)
    next(first.pretrain(corpora))
    second = build(Context(seed=7, scratch=tmp_path, say=said.append), epochs=3)
    rest = [epoch.loss for epoch in second.pretrain(corpora)]
    assert rest == pytest.approx(losses[1:], abs=1e-7)
    assert said == ["training goes on after epoch 1"]
    state = whole._network().net.state_dict()
    for name, value in second._network().net.state_dict().items():
        assert torch.allclose(value.float(), state[name].float(), atol=1e-6), name


def test_the_second_stage_trains_the_fusion_alone_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    corpora = [labelled(22, 1)]
    whole = build(epochs=1, fusion_epochs=3)
    epochs = whole.pretrain(corpora)
    assert next(epochs).total == 4
    first = {k: v.clone() for k, v in whole._network().net.state_dict().items()}
    losses = [epoch.loss for epoch in epochs]
    last = whole._network().net.state_dict()
    moved = {name.split(".")[0] for name in last if not torch.equal(last[name], first[name])}
    assert moved == {"i_p_fusion", "mlp", "prompt_fusion", "blocks", "norm", "score_block"}

    killed = build(Context(seed=7, scratch=tmp_path), epochs=1, fusion_epochs=3).pretrain(corpora)
    next(killed)
    next(killed)
    again = build(Context(seed=7, scratch=tmp_path), epochs=1, fusion_epochs=3)
    rest = [epoch.loss for epoch in again.pretrain(corpora)]
    assert rest == pytest.approx(losses[1:], abs=1e-7)


@pytest.mark.parametrize(
    ("values", "flipping"),
    [({}, [0.1, 0.5]), ({"flipping_probability": 0}, [0, 0]), ({"use_prompt": False}, [0.1])],
)
def test_the_second_stage_flips_often_unless_nothing_is_flipped(
    values: dict[str, object], flipping: list[float]
) -> None:
    stages = build(fusion_epochs=3, **values)._stages()
    assert [stage.settings.flipping_probability for stage in stages] == flipping


def test_another_trainings_checkpoint_is_not_taken_up(tmp_path: Path) -> None:
    first = build(Context(seed=7, scratch=tmp_path))
    list(first.pretrain([labelled(22, 1)]))
    second = build(Context(seed=7, scratch=tmp_path), lr=0.5)
    assert len(list(second.pretrain([labelled(22, 1)]))) == 2


def test_training_lowers_the_loss() -> None:
    method = build(epochs=12, scaling="none", flipping_probability=0)
    losses = run(method, [labelled(66, 1)], labelled(20, 3))
    assert losses[-1] < 0.8 * losses[0]


def test_the_frozen_encoder_stays(fitted: PromptIQA) -> None:
    trained = fitted._network().net.state_dict()
    fresh = build()._network().net.state_dict()
    moved = {name.split(".")[0] for name in trained if not torch.equal(trained[name], fresh[name])}
    assert "vit" not in moved
    assert {"MALs", "cnn", "blocks", "score_block", "i_p_fusion"} <= moved


@pytest.mark.parametrize(
    "values",
    [
        {"batches": "separate", "scaling": "uniform", "image_flip": "vertical"},
        {"train_part": "all", "image_flip": "horizontal", "schedule": "cosine_wave"},
        {"use_prompt": False},
        {"precision": "bf16", "schedule": "cosine_restarts", "schedule_period": 1},
        {"mixed": False, "scaling": "none", "flipping_probability": 0},
        {"use_prompt": False, "finetune_epochs": 1, "finetune_part": "fusion"},
    ],
)
def test_variants_train_and_score(values: dict[str, object]) -> None:
    method = build(epochs=1, **values)
    losses = run(method, [labelled(14, 1)], labelled(13, 3))
    assert len(losses) == 1 + method.settings.finetune_epochs
    assert np.isfinite(losses).all()
    assert np.isfinite(method.predict(TEST)).all()


@pytest.mark.parametrize("part", ["fusion", "head", "all"])
def test_fine_tuning_on_the_labels(fitted: PromptIQA, part: str, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path / "weights.safetensors")
    method = build(finetune_epochs=2, finetune_part=part, ispp_size=4)
    method.load_pretrained(tmp_path / "weights.safetensors")
    before = {k: v.clone() for k, v in method._network().net.state_dict().items()}
    assert len(list(method.fit(labelled(15, 3)))) == 2
    after = method._network().net.state_dict()
    moved = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert ("vit" in moved) == (part == "all")
    assert ("cnn" in moved) == (part != "fusion")
    assert "blocks" in moved


def test_prompts_change_scores(fitted: PromptIQA) -> None:
    plain = fitted.predict(TEST)
    inverted = build(perturbation="inverted")
    inverted._loaded = fitted._loaded
    list(inverted.fit(labelled(20, 3)))
    assert not np.allclose(inverted.predict(TEST), plain, atol=1e-4)


def test_databases_of_dmos_are_prompted_so_and_turned_back(fitted: PromptIQA) -> None:
    train = labelled(20, 3, "csiq")
    scores = []
    for keep in (True, False):
        method = build(native_labels=keep)
        method._loaded = fitted._loaded
        list(method.fit(train))
        assert method._prompt is not None
        assert method._prompt.downwards is keep
        assert method._prompt.scores.tolist() == sorted(method._prompt.scores)
        scores.append(method.predict(TEST))
    assert not np.allclose(scores[0], scores[1], atol=1e-5)


def test_without_a_prompt_predictions_are_turned_with_the_requirement() -> None:
    """As in the paper's Tables 3 and 6: the network does not know that labels run downwards."""
    method = build(use_prompt=False, native_labels=True)
    list(method.fit(labelled(20, 3, "demo_synthetic@ssim")))
    upwards = method.predict(TEST)
    list(method.fit(labelled(20, 3, "demo_synthetic@lpips")))
    assert np.allclose(method.predict(TEST), 1 - upwards)


def test_constants_take_labels_as_shipped_and_say_where_there_are_none(fitted: PromptIQA) -> None:
    method = build(label_scale="constants")
    assert (method.corpus_normalise, method.fit_normalise) == ("none", "none")
    method._loaded = fitted._loaded
    train = labelled(20, 3, "spaq")
    list(method.fit(replace(train, scores=20 + 50 * train.scores)))
    assert method._prompt is not None
    assert method._prompt.scores.min() == pytest.approx(0.2)
    assert method._prompt.scores.max() == pytest.approx(0.7)
    assert method.notes == []
    list(method.fit(labelled(20, 3)))
    list(method.fit(labelled(20, 3, "koniq10k")))
    assert method.notes == [
        "no label constants for noise: its labels span 0 to 1",
        "§ no label constants for koniq10k: its labels span 0 to 1; there are for koniq10k@100",
    ]
    assert build().fit_normalise is None


@pytest.mark.parametrize(("scale", "normalise"), [("constants", "none"), ("minmax", "range")])
def test_a_plan_gives_constants_the_labels_as_shipped(
    scale: str, normalise: str, toy_data: Path, tmp_path: Path
) -> None:
    protocol = Protocol(name="constants", datasets=("toy",), repeats=1, normalise="range")
    given = {"backbone": "tiny", "corpora": ["toy"], "label_scale": scale}
    variants = choose(protocol, ["promptiqa"], given)
    planner = Planner(protocol, DataCache([toy_data]))
    (spec,) = planner.plan(variants, Store(tmp_path)).runs.values()
    assert spec.fit.normalise == normalise


def test_pairs_of_the_users_own(fitted: PromptIQA) -> None:
    method = build()
    method._loaded = fitted._loaded
    with pytest.raises(UsageError, match="no image-score pairs"):
        method.predict(TEST)
    pairs = labelled(5, 6)
    method.set_prompt(pairs.images, pairs.scores)
    unit = method.predict(TEST)
    method.set_prompt([pairs.images[i] for i in (4, 2, 0, 1, 3)], pairs.scores[[4, 2, 0, 1, 3]])
    assert np.allclose(method.predict(TEST), unit, atol=1e-6)
    method.set_prompt(pairs.images, 1 + 4 * pairs.scores)  # a scale of 1 to 5
    assert np.allclose(method.predict(TEST), unit, atol=1e-6)
    with pytest.raises(UsageError, match="as many finite scores"):
        method.set_prompt(pairs.images, pairs.scores[:3])


def test_without_trained_weights_there_are_no_scores() -> None:
    method = build(corpora=[])
    list(method.fit(labelled(4, 3)))
    with pytest.raises(UsageError, match="no trained weights"):
        method.predict(TEST)


def test_too_few_labels_make_a_shorter_prompt(fitted: PromptIQA) -> None:
    method = build()
    method._loaded = fitted._loaded
    list(method.fit(labelled(4, 3)))
    assert method._prompt is not None
    assert len(method._prompt.images) == 4
    assert "prompt of 4 pairs" in method.notes[0]


def test_embedding(fitted: PromptIQA) -> None:
    assert fitted.embed(TEST).shape == (9, 64)


def test_a_released_checkpoint_sees_what_its_authors_code_saw() -> None:
    given = {"checkpoint": "best_model.pth.tar"}
    theirs = PromptIQA(PromptIQASettings.model_validate(given), Context())
    assert theirs.policy.of("livec") == ImagePolicy("squash", 224, "cv2")
    assert theirs.policy.of("spaq") == ImagePolicy("squash", 224, "cv2", first=512)
    ours = PromptIQA(PromptIQASettings(), Context())
    assert ours.policy.of("spaq") == ImagePolicy("squash", 224)


def test_images_of_another_size_are_refused(fitted: PromptIQA) -> None:
    with pytest.raises(ValueError, match="decode images under the method's policy"):
        fitted.predict(ArrayImages([np.zeros((20, 20, 3), np.uint8)]))


def test_without_a_mixture_it_trains_on_each_runs_own_database() -> None:
    assert build(mixed=False).corpora() == ("own",)
    assert build(corpora=["a", "b"]).corpora() == ("a", "b")


def test_pretrained_weights_do_not_depend_on_the_prompt() -> None:
    state = build().pretrain_settings()
    assert state == build(ispp_size=3, selection="even", perturbation="both").pretrain_settings()
    assert state != build(scaling="none").pretrain_settings()
    assert state != build(use_prompt=False).pretrain_settings()


# -- the store of features -------------------------------------------------------------------------


def test_a_second_prediction_computes_no_feature(
    fitted: PromptIQA, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fitted.predict(TEST)
    monkeypatch.setattr(features, "stack_pixels", _refuse)
    assert np.array_equal(fitted.predict(TEST), first)
    other = build(ispp_size=3)
    other._loaded = fitted._loaded
    list(other.fit(labelled(20, 3)))
    with pytest.raises(AssertionError, match="computed"):
        other.predict(labelled(3, 8).images)


def _refuse(*_: object) -> None:
    raise AssertionError("computed")


def test_changed_weights_are_noticed(fitted: PromptIQA, tmp_path: Path) -> None:
    fitted.save(tmp_path / "state.safetensors")
    method = build()
    method.load(tmp_path / "state.safetensors")
    before = method.predict(TEST)
    with torch.no_grad():
        method._network().net.cnn[0].weight.mul_(1.5)  # type: ignore[union-attr, operator]
    after = method.predict(TEST)
    assert not np.allclose(before, after, atol=1e-6)
    with recomputed(method):
        assert np.allclose(method.predict(TEST), after, atol=1e-6)
