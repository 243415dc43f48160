"""PromptIQA's settings, each with the values of the paper and of the released code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from bench.api import DatasetName, Settings
from bench.methods.promptiqa.labels import LabelScale, Scaling
from bench.methods.promptiqa.recipes import DEMO_SETS, RECIPES, RecipeName, default_recipe

Selection = Literal["interval", "even", "random"]
Perturbation = Literal["none", "images", "scores", "both", "inverted"]
Probability = Field(ge=0, le=1)


class PromptiqaModelSettings(Settings):
    """The network and the source of its weights."""

    backbone: str | None = None
    """None: the vision transformer of paper and code, timm's ViT-B/8 at 224 pixels. A CLIP model's
    name: its image tower takes that place."""
    encoder_weights: Path | None = None
    """Local file with the ImageNet weights that training starts from; None fetches them through
    timm, as the released code does. The paper names MoNet without its start."""
    checkpoint: Path | None = None
    """Trained weights to start from, e.g. the published best_model.pth.tar. Nothing is pre-trained
    then unless `corpora` are named."""
    checkpoint_sets: tuple[DatasetName, ...] | None = None
    """Datasets whose labels the checkpoint has seen; None takes the paper's twelve."""
    image_size: PositiveInt | None = None
    """Side in pixels that images are resized to whatever their shape; None is the encoder's own.
    Released code: 224. Paper: not said, but for SPAQ's short side of 512, which an antialiased
    kernel hardly needs."""
    resize_kernel: Literal["pillow", "cv2"] = "pillow"
    """The resizing kernel. 'pillow': bicubic with antialiasing. 'cv2': OpenCV's bicubic without
    (released code), SPAQ's images reduced to a short side of 512 before, as in the copies that it
    reads."""
    map_pool: PositiveInt = 1
    """Average pooling of a CLIP tower's maps; paper and code have none."""
    map_width: PositiveInt | None = None
    """Channels that maps are projected to; None keeps the encoder's (paper, code)."""
    opinions: PositiveInt = 3
    """MALs on the encoder's maps; released code: 3."""
    visual_heads: PositiveInt = 12
    """Heads of the block behind the MALs; released code: 12."""
    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (256, 128, 128)
    """Channels of the three convolutions; the last is the dimension of an image's feature. Released
    code: 256, 128, 128; the paper gives only 128."""
    kernels: tuple[PositiveInt, PositiveInt, PositiveInt] = (5, 3, 3)
    """Kernels of the convolutions; released code: 5, 3, 3."""
    pools: tuple[PositiveInt, PositiveInt, PositiveInt] = (2, 2, 3)
    """Pooling behind the convolutions; released code: 2, 2, 3."""
    heads: PositiveInt = 4
    """Heads of prompt and fusion blocks; code: 4."""
    prompt_depth: PositiveInt = 3
    """Blocks of the prompt encoder; both: 3."""
    ispp_depth: PositiveInt = 3
    """Blocks of the ISPP fusion; both: 3."""
    fusion_depth: PositiveInt = 8
    """Blocks of the image-prompt fusion; both: 8."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """In the MALs' attention and the score head; released code: 0.1. Not in the paper."""
    use_prompt: bool = True
    """False removes prompt encoder and fusion (Table 6, 'w/o prompt'); scores are then neither
    scaled nor flipped, since nothing would tell the model."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the forward pass; released code: fp32."""


class PromptiqaTrainingSettings(PromptiqaModelSettings):
    """Training on a mixture of datasets (§3.2 F, §4.1)."""

    corpora: tuple[DatasetName, ...] = ()
    """Datasets of the mixture. Paper: 12; the released script names 6."""
    mixed: bool = True
    """False trains on the evaluated database's own training side and labels alone (Table 3, 'SDT';
    Table 6, 'w/o mixed training')."""
    train_part: Literal["all", "head"] = "all"
    """'head' keeps the encoder frozen; paper and code train everything."""
    batches: Literal["leave_one_out", "separate"] = "leave_one_out"
    """Released code: each image of a group of one dataset is scored with the others as its prompt.
    Paper: ISPs are drawn apart from the images to score."""
    group_size: int = Field(default=11, ge=2)
    """Images to score in a group. With leave-one-out the prompt has one less. Both: the images of
    one device, 11."""
    groups: PositiveInt = 6
    """Groups in one step, maybe of different datasets, each with its own batch norm. Paper: 66
    images on 6 devices. Released train.sh: 44 on 4."""
    train_isps: PositiveInt = 10
    """ISPs of a training prompt where `batches` is 'separate'; paper: 10."""
    scaling: Scaling = "max"
    """Random scaling: 'max' divides the scores of prompt and query by their largest (paper, Eq. 4),
    'uniform' by a number drawn between the largest and 1 (released code)."""
    scaling_probability: float = Field(default=0.5, ge=0, le=1)
    """Both: 0.5."""
    flipping_probability: float = Field(default=0.1, ge=0, le=1)
    """Random flipping, s -> 1 - s, after scaling; both: 0.1."""
    image_flip: Literal["none", "horizontal", "vertical"] = "none"
    """Mirrors training images with probability 1/2. Released code: vertical (it means horizontal).
    Paper: none named."""
    label_scale: LabelScale = "minmax"
    """'minmax': labels span 0 to 1 in every corpus (paper; on its training side). 'constants':
    fixed constants per database (released code), in training and for prompts, whatever scale a
    protocol names; a database without constants spans 0 to 1. 'given': as they come."""
    native_labels: bool = True
    """Databases of DMOS keep their direction in training and prompt, as in paper and code;
    predictions are turned upwards again. False orients all labels upwards."""
    epochs: PositiveInt = 100
    """Paper: 100. Released code: 50."""
    lr: float = Field(default=1e-5, gt=0)
    """Adam's learning rate; both: 1e-5."""
    weight_decay: float = Field(default=1e-5, ge=0)
    """Adam's L2 penalty; both: 1e-5."""
    schedule: Literal["constant", "cosine", "cosine_restarts", "cosine_wave"] = "cosine"
    """Per epoch. Released code: one cosine to 0. Paper: 'cosine annealing for every 50 epochs',
    read as restarts; 'cosine_wave' is the other reading (down, then up)."""
    schedule_period: PositiveInt = 50
    """Epochs of one period of 'cosine_restarts' and 'cosine_wave'; paper: 50."""


class FusionSettings(PromptiqaTrainingSettings):
    """A second stage of the training, for networks that ignore their prompts after the first.

    Neither paper nor code has one. With weak features, rare flips give too little reason to read
    the scores of the prompt; with informative features, frequent flips make the prompt useful.
    """

    fusion_epochs: int = Field(default=0, ge=0)
    """Epochs after the others that train prompt encoder and fusion alone, on the image features as
    they are then. Paper and code: 0."""
    fusion_lr: float = Field(default=3e-4, gt=0)
    """Adam's learning rate in those epochs, under the same schedule."""
    fusion_groups: PositiveInt = 6
    """Groups a step in those epochs."""
    fusion_flipping: float = Field(default=0.5, ge=0, le=1)
    """Probability of flipping in those epochs; none where `flipping_probability` is 0."""


class PromptIQASettings(FusionSettings):
    """All of it: the recipe, the model, its training, and the prompt."""

    recipe: RecipeName = "paper"
    """'paper', 'official' (the released code; a checkpoint's default) or 'tiny' (the tiny
    backbone's default): fills in the settings that are not given."""
    ispp_size: PositiveInt = 10
    """ISPs of the prompt; both: 10 (Fig. 3 varies it from 3 to 10)."""
    selection: Selection = "interval"
    """How ISPs are taken from the labelled images in order of score. 'interval': the released
    code's rule, whose two best images are neighbours when the others' interval ends there; 'even':
    equal steps from worst to best; 'random' (Table 4)."""
    perturbation: Perturbation = "none"
    """Spoils the prompt (Table 5): random 'images', random 'scores', 'both', or 'inverted' scores
    (1 - s)."""
    finetune_epochs: int = Field(default=0, ge=0)
    """Passes over the labelled images with leave-one-out prompts before the prompt is taken. Paper
    and code: 0, adaptation without training."""
    finetune_lr: float = Field(default=1e-4, gt=0)
    """Learning rate of those passes."""
    finetune_part: Literal["fusion", "head", "all"] = "fusion"
    """The trained part of those passes: the prompt and fusion blocks on fixed image features
    (without a prompt the score head alone), all behind the encoder, or everything, as the paper's
    fine-tuned baselines (Table 3: 'the model is fine-tuned')."""

    @model_validator(mode="before")
    @classmethod
    def _fill_recipe(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        backbone = given.get("backbone")
        name = given.get("recipe") or default_recipe(backbone, given.get("checkpoint"))
        filled = dict(RECIPES.get(name, {}))
        if backbone == "tiny":
            filled["corpora"] = DEMO_SETS
        if given.get("checkpoint") or given.get("mixed") is False:
            filled["corpora"] = ()
        return {**filled, "recipe": name, **{k: v for k, v in given.items() if k != "recipe"}}


PROMPT_ONLY = {
    "ispp_size",
    "selection",
    "perturbation",
    "finetune_epochs",
    "finetune_lr",
    "finetune_part",
    "recipe",
    "mixed",
    "checkpoint_sets",
}
"""Settings that leave the pre-trained weights as they are."""
