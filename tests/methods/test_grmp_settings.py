"""Recipes and what names a pre-trained state."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bench.api import Context
from methods.grmp.method import GRMP
from methods.grmp.prompt_settings import PretrainSettings
from methods.grmp.recipes import RECIPES
from methods.grmp.settings import GrmpSettings


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
    assert not changed & PRETRAINING
    assert {key for key in default if default[key] != paper[key]} - {"recipe"} <= PRETRAINING
    assert grmp(recipe="official").pretrain_settings() == grmp().pretrain_settings()
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
    assert grmp().policy.size == 244
    assert grmp(backbone="tiny").policy.size == 128
    # Rates and sizes for ViT-B/16 would take hours and teach the tiny backbone nothing.
    assert grmp(recipe="supervised", backbone="tiny").settings == grmp(backbone="tiny").settings
    assert grmp(recipe="supervised").settings.lr == 5e-6
    assert (grmp(recipe="supervised").policy.resize, grmp(recipe="supervised").policy.size) == (
        "short_side",
        384,
    )
    assert grmp(resize_mode="none").policy.size is None


def test_what_the_weights_have_seen() -> None:
    assert grmp().trained_on() == ("tid2013", "kadid10k")
    assert grmp(pretraining=False).trained_on() == ()
    assert grmp(pretraining=False).corpora() == ()
    assert grmp(weights="some.pt").trained_on() == ("tid2013", "kadid10k", "livec")
    assert grmp(weights="some.pt", weights_trained_on="koniq10k").trained_on() == ("koniq10k",)
