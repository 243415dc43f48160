"""The settings of GRMP-IQA, each with the values of the paper and of the released code.

Defaults of fine-tuning are the paper's, and the released code's where the paper leaves them
open. `recipe` replaces them as a set (`recipes.py`); a setting that is given wins over its recipe.
The model's and pre-training's settings are in `prompt_settings.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.api import DatasetName
from bench.methods.grmp.prompt_settings import DEMO_CORPORA, PretrainSettings
from bench.methods.grmp.recipes import RECIPES, TINY_OFFICIAL, RecipeName, default_recipe

Pixels = Annotated[int, Field(ge=1)]


class GrmpSettings(PretrainSettings):
    """All settings, fine-tuning (§3.4) included."""

    recipe: RecipeName = "default"
    """Named set of settings: 'default' (pre-training as released, fine-tuning as printed), 'paper'
    (both as printed), 'official' (both as released), 'supervised' (the default with the paper's
    fine-tuning on full data), 'tiny' (the tiny backbone's default, and there what 'supervised'
    means too, whose sizes and rates are ViT-B/16's)."""
    weights: Path | None = None
    """A checkpoint to start from instead of pre-training: one of the authors' files or one of
    ours."""
    weights_trained_on: tuple[DatasetName, ...] = ("tid2013", "kadid10k", "livec")
    """Databases that `weights` has seen: cells tested on them get a dagger. Default: the corpora of
    the authors' prompts, and LIVEC, on whose scores their code chooses among the checkpoints. A
    fine-tuned file has seen its target too: name it."""
    resize_mode: Literal["squash", "short_side", "none"] = "squash"
    """How a file becomes the image that is cropped, in fine-tuning and prediction. Paper: unstated.
    Code: resized to a square whatever the aspect ratio. Supervised (DEIQT's): not at all, but for
    sets of large images, to which a protocol's `set_for` gives a size."""
    resize: Pixels | tuple[Pixels, Pixels] | None = None
    """Pixels of the square or the short side, or [width, height]; by default 244 for a crop of 224,
    in proportion for other crops. Paper: unstated. Code: 244."""
    kernel: Literal["pillow", "cv2"] = "pillow"
    """The resizing kernel (see `ImagePolicy`). Paper: unstated. Code: OpenCV's bicubic, without
    antialiasing; so 'cv2' is the default where `weights` is given, for the authors' were trained
    on such images."""
    finetuning: bool = True
    """Learn from the labels; false: zero-shot after pre-training (Table 4)."""
    trained_blocks: int = Field(default=4, ge=0)
    """Last blocks of both encoders that train, with `ln_post` and `ln_final`. Paper and code: 4."""
    train_visual_prompts: bool = False
    """Train the visual prompts in fine-tuning too. Paper: unclear. Code: no."""
    qgr: bool = True
    """Gradient regulation (Table 6)."""
    lam: float = Field(default=5.0, ge=0, alias="lambda")
    """λ of Eq. 8 (Table 7). Paper and code: 5."""
    scope: Literal["global", "per_tensor"] = "global"
    """The vectors of Eq. 8. Paper: the whole gradient. Code: every parameter tensor by
    itself."""
    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    """Paper: 'following the CoOp schedule', i.e. SGD; fully supervised AdamW. Code: SGD."""
    lr: float = Field(default=2e-3, gt=0)
    """Paper: CoOp's 2e-3; supervised 5e-6. Code: 1e-3."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """CoOp: 0.9. Code: 0."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """CoOp: 5e-4. Code: 1e-4."""
    schedule: Literal["cosine", "plateau", "step", "constant"] = "cosine"
    """Learning rate over epochs. Paper: CoOp's cosine. Code: 'plateau', times `decay` after
    `patience` scores without improvement; without scores, a cosine over `unscored_epochs`. 'step'
    (DEIQT's) multiplies by `decay` every `decay_epochs` after the warm-up."""
    warmup_epochs: int = Field(default=1, ge=0)
    """Epochs in which the rate rises from `warmup_lr` to `lr`; the schedule counts from their end.
    CoOp: 1, which at one rate an epoch is one epoch at `warmup_lr`. Supervised (DEIQT's): 3. Code:
    0."""
    warmup_lr: float = Field(default=1e-5, gt=0)
    """Where the rise begins. CoOp: 1e-5. Supervised: a thousandth of `lr`, as in DEIQT."""
    decay_all: bool = True
    """Weight decay on biases, norms and learned tokens too. CoOp and code: yes; supervised
    (DEIQT's): no."""
    clip: float | None = Field(default=None, gt=0)
    """Largest norm of the gradient that is applied. CoOp and code: none; supervised (DEIQT's):
    5."""
    decay: float = Field(default=0.3, gt=0, lt=1)
    """Code: 0.3."""
    decay_epochs: int = Field(default=3, ge=1)
    """Epochs between steps. Supervised (DEIQT's): 3."""
    patience: int = Field(default=6, ge=1)
    """Code: 6 evaluations, one every 5 epochs."""
    min_lr: float = Field(default=5e-7, ge=0)
    """A plateau schedule stops below it. Code: 5e-7."""
    epochs: int = Field(default=200, ge=1)
    """Epochs at most. Paper: CoOp's schedule, which has 50 epochs for one shot a class, 100 for two
    or four and 200 from eight on; 50 labels are about 25 for each of two classes. Supervised 9.
    Code: 2000."""
    evaluate_start: bool = False
    """The state before training is a candidate of `selection` `best_test` and `val`, and the first
    score that a plateau schedule sees. Paper: unstated. Code: yes."""
    unscored_epochs: int = Field(default=200, ge=1)
    """Epochs of a plateau schedule that gets no scores. Not in the code."""
    batch_size: int = Field(default=32, ge=1)
    """Training images a step. CoOp: 32; supervised 16 (LIVEC), 128 (KonIQ). Code: 192, so that 200
    labels give one batch of 192 and one of 8."""
    augment: Literal["image", "batch", "none"] = "image"
    """Random crop and flip drawn for each image, or once for a whole batch (flipped where the crop
    lies left), or the centre. Paper: CoOp's. Code: 'batch'."""
    views: int | None = Field(default=8, ge=1)
    """Distinct crops an image has in a whole fit, so that what is frozen can be kept; none: a new
    one each time. Not in the paper. Code: 400 possible."""
    crops: int = Field(default=1, ge=1)
    """Crops of an image that one epoch trains on. Supervised: 10."""
    test_crops: int = Field(default=1, ge=1)
    """1: the centre; more: as many fixed random crops, scores averaged. Supervised (DEIQT's): 10.
    Code: 1."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of visual prompts in fine-tuning; rules out keeping the frozen blocks' outputs.
    Paper: unstated. Code: 0.1."""
    labels: Literal["as_given", "rescaled"] = "as_given"
    """Training labels: the protocol's, or stretched to 0–1 over the training images. Code:
    stretched over the few-shot subset."""
    autocast: Literal["bf16", "fp16", "off"] = "bf16"
    """Precision of the forward pass on a GPU. Code: fp16, unscaled."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_recipe(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        backbone = given.get("backbone", cls.model_fields["backbone"].default)
        name = given.get("recipe") or default_recipe(str(backbone))
        filled: dict[str, Any] = {"corpora": DEMO_CORPORA} if str(backbone) == "tiny" else {}
        filled |= {"kernel": "cv2"} if given.get("weights") else {}
        if default_recipe(str(backbone)) == "tiny":
            name = "tiny" if name == "supervised" else name
            filled |= {**RECIPES.get(name, {}), **(TINY_OFFICIAL if name == "official" else {})}
        else:
            filled |= RECIPES.get(name, {})
        if "lambda" in given:
            filled.pop("lam", None)
        return {**filled, **given, "recipe": name}

    @model_validator(mode="after")
    def _rectangle(self) -> Self:
        if isinstance(self.resize, tuple) and self.resize_mode != "squash":
            raise ValueError("resize: [width, height] goes with resize_mode=squash")
        return self

    @field_validator("scenes", "corpora", "words", "weights_trained_on", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value
