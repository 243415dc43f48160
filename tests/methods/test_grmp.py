"""GRMP-IQA on the tiny backbone: reuse, determinism, checkpoints, resuming."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.api import Context, Epoch, LabelledSet
from bench.methods.grmp.engine import GrmpEngine
from bench.methods.grmp.method import GRMP
from bench.methods.grmp.model import finetuned_names
from bench.methods.grmp.reuse import NOTHING, Reuse
from bench.methods.grmp.settings import GrmpSettings
from bench.methods.kit import checkpoints
from bench.methods.kit.cache import Cache
from bench.methods.kit.trainer import Trainer
from bench.model.images import ArrayImages
from bench.util.errors import BenchError, DataError, UsageError

SIDE = 128
QUICK = {
    "backbone": "tiny",
    "lr": 1e-3,
    "epochs": 2,
    "batch_size": 4,
    "views": 2,
    "trained_blocks": 2,
    "meta_epochs": 2,
    "inner_steps": 1,
    "support_batch": 4,
    "query_batch": 4,
}


@pytest.fixture(scope="module")
def labelled() -> LabelledSet:
    """Twelve images of noise over a ramp, of two distortions and three references."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(40, 200, SIDE)[None, :, None]
    scores = np.linspace(0.1, 0.9, 12)
    arrays = [
        np.clip(ramp + rng.normal(0, 90 * (1 - y), (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        for y in scores
    ]
    return LabelledSet(
        dataset="noise",
        images=ArrayImages(arrays),
        scores=scores,
        references=tuple(f"r{i // 2 % 3}" for i in range(12)),
        distortions=tuple("ab"[i % 2] for i in range(12)),
        levels=(1,) * 12,
        scenes=(None,) * 12,
        sources=("noise",) * 12,
    )


def method(seed: int = 1, scratch: Path | None = None, **settings: Any) -> GRMP:
    return GRMP(GrmpSettings(**{**QUICK, **settings}), Context(seed=seed, scratch=scratch))


def trained(labelled: LabelledSet, **settings: Any) -> tuple[GRMP, list[Epoch]]:
    fitted = method(**settings)
    return fitted, list(fitted.fit(labelled))


@pytest.mark.parametrize(
    "off", [field.name for field in dataclasses.fields(Reuse)] + ["everything"]
)
def test_reuse_gives_the_same_numbers(labelled: LabelledSet, off: str) -> None:
    """Losses, KL, angles and predictions of a whole fit, with and without."""
    less = NOTHING if off == "everything" else dataclasses.replace(Reuse(), **{off: False})
    results = []
    for reuse in (Reuse(), less):
        fitted = method(optimiser="sgd", lr=1e-3)
        fitted._engine = GrmpEngine(fitted.settings, fitted.context, reuse)
        epochs = list(fitted.fit(labelled))
        numbers = [[epoch.loss, *epoch.diagnostics.values()] for epoch in epochs]
        results.append((numbers, fitted.predict(labelled.images)))
    assert np.allclose(results[0][0], results[1][0], rtol=1e-4, atol=1e-4)
    assert np.allclose(results[0][1], results[1][1], atol=1e-4)


def test_a_full_store_changes_nothing(
    labelled: LabelledSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy, _ = trained(labelled)
    small = Cache(200_000)
    monkeypatch.setattr("bench.methods.kit.cache.shared", lambda device: small)
    tight, _ = trained(labelled)
    assert 0 < len(tight.engine.pipeline.kept) < len(roomy.engine.pipeline.kept)
    assert small.bytes <= 200_000
    assert np.allclose(roomy.predict(labelled.images), tight.predict(labelled.images), atol=1e-4)


def test_batches_in_parts_give_the_same_numbers(labelled: LabelledSet) -> None:
    """As where memory has run out: the parts' gradients are added before they are regulated."""
    whole, epochs = trained(labelled)
    fitted = method()
    finetuner = fitted.engine.finetuner(labelled)
    finetuner.trainer.micro = 3  # of batches of four
    parts = list(finetuner.run())
    for one, other in zip(epochs, parts, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-4)
        assert one.diagnostics == pytest.approx(other.diagnostics, rel=1e-3, abs=1e-3)
    assert np.allclose(whole.predict(labelled.images), fitted.predict(labelled.images), atol=1e-3)


def test_predictions_do_not_hang_on_order_or_batches(labelled: LabelledSet) -> None:
    fitted, _ = trained(labelled)
    whole = fitted.predict(labelled.images)
    fitted.context.batch_size = 5
    order = [7, 2, 11, 0, 5, 1]
    arrays = [labelled.images[i] for i in order]
    assert np.allclose(fitted.predict(ArrayImages(arrays)), whole[order], atol=1e-5)
    fresh = method()
    assert np.allclose(
        fresh.predict(labelled.images)[order], fresh.predict(ArrayImages(arrays)), atol=1e-5
    )


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.1}, {"test_crops": 3, "crops": 2}])
def test_predicting_between_epochs_disturbs_nothing(
    labelled: LabelledSet, settings: dict[str, Any]
) -> None:
    quiet, _ = trained(labelled, **settings)
    asked = method(**settings)
    for _ in asked.fit(labelled):
        asked.predict(labelled.images)
        asked.embed(labelled.images)
        asked.semantic_confidence(labelled.images)
        torch.rand(3)
    assert np.array_equal(quiet.predict(labelled.images), asked.predict(labelled.images))


def test_a_seed_decides_everything(labelled: LabelledSet) -> None:
    scores = [trained(labelled, seed=seed)[0].predict(labelled.images) for seed in (1, 1, 2)]
    assert np.array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])


def test_lambda_zero_is_plain_fine_tuning(labelled: LabelledSet) -> None:
    plain, _ = trained(labelled, qgr=False)
    zero, epochs = trained(labelled, **{"lambda": 0.0})
    assert np.array_equal(plain.predict(labelled.images), zero.predict(labelled.images))
    assert epochs[0].diagnostics["clipped"] == 0
    regulated, _ = trained(labelled, **{"lambda": 5.0})
    assert not np.array_equal(plain.predict(labelled.images), regulated.predict(labelled.images))


def test_diagnostics_of_an_epoch(labelled: LabelledSet) -> None:
    _, epochs = trained(labelled, scope="per_tensor")
    assert [epoch.total for epoch in epochs] == [2, 2]
    for epoch in epochs:
        names = {"kl", "angle", "angle_regulated", "clipped", "lr", "moved"}
        assert set(epoch.diagnostics) == names
        assert 0 < epoch.diagnostics["angle"] < 180
        assert epoch.diagnostics["angle_regulated"] >= epoch.diagnostics["angle"]
        assert 0 <= epoch.diagnostics["clipped"] <= 1
    _, plain = trained(labelled, qgr=False)
    assert set(plain[0].diagnostics) == {"kl", "angle", "lr", "moved"}
    assert 0 < epochs[0].diagnostics["moved"] < epochs[1].diagnostics["moved"]


def test_only_the_last_blocks_train_and_the_backbone_stays(labelled: LabelledSet) -> None:
    fresh = method()
    engine = fresh.engine
    before = {name: value.clone() for name, value in engine.model.state_dict().items()}
    backbone = {name: value.clone() for name, value in engine.clip.state_dict().items()}
    list(fresh.fit(labelled))
    names = set(finetuned_names(engine.model, 2, visual_prompts=False))
    changed = {
        name
        for name, value in engine.model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed <= names
    assert "prompt_learner2.ctx" in changed
    assert all(
        torch.equal(value, backbone[name]) for name, value in engine.clip.state_dict().items()
    )


def test_answers_besides_the_score(labelled: LabelledSet) -> None:
    fitted, _ = trained(labelled)
    features = fitted.embed(labelled.images)
    assert features.shape == (12, 96)
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    confidence = fitted.semantic_confidence(labelled.images)
    assert confidence.shape == (12,)
    assert ((confidence >= 1 / 9) & (confidence <= 1)).all()


def test_nothing_to_train_is_said(labelled: LabelledSet) -> None:
    with pytest.raises(UsageError, match="nothing to train"):
        trained(labelled, trained_blocks=0, text_prompts=False)


def test_labels_out_of_range_are_refused_or_rescaled(labelled: LabelledSet) -> None:
    raw = dataclasses.replace(labelled, scores=1 + 4 * labelled.scores)
    with pytest.raises(UsageError, match="labels run from"):
        trained(raw)
    assert len(trained(raw, labels="rescaled")[1]) == 2


def test_plateau_reads_scores_and_does_without(labelled: LabelledSet) -> None:
    settings: dict[str, Any] = {
        "schedule": "plateau",
        "epochs": 400,
        "unscored_epochs": 3,
        "patience": 1,
        "decay": 0.01,
        "min_lr": 1e-5,
        "lr": 1e-3,
        "trained_blocks": 0,
    }
    assert len(trained(labelled, **settings)[1]) == 3
    generator = method(**settings).fit(labelled)
    told = [next(generator)]
    while (epoch := _tell(generator, 1.0)) is not None:
        told.append(epoch)
    assert len(told) == 13  # nothing decays in the first eleven epochs; two decays end it


def test_the_state_before_training_competes(labelled: LabelledSet) -> None:
    settings: dict[str, Any] = {"schedule": "plateau", "patience": 1, "epochs": 2}
    generator = method(evaluate_start=True, **settings).fit(labelled)
    start = next(generator)
    assert start.start
    assert start.diagnostics == {}
    rates = [_tell(generator, score).diagnostics["lr"] for score in (1.0, 0.5)]  # type: ignore[union-attr]
    assert rates == [1e-3, 1e-3]  # constant from the first score on, no cosine
    assert not next(method(**settings).fit(labelled)).start


def test_prompts_that_hardly_moved_are_noted(labelled: LabelledSet, tmp_path: Path) -> None:
    for settings, notes in (({}, 0), ({"outer_lr": 1e-6}, 1)):
        trained = method(**settings)
        epochs = list(trained.pretrain([labelled]))
        moved = [epoch.diagnostics["moved"] for epoch in epochs]
        assert 0 < moved[0] < moved[1]
        path = tmp_path / f"{notes}.safetensors"
        trained.save_pretrained(path)
        loaded = method(seed=2, **settings)
        loaded.load_pretrained(path)
        assert loaded.notes == trained.notes
        assert len(loaded.notes) == notes
        assert all("less than 1% of their size" in note for note in loaded.notes)


def _tell(generator: Generator[Epoch, float | None, None], score: float) -> Epoch | None:
    try:
        return generator.send(score)
    except StopIteration:
        return None


# -- pre-training ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"meta": False},
        {"reset_inner": False, "tasks_per_update": None},
        {"checkpoint": "held_out", "held_out": 0.34},
        {"pretrain_dropout": 0.1},
        {"text_prompts": False},
        {"visual_prompts": False},
        {"text_prompts": False, "visual_prompts": False},
    ],
)
def test_a_killed_pretraining_goes_on_to_the_same_prompts(
    labelled: LabelledSet, tmp_path: Path, settings: dict[str, Any]
) -> None:
    whole = method(**settings)
    epochs = list(whole.pretrain([labelled]))
    assert len(epochs) == 2
    half = method(scratch=tmp_path, **settings)
    running = half.pretrain([labelled])
    next(running)
    running.close()
    rest = method(scratch=tmp_path, **settings)
    assert len(list(rest.pretrain([labelled]))) == 1
    assert np.allclose(whole.predict(labelled.images), rest.predict(labelled.images), atol=1e-6)


def test_pretrained_prompts_survive_a_file(labelled: LabelledSet, tmp_path: Path) -> None:
    first = method()
    untouched = method(seed=2).predict(labelled.images)
    list(first.pretrain([labelled]))
    first.save_pretrained(tmp_path / "prompts.safetensors")
    second = method(seed=2)
    second.load_pretrained(tmp_path / "prompts.safetensors")
    scores = second.predict(labelled.images)
    assert np.array_equal(first.predict(labelled.images), scores)
    assert not np.allclose(scores, untouched)


@pytest.mark.parametrize("meta", [True, False])
def test_pretraining_in_parts_gives_the_same_prompts(
    labelled: LabelledSet, monkeypatch: pytest.MonkeyPatch, meta: bool
) -> None:
    """As where memory has run out."""
    settings: dict[str, Any] = {"meta": meta, "pretrain_dropout": 0.0}
    whole = method(**settings)
    losses = [epoch.loss for epoch in whole.pretrain([labelled])]
    monkeypatch.setattr(Trainer, "micro", 3, raising=False)
    monkeypatch.setattr(Trainer, "__setattr__", _but_micro)
    parts = method(**settings)
    assert [epoch.loss for epoch in parts.pretrain([labelled])] == pytest.approx(losses, abs=1e-5)
    assert np.allclose(whole.predict(labelled.images), parts.predict(labelled.images), atol=1e-3)


def _but_micro(trainer: Any, name: str, value: Any) -> None:
    if name != "micro":
        object.__setattr__(trainer, name, value)


def test_pretraining_needs_distortion_types(labelled: LabelledSet) -> None:
    bare = dataclasses.replace(labelled, distortions=(None,) * 12)
    with pytest.raises(DataError, match="distortion types"):
        list(method().pretrain([bare]))
    with pytest.raises(DataError, match="no corpus"):
        list(method().pretrain([]))


# -- checkpoints -----------------------------------------------------------------------------------


def test_a_fitted_state_survives_a_file(labelled: LabelledSet, tmp_path: Path) -> None:
    fitted, _ = trained(labelled)
    fitted.save(tmp_path / "state.safetensors")
    again = method(seed=9)
    again.load(tmp_path / "state.safetensors")
    assert np.array_equal(fitted.predict(labelled.images), again.predict(labelled.images))
    started = method(weights=tmp_path / "state.safetensors", seed=9)
    assert started.corpora() == ()
    assert np.array_equal(started.predict(labelled.images), again.predict(labelled.images))


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_authors_layout_loads(labelled: LabelledSet, tmp_path: Path, wrapped: bool) -> None:
    source = method(seed=3)
    state = {f"module.{k}": v + 0.01 for k, v in source.engine.model.state_dict().items()}
    torch.save({"state_dict": state} if wrapped else state, tmp_path / "authors.pt")
    loaded = method()
    backbone = {name: value.clone() for name, value in loaded.engine.clip.state_dict().items()}
    loaded.load(tmp_path / "authors.pt")
    for name, value in loaded.engine.model.state_dict().items():
        assert torch.equal(value, state[f"module.{name}"])
    assert all(torch.equal(v, backbone[k]) for k, v in loaded.engine.clip.state_dict().items())
    assert np.isfinite(loaded.predict(labelled.images)).all()


def test_a_wrong_file_says_what_is_wrong(labelled: LabelledSet, tmp_path: Path) -> None:
    fresh = method()
    state = dict(fresh.engine.model.state_dict())
    before = fresh.predict(labelled.images)
    state["prompt_learner2.ctx"] = torch.zeros(16, 64)
    del state["image_encoder.ln_post.weight"]
    state["head.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "wrong.pt")
    with pytest.raises(BenchError) as raised:
        fresh.load(tmp_path / "wrong.pt")
    text = str(raised.value)
    assert "1 missing (image_encoder.ln_post.weight)" in text
    assert "1 unexpected (head.weight)" in text
    assert "prompt_learner2.ctx (16, 64) instead of (4, 64)" in text
    assert np.array_equal(fresh.predict(labelled.images), before)
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(BenchError, match="not a checkpoint"):
        fresh.load(tmp_path / "text.pt")


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (warnings.warn, ("executed",))

    torch.save({"state_dict": {"a": torch.zeros(1)}, "trap": Trap()}, tmp_path / "trap.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BenchError):
            checkpoints.read(tmp_path / "trap.pt")
