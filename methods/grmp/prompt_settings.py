"""Settings that define the pre-trained prompts: of the model and of pre-training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bench.api import DatasetName, Settings

SCENES = (
    "animal",
    "cityscape",
    "human",
    "indoor",
    "landscape",
    "night",
    "plant",
    "still_life",
    "others",
)
"""Scene categories of Eq. 7. The released code writes "still_life" with its underscore."""

DEMO_CORPORA = ("demo_pretrain",)
REAL_CORPORA = ("tid2013", "kadid10k")


class PromptSettings(Settings):
    """The model: backbone, input, and prompts (§3.2)."""

    backbone: str = "ViT-B-16:openai"
    """CLIP to adapt. Paper and code: ViT-B/16 of OpenAI."""
    normalisation: Literal["imagenet", "clip"] = "imagenet"
    """Mean and spread that pixels are normalised with, the teacher's too. Paper: unstated. Code:
    ImageNet's, not CLIP's own."""
    text_prompts: bool = True
    """Learned text context (Table 4). Without it the texts are `hard_template` filled with the
    quality words."""
    visual_prompts: bool = True
    """Learned visual tokens (Table 4). Without either kind of prompt, pre-training tunes the blocks
    of both encoders."""
    n_context: int = Field(default=4, ge=1)
    """Text context vectors M. Paper and code: 4."""
    n_prompts: int = Field(default=100, ge=1)
    """Visual tokens a layer. Paper: unstated. Code: 100."""
    prompt_depth: int | None = Field(default=None, ge=1)
    """Layers that get visual tokens; by default all, as paper and code."""
    prompt_projection: bool = True
    """One shared linear map over all visual prompts. Paper: unstated. Code: yes, trained in
    pre-training."""
    prompt_norm: bool = True
    """A second layer norm before `ln_post`. Paper: unstated. Code: yes."""
    prompt_scale: float = Field(default=1.0, ge=0)
    """Factor on the random visual prompts. Code: 1 (VPT's initialisation)."""
    prompt_seed: int = Field(default=0, ge=0)
    """Which random initialisation of the prompts (Fig. 2)."""
    words: tuple[str, str] = ("high quality.", "low quality.")
    """The quality words behind the context, high first. Paper and code: these; the full stop is the
    code's."""
    hard_template: str = "a photo with {}"
    """Around the words without text context (Table 4). Paper: unstated. Code: this, of
    its zero-shot CLIP."""
    scenes: tuple[str, ...] = Field(default=SCENES, min_length=2)
    """Scene categories of the semantic loss. Paper and code: the nine of LIVEFB."""
    scene_template: str = "a photo of a {}"
    """Around a scene name. Paper: with a full stop; code: without."""

    @property
    def quality_texts(self) -> tuple[str, ...]:
        """The words after the context, high quality first."""
        if self.text_prompts:
            return self.words
        return tuple(self.hard_template.format(word) for word in self.words)

    @property
    def scene_texts(self) -> tuple[str, ...]:
        return tuple(self.scene_template.format(scene) for scene in self.scenes)

    @property
    def context_length(self) -> int:
        return self.n_context if self.text_prompts else 0

    @property
    def prompt_count(self) -> int:
        return self.n_prompts if self.visual_prompts else 0


class PretrainSettings(PromptSettings):
    """Meta-prompt pre-training (§3.3). These and the model's define the pre-trained prompts.

    Defaults are the released code's, which gave the paper's numbers. Recipe `paper` has
    Eq. 4–6 as printed.
    """

    pretraining: bool = True
    """Pre-train on distortion tasks at all (Table 5, row 1: false)."""
    meta: bool = True
    """Meta-learning by Eq. 4–6; false trains on all images alike (ERM: Table 4 row 5, Table 5 row
    2)."""
    corpora: tuple[DatasetName, ...] = Field(default=REAL_CORPORA, min_length=1)
    """Where the tasks come from. Paper and code: TID2013 and KADID-10k. Default of `tiny`: the demo
    set."""
    corpus_resize: int | None = Field(default=None, ge=1)
    """Pixels of the square that a corpus image becomes, whatever its aspect ratio; by default 256
    for a crop of 224, in proportion for other crops. Paper: unstated. Code: 256."""
    corpus_kernel: Literal["pillow", "cv2", "skimage"] = "pillow"
    """The resizing kernel (see `ImagePolicy`). Paper: unstated. Code: scikit-image's `resize`,
    which needs that package; recipe `official` has it."""
    query_view: Literal["whole", "centre"] = "whole"
    """Input of a query step: all of an image, shrunk to the crop's size, or the central
    crop; a support step sees a random crop, mirrored half of the time. Paper: unstated. Code:
    whole, shrunk from the file rather than from the square of `corpus_resize`."""
    types_per_corpus: int | None = Field(default=24, ge=1)
    """Distortion types of each corpus that make tasks, the first ones by number; none: all. Paper:
    all, presumably. Code: 24, which are TID2013's and all of KADID's but the last, contrast
    change."""
    meta_epochs: int = Field(default=50, ge=1)
    """Passes over all tasks. Paper and code: 50."""
    tasks_per_update: int | None = Field(default=None, ge=1)
    """Tasks k averaged in one outer update (Eq. 6), mixed over the corpora; none: all tasks of one
    corpus, one corpus after the other. Paper: k unstated. Code: all of one corpus (an option of 5
    is never read)."""
    query_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Share of a task held out as its query set, drawn anew at each visit. Paper: unstated. Code:
    0.2."""
    query_by: Literal["reference", "image"] = "image"
    """The units that are held out. Paper: unstated. Code: images, so that support and query share
    references."""
    inner_steps: int | None = Field(default=None, ge=1)
    """Pairs of a support step (Eq. 4) and a query step (Eq. 5) a visit; none: one for each support
    batch. Paper: one of each is written. Code: one for each support batch (2 for TID, 5 for
    KADID)."""
    inner_optimiser: Literal["adam", "sgd"] = "adam"
    """The optimiser of Eq. 4–5. Paper: written as SGD, 'using Adam' in §4.2. Code: Adam."""
    inner_state: Literal["fresh", "carried"] = "carried"
    """State of the inner optimiser when a task begins: fresh, or, for tasks of the first
    corpus, the moments and step count of the previous task. Paper: unstated. Code: carried, since
    only KADID's loop makes a new Adam for each task."""
    inner_lr: float = Field(default=1e-4, gt=0)
    """α of Eq. 4–5. Paper and code: 1e-4."""
    outer_lr: float = Field(default=1e-2, gt=0)
    """β of Eq. 6. Paper and code: 1e-2."""
    reset_inner: bool = False
    """Start every task from θ. Paper: yes, as Eq. 4 is written. Code: no, one inner model drifts
    over all tasks and epochs, and θ follows it as a moving average."""
    support_batch: int = Field(default=75, ge=1)
    """Images a support step; the last one of a visit takes the rest. Code: 75."""
    query_batch: int = Field(default=50, ge=1)
    """Images a query step, likewise. Code: 50."""
    task_labels: Literal["as_given", "rescaled"] = "rescaled"
    """Labels of a task: the set's, or stretched to 0–1 within support and within query. Paper:
    'rescaled to 0-1'. Code: stretched, each part by itself."""
    pretrain_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of visual prompts in pre-training. Paper: unstated. Code: 0.1."""
    checkpoint: Literal["last", "held_out"] = "last"
    """Which epoch is kept. Paper: unstated. Code: the best on LIVEC, the target set itself, whose
    test labels no method sees here; 'held_out' takes the best mean SRCC of tasks on references of
    the corpora that no update sees."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of references kept for checkpoint 'held_out'."""
