"""Recipes and what names a pre-trained state."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bench.api import Context, ImagePolicy
from bench.methods.grmp.finetune import schedule_of
from bench.methods.grmp.method import GRMP
from bench.methods.grmp.prompt_settings import PretrainSettings
from bench.methods.grmp.recipes import RECIPES
from bench.methods.grmp.settings import GrmpSettings
from bench.methods.kit.schedules import Plateau


def grmp(**settings: Any) -> GRMP:
    return GRMP(GrmpSettings(**settings), Context())


def test_the_backbone_chooses_the_recipe() -> None:
    assert GrmpSettings().recipe == "default"
    assert GrmpSettings(backbone="tiny").recipe == "tiny"
    assert GrmpSettings(backbone="tiny").corpora == ("demo_pretrain",)
    assert GrmpSettings(backbone="tiny", recipe="paper").corpora == ("demo_pretrain",)
    assert GrmpSettings().corpora == ("tid2013", "kadid10k")


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_fills_in_its_settings_and_no_others(name: Any) -> None:
    filled = GrmpSettings(recipe=name)
    plain = GrmpSettings()
    for field in GrmpSettings.model_fields:
        if field != "recipe":
            wanted = RECIPES[name].get(field, getattr(plain, field))
            assert getattr(filled, field) == wanted


PRETRAINING = set(PretrainSettings.model_fields) - {"recipe"}


def test_the_default_pretrains_as_released_and_fine_tunes_as_printed() -> None:
    default, official, paper = (
        GrmpSettings(recipe=name).model_dump() for name in ("default", "official", "paper")
    )
    changed = {key for key in default if default[key] != official[key]} - {"recipe"}
    assert changed & PRETRAINING == {"corpus_kernel"}  # scikit-image's, which not all have
    assert {key for key in default if default[key] != paper[key]} - {"recipe"} <= PRETRAINING
    assert grmp(recipe="supervised").pretrain_settings() == grmp().pretrain_settings()
    assert (paper["reset_inner"], default["reset_inner"]) == (True, False)


def test_explicit_settings_win() -> None:
    given: dict[str, Any] = {"recipe": "official", "scope": "global", "lr": 0.5, "lambda": 3}
    found = GrmpSettings(**given)
    assert (found.scope, found.lr, found.lam, found.batch_size) == ("global", 0.5, 3.0, 192)


def test_settings_are_rebuilt_from_their_dump() -> None:
    given: dict[str, Any] = {"recipe": "official", "lambda": 7}
    first = GrmpSettings(**given)
    assert GrmpSettings(**first.model_dump(mode="json")) == first
    assert GrmpSettings(**first.model_dump(mode="json", by_alias=True)) == first


def test_wrong_settings_are_refused() -> None:
    for wrong in ({"recipe": "fast"}, {"lambda": -1}, {"n_prompt": 3}, {"scope": "local"}):
        with pytest.raises(ValidationError):
            GrmpSettings(**wrong)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in GrmpSettings.model_fields.values())


def test_fine_tuning_does_not_name_the_pretrained_state() -> None:
    base = grmp().pretrain_settings()
    same: list[dict[str, Any]] = [{"lr": 1.0}, {"qgr": False}, {"lambda": 1}, {"finetuning": False}]
    for change in same:
        assert grmp(**change).pretrain_settings() == base
    other: list[dict[str, Any]] = [{"meta": False}, {"inner_lr": 1.0}, {"n_prompts": 5}]
    for change in [*other, {"backbone": "tiny"}]:
        assert grmp(**change).pretrain_settings() != base


def test_policy_follows_the_crop() -> None:
    assert grmp().policy == ImagePolicy("squash", 244)
    assert grmp(backbone="tiny").policy == ImagePolicy("squash", 128)
    assert grmp(recipe="supervised").policy == ImagePolicy()
    rectangle = grmp(recipe="supervised", resize_mode="squash", resize=[384, 512])
    assert rectangle.policy == ImagePolicy("squash", (384, 512))
    with pytest.raises(ValidationError, match="resize_mode=squash"):
        grmp(resize_mode="short_side", resize=[384, 512])


def test_the_authors_images_for_their_recipe_and_their_files() -> None:
    official = grmp(recipe="official")
    assert official.policy == ImagePolicy("squash", 244, "cv2")
    assert official.corpus_policy == ImagePolicy("squash", 256, "skimage")
    assert grmp(weights="some.pt").policy.kernel == "cv2"
    assert grmp(weights="some.pt", kernel="pillow").policy.kernel == "pillow"
    assert grmp().corpus_policy == ImagePolicy("squash", 256)


def test_fine_tuning_on_other_images_starts_from_the_same_prompts() -> None:
    for changes in ({"recipe": "supervised"}, {"resize": 300}, {"kernel": "cv2"}):
        changed = grmp(**changes)
        assert changed.corpus_policy == grmp().corpus_policy
        assert changed.pretrain_settings() == grmp().pretrain_settings()


def test_recipes_for_the_real_backbone_on_the_tiny_one() -> None:
    """Rates and sizes for ViT-B/16 would take hours and teach the tiny backbone nothing."""
    assert grmp(recipe="supervised", backbone="tiny").settings == grmp(backbone="tiny").settings
    tiny, official = grmp(recipe="official", backbone="tiny").settings, RECIPES["official"]
    same = {name for name in official if getattr(tiny, name) == official[name]}
    assert {"scope", "schedule", "evaluate_start", "augment", "dropout", "labels"} <= same
    assert tiny.recipe == "official"
    assert tiny.meta_epochs == grmp(backbone="tiny").settings.meta_epochs
    assert tiny.corpus_kernel == "pillow"  # needs no other package


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_highest_rate_is_lr(name: Any) -> None:
    own = GrmpSettings(recipe=name)
    schedule = schedule_of(own)
    times = [epoch / 4 for epoch in range(4 * own.epochs)]
    if isinstance(schedule, Plateau):
        times = times[: 4 * own.unscored_epochs]
    assert max(schedule.rate(time) for time in times) == pytest.approx(own.lr)


def test_rates_of_recipes_by_their_formulas() -> None:
    """DEIQT's: up to the rate in three epochs, step by step, then a tenth after every three."""
    supervised = schedule_of(GrmpSettings(recipe="supervised"))
    assert supervised.per == "step"
    epochs = np.mean([[supervised.rate(e + s / 100) for s in range(100)] for e in range(9)], axis=1)
    assert epochs / 5e-6 == pytest.approx([1 / 6, 1 / 2, 5 / 6, 1, 1, 1, 0.1, 0.1, 0.1], rel=0.04)
    assert sum(epochs) == pytest.approx(2.4e-5, rel=0.01)
    # CoOp's: one epoch at 1e-5, then a cosine whose period is all of the epochs.
    default = schedule_of(GrmpSettings())
    rates = [default.rate(epoch) for epoch in range(200)]
    cosine = [2e-3 * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / 200)) for epoch in range(1, 200)]
    assert rates == pytest.approx([1e-5, *cosine])


def test_what_the_weights_have_seen() -> None:
    assert grmp().trained_on() == ("tid2013", "kadid10k")
    assert grmp(pretraining=False).trained_on() == ()
    assert grmp(pretraining=False).corpora() == ()
    assert grmp(weights="some.pt").trained_on() == ("tid2013", "kadid10k", "livec")
    assert grmp(weights="some.pt", weights_trained_on="koniq10k").trained_on() == ("koniq10k",)
