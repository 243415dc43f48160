"""The method `grmp`: GRMP-IQA behind the harness's contract."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from bench import backbones
from bench.api import (
    Context,
    Epoch,
    ImagePolicy,
    Images,
    LabelledSet,
    Method,
    Scores,
    fitted_on,
)
from bench.methods.grmp.prompt_settings import PretrainSettings
from bench.methods.grmp.settings import GrmpSettings

if TYPE_CHECKING:
    from bench.methods.grmp.engine import GrmpEngine
    from bench.methods.kit.schedules import Schedule

LEAST_MOVED = 0.01
"""Of ‖θ₀‖. With `tiny` over 50 epochs the released code's loop moves the prompts by 2.9 %, Eq. 4–6
as printed by 0.04 %."""


class GRMP(Method):
    """GRMP-IQA: meta-learned CLIP prompts, fine-tuned under gradient regulation."""

    name = "grmp"
    pretrained_setting = "weights"
    Settings: ClassVar[type[GrmpSettings]] = GrmpSettings
    settings: GrmpSettings

    def __init__(self, settings: GrmpSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._engine: GrmpEngine | None = None

    @property
    def engine(self) -> GrmpEngine:
        """The loaded model; built at first use."""
        if self._engine is None:
            from bench.methods.grmp.engine import GrmpEngine

            self._engine = GrmpEngine(self.settings, self.context)
        return self._engine

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """A few steps on the images alone."""
        return {
            "pretraining": False,
            "epochs": 4,
            "batch_size": 4,
            "views": 1,
            "lr": 3e-3,
        }

    @property
    def policy(self) -> ImagePolicy:
        """Squashed to a square somewhat larger than the crop, unless set otherwise."""
        own, size = self.settings, self._in_proportion(244)
        if own.resize_mode == "none":
            return ImagePolicy()
        return ImagePolicy(own.resize_mode, own.resize or size, own.kernel)

    @property
    def corpus_policy(self) -> ImagePolicy:
        """Likewise, by settings of pre-training's own: fine-tuning does not change the prompts."""
        own = self.settings
        size = own.corpus_resize or self._in_proportion(256)
        return ImagePolicy("squash", size, own.corpus_kernel)

    def _in_proportion(self, pixels: int) -> int:
        """`pixels` of a crop of 224, in proportion to the backbone's crop.

        Raises `UsageError` for a backbone that cannot be prompted.
        """
        crop = backbones.resolve_vit(self.settings.backbone, text=True).image_size
        return round(pixels * crop / 224)

    def trained_on(self) -> tuple[str, ...]:
        """The corpora; for a checkpoint, what `weights_trained_on` says that it has seen."""
        own = self.settings
        if own.weights is None:
            return self.corpora()
        # A file of `bench fit` says so itself (`all_trained_on`).
        return own.weights_trained_on if fitted_on(own.weights) is None else ()

    def needs_fit(self) -> bool:
        """Only with random prompts: pre-training, weights or the words alone score zero-shot."""
        own = self.settings
        prompted = bool(own.context_length or own.prompt_count)
        return own.weights is None and not own.pretraining and prompted

    def corpora(self) -> tuple[str, ...]:
        """The sets that distortion tasks are made of."""
        own = self.settings
        return own.corpora if own.pretraining and own.weights is None else ()

    def pretrain_settings(self) -> dict[str, Any]:
        """Settings of the model and of pre-training; none of fine-tuning, recipe names included."""
        return self.settings.model_dump(mode="json", include=set(PretrainSettings.model_fields))

    def pretrain(self, corpora: Sequence[LabelledSet]) -> Generator[Epoch, None, None]:
        """Meta-prompt pre-training (Eq. 4–6), or ERM under `meta: false`."""
        yield from self.engine.pretrain(corpora)
        self._note_movement()

    def save_pretrained(self, path: Path) -> None:
        """Write the prompts."""
        self.engine.save_prompts(path)

    def load_pretrained(self, path: Path) -> None:
        """Read the prompts."""
        self.engine.load_prompts(path)
        self._note_movement()

    def _note_movement(self) -> None:
        if self.engine.moved < LEAST_MOVED:
            self.note_at_table(
                f"pre-training moved the prompts by less than {LEAST_MOVED:.0%} of their size: "
                "they are as good as random"
            )

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Fine-tune under gradient regulation (Eq. 8)."""
        if self.settings.finetuning:
            yield from self.engine.fit(train)

    def schedules(self, images: int) -> Mapping[str, Schedule]:
        """The rates of fine-tuning."""
        from bench.methods.grmp.finetune import schedule_of

        return {"fit": schedule_of(self.settings)} if self.settings.finetuning else {}

    def predict(self, images: Images) -> Scores:
        """The probability of high quality (Eq. 2), (n,) in 0–1."""
        return self.engine.score(images)

    def embed(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """Image features of length one in CLIP's joint space, (n, e)."""
        return self.engine.embed(images)

    def semantic_confidence(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """How sure the tuned model is of an image's scene, (n,) in 0–1: the largest of the scene
        probabilities (above 0.8 with a wrong quality, an image is a black dot of Fig. 1)."""
        return self.engine.confidence(images)

    def attend(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """Grad-CAM of the score on the whole image, (n, h, w) in 0-1; h = w = the patch grid's
        side. The score reads the class token alone, so that the patches are those in front of the
        last block."""
        return self.engine.attend(images)

    def per_image(self, images: Images) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """The semantic confidence, stored beside predictions."""
        return {"semantic_confidence": self.semantic_confidence(images)}

    def save(self, path: Path) -> None:
        """Write all that differs from the backbone."""
        self.engine.save(path)

    def load(self, path: Path) -> None:
        """Read a file of `save`, or one of the authors' published files."""
        self.engine.load(path)
