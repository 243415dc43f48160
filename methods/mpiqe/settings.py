"""All settings of MP-IQE: the model's (`model_settings.py`), labels, training, crops.

Defaults are the paper's. `recipe` replaces them as a set (`recipes.py`); a setting that is given
wins over its recipe.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.methods.mpiqe.model_settings import MpiqeModelSettings
from bench.methods.mpiqe.recipes import RECIPES, RecipeName, default_recipe

LIGHT_SCORE = ("live", "csiq")
SMALL_BATCH = ("live", "csiq", "bid")


class MPIQESettings(MpiqeModelSettings):
    """The model, the meaning of its labels, and its training."""

    recipe: RecipeName = "paper"
    """Named set of settings: 'paper', 'tiny' (for the tiny backbone, its default)."""
    several_scenes: Literal["uniform", "first", "multi_label"] = "uniform"
    """Target y of Eq. 9 for an image of several scenes: equal shares, the first one named, or a one
    for each. Unstated (Eq. 9 has one class). 'uniform': no label is left out, and y stays a
    distribution, as the softmax of Eq. 8 is."""
    mean_over_classes: bool = True
    """The factors 1/M and 1/N of Eq. 9 and 11. Paper: printed so. Without, they are the usual
    cross-entropies."""
    lambda_distortion: float = Field(default=1.0, ge=0)
    """λ1 of Eq. 15. Paper: 1."""
    lambda_score: float | None = Field(default=None, ge=0)
    """λ2 of Eq. 15. None: 0.1 for LIVE and CSIQ and 0.5 for others, as the paper."""
    score_loss: Literal["smooth_l1", "l1"] = "smooth_l1"
    """Contradictory: 'smooth l1' in the text, plain L1 in Eq. 16. 'smooth_l1': the word is said of
    the loss, the norm may be shorthand."""
    smooth_beta: float = Field(default=1.0, gt=0)
    """Error below which smooth L1 is quadratic. Unstated. 1, the usual one."""
    label_scale: float = Field(default=100.0, gt=0)
    """Labels (0–1 by the protocol) are multiplied by it for training, predictions divided.
    Unstated. 100, the scale of the scores that the paper shows: there 'smooth l1' (text) and the
    norm of Eq. 16 are the same but for errors below one point, and λ2 = 0.1 and 0.5 weaken a loss
    that outweighs the others. On 0–1 (label_scale=1) smooth L1 is half the squared error, and with
    those λ2 it is 2 % of the sum at the start."""
    score_start: Literal["mean", "zero"] = "mean"
    """Offset of the last layer of the score's MLP when training begins. Unstated. The mean label:
    at the paper's rate an offset moves by 3e-5 a step."""
    epochs: int = Field(default=30, ge=0)
    """Paper: 30. 0 leaves the model as it starts (Fig. 4)."""
    warmup_epochs: float = Field(default=5, ge=0)
    """Epochs of warm-up. Paper: 5."""
    warmup_start: float = Field(default=0.0, ge=0, le=1)
    """Share of `lr` at which warm-up begins; it grows linearly, step by step. Unstated. 0."""
    lr: float = Field(default=3e-5, gt=0)
    """Paper: 3e-5."""
    final_lr: float = Field(default=0.0, ge=0)
    """Where the cosine ends. Unstated. 0, as in CoOp."""
    optimiser: Literal["adam", "adamw"] = "adam"
    """Paper: Adam."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Unstated. 0, Adam's default."""
    batch_size: int | None = Field(default=None, ge=1)
    """None: 32 for LIVE, CSIQ and BID and 64 for others, as the paper."""
    batch_of: Literal["crops", "images"] = "crops"
    """The unit of a batch. Unstated. 'crops': each is a separate sample, as in HyperIQA and
    DEIQT, whose protocol the paper's is; 'images' brings all crops of an image into one batch."""
    crops: int = Field(default=8, ge=1)
    """Crops of an image an epoch. Paper: 8."""
    views: int | None = Field(default=None, ge=1)
    """Distinct crops an image has in a whole fit; none: new ones in every epoch. Unstated. None. A
    number lets a model without visual prompts keep its frozen tower's outputs."""
    flip: bool = False
    """Mirror half of the crops. Unstated; the paper names no flips."""
    test_crops: int = Field(default=8, ge=1)
    """Crops whose scores are averaged, random but the same in every prediction; 1: the centre.
    Paper: 8 random ones; that they are averaged is presumed."""
    resize_mode: Literal["none", "short_side", "squash"] = "none"
    """How a file becomes the image that is cropped. Unstated. 'none': the paper crops 'from the
    original images'."""
    resize: int | None = Field(default=None, ge=1)
    """Pixels of the short side or square; by default 8/7 of the crop (256 for 224)."""
    prompt_seed: int = Field(default=0, ge=0)
    """Which random start."""
    autocast: Literal["bf16", "fp16", "off"] = "bf16"
    """Precision of the towers on a GPU. Unstated."""

    def score_weight(self, dataset: str) -> float:
        """λ2 for a training set (`NAME`, `NAME@VERSION`, or several joined by '+')."""
        if self.lambda_score is not None:
            return self.lambda_score
        return 0.1 if _all_in(dataset, LIGHT_SCORE) else 0.5

    def batch_for(self, dataset: str) -> int:
        """Batch size for a training set, named likewise."""
        if self.batch_size is not None:
            return self.batch_size
        return 32 if _all_in(dataset, SMALL_BATCH) else 64

    @model_validator(mode="before")
    @classmethod
    def _fill_from_recipe(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        backbone = given.get("backbone", cls.model_fields["backbone"].default)
        name = given.get("recipe") or default_recipe(str(backbone))
        filled = dict(RECIPES.get(name, {}))
        if given.get("visual_only"):
            filled["decoder_layers"] = 1
        return {**filled, **given, "recipe": name}

    @field_validator("scene_words", "distortion_words", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_queries(self) -> Self:
        if not self.branches and not self.visual_only:
            raise ValueError("without scene and distortion prompts there is no Q; set visual_only")
        return self


def _all_in(dataset: str, names: tuple[str, ...]) -> bool:
    """Whether all databases of a training set are among some, in whatever version."""
    return all(part.partition("@")[0] in names for part in dataset.split("+"))
