"""PromptIQA in the harness: pre-training on a mixture, prompts from labelled images, scores."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from bench.api import (
    OWN,
    Context,
    Epoch,
    ImagePolicy,
    Images,
    LabelledSet,
    Method,
    Pixels,
    Scores,
    UsageError,
    fitted_on,
)
from bench.api import Settings as BaseSettings
from bench.methods.promptiqa.labels import CONSTANTS, model_labels, native
from bench.methods.promptiqa.prompts import perturb, select
from bench.methods.promptiqa.recipes import PAPER_SETS, VIT
from bench.methods.promptiqa.settings import PROMPT_ONLY, PromptIQASettings

if TYPE_CHECKING:
    from bench.methods.kit.schedules import Schedule
    from bench.methods.promptiqa.mixture import MixtureSource, PromptTrainingPlan
    from bench.methods.promptiqa.network import Network

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prompt:
    """An ISPP: images with their scores from 0 to 1."""

    images: Sequence[Pixels]
    scores: Floats
    downwards: bool = False
    """Whether scores grow with damage (DMOS); predictions are turned upwards."""


class PromptIQA(Method):
    """PromptIQA (ECCV 2024): image-score pairs as a prompt, no training on the target."""

    name: ClassVar[str] = "promptiqa"
    pretrained_setting = "checkpoint"
    Settings: ClassVar[type[BaseSettings]] = PromptIQASettings
    settings: PromptIQASettings

    def __init__(self, settings: PromptIQASettings, context: Context) -> None:
        super().__init__(settings, context)
        self._loaded: Network | None = None
        self._prompt: Prompt | None = None

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """A few epochs of fine-tuning, three pairs a prompt."""
        return {
            "finetune_epochs": 20,
            "finetune_part": "all",
            "finetune_lr": 1e-3,
            "ispp_size": 3,
        }

    @property
    def policy(self) -> ImagePolicy:
        """Whole images, squashed to the encoder's square by the recipe's kernel."""
        kernel, size = self.settings.resize_kernel, self._image_size()
        reduced = (("spaq", 512),) if kernel == "cv2" else ()
        return ImagePolicy("squash", size, kernel, reduced)

    @property
    def corpus_normalise(self) -> Literal["minmax_train", "range", "none"]:
        """The form of corpus labels for `pretrain`: constants apply to scores as shipped."""
        return "none" if self.settings.label_scale == "constants" else "minmax_train"

    @property
    def fit_normalise(self) -> Literal["minmax_train", "range", "none"] | None:
        """Prompts are on the scale of the training."""
        return "none" if self.settings.label_scale == "constants" else None

    def trained_on(self) -> tuple[str, ...]:
        """Databases of the checkpoint; corpora are not named, since the harness excludes test
        images."""
        checkpoint = self.settings.checkpoint
        if checkpoint is None or fitted_on(checkpoint) is not None:  # which says so itself
            return ()
        seen = self.settings.checkpoint_sets
        return PAPER_SETS if seen is None else seen

    def needs_fit(self) -> bool:
        """Its pairs come from the labels; without prompts, pre-training on a mixture is enough."""
        own = self.settings
        return own.use_prompt or (own.checkpoint is None and not own.mixed)

    def downloads(self) -> tuple[str, ...]:
        """ImageNet weights of the encoder, if training starts from timm's."""
        own = self.settings
        if own.backbone is not None:
            return super().downloads()
        started = own.checkpoint is None and own.encoder_weights is None
        return (f"backbone:timm:{VIT}",) if started else ()

    # -- pre-training ------------------------------------------------------------------------------

    def corpora(self) -> tuple[str, ...]:
        """The mixture, or the run's own database."""
        settings = self.settings
        return settings.corpora if settings.mixed else (OWN,)

    def pretrain_settings(self) -> dict[str, Any]:
        """All but the choices that concern prompts."""
        return self.settings.model_dump(mode="json", exclude=PROMPT_ONLY)

    def pretrain(self, corpora: Sequence[LabelledSet]) -> Generator[Epoch, None, None]:
        """Train on the mixture; resumes from the context's scratch folder."""
        sources = [source for corpus in corpora for source in self._sources(corpus)]
        if not sources:
            raise UsageError("promptiqa: the mixture is empty; name promptiqa.corpora")
        yield from self._train(sources, self._stages())

    def save_pretrained(self, path: Path) -> None:
        """Write the network's weights to one safetensors file."""
        self._network().save(path, {})

    def load_pretrained(self, path: Path) -> None:
        """Read a file of `save_pretrained`."""
        self._network(path)

    # -- the run -----------------------------------------------------------------------------------

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Take the prompt from `train`; train on it only if so set."""
        self._prompt = self._choose(train)
        if self.settings.finetune_epochs:
            yield from self._train(self._sources(train), [self._finetuning()])

    def schedules(self, images: int) -> Mapping[str, Schedule]:
        """The rates of each stage: pre-training's, and fine-tuning's if there is one."""
        from bench.methods.promptiqa.training import schedule

        stages = self._stages()
        if self.settings.finetune_epochs:
            stages.append(self._finetuning())
        return {plan.purpose: schedule(plan) for plan in stages}

    def set_prompt(self, images: Images, scores: Scores) -> None:
        """Score by these image-score pairs from now on (higher = better).

        `images` are decoded under `policy`. Scores (n,) are used unchanged if they lie
        within 0 to 1, and stretched to 0 to 1 otherwise.
        """
        values = np.asarray(scores, dtype=np.float64)
        if len(values) != len(images) or not len(values) or not np.isfinite(values).all():
            raise UsageError(
                f"promptiqa: a prompt needs as many finite scores as images, at least one "
                f"(got {len(images)} images, {len(values)} scores)"
            )
        if values.min() < 0 or values.max() > 1:
            values = model_labels(values, "", "minmax", False)
        self._prompt = Prompt([images[row] for row in range(len(images))], values)

    def predict(self, images: Images) -> Scores:
        """(n,) in 0 to 1, higher is better."""
        scores = self._network().scores(images, self._pairs())
        downwards = self._prompt is not None and self._prompt.downwards
        return 1 - scores if downwards else scores

    def embed(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """Image-prompt features before the score head, (n, feature dimension)."""
        return self._network().embedded(images, self._pairs()).double().cpu().numpy()

    def save(self, path: Path) -> None:
        """Write weights and prompt to one safetensors file."""
        prompt = self._prompt
        self._network().save(
            path,
            {}
            if prompt is None
            else {
                "prompt.images": np.stack(prompt.images),
                "prompt.scores": prompt.scores,
                "prompt.downwards": np.array(prompt.downwards),
            },
        )

    def load(self, path: Path) -> None:
        """Read a file of `save`."""
        extra = self._network(path).extra
        self._prompt = None
        if "prompt.images" in extra:
            images = list(extra["prompt.images"])
            self._prompt = Prompt(images, extra["prompt.scores"], bool(extra["prompt.downwards"]))

    # -- parts -------------------------------------------------------------------------------------

    def _image_size(self) -> int:
        settings = self.settings
        if settings.backbone is None:
            return settings.image_size or 224
        from bench.backbones import resolve_vit

        return resolve_vit(settings.backbone).image_size

    def _network(self, path: Path | None = None) -> Network:
        """The network, built at first use; `path` replaces its weights."""
        from bench.methods.promptiqa.network import Network

        if self._loaded is None:
            trains = bool(self.settings.corpora) or not self.settings.mixed
            if path is None and self.settings.checkpoint is None and not trains:
                raise UsageError(
                    "promptiqa has no trained weights: name promptiqa.corpora to train on or a "
                    "promptiqa.checkpoint"
                )
            self._loaded = Network(self.settings, self.context, path, imagenet=path is None)
        elif path is not None:
            self._loaded.load(path)
        return self._loaded

    def _pairs(self) -> tuple[Sequence[Pixels], Floats] | None:
        if not self.settings.use_prompt:
            return None
        if self._prompt is None:
            raise UsageError("promptiqa: no image-score pairs yet; fit it or give it a prompt")
        return self._prompt.images, self._prompt.scores

    def _choose(self, train: LabelledSet) -> Prompt:
        settings = self.settings
        downwards = all(native(name, settings.native_labels) for name in train.sources)
        scale = settings.label_scale
        labels = np.empty(len(train))
        for name in sorted(set(train.sources)):
            rows = np.flatnonzero(np.array(train.sources) == name)
            labels[rows] = model_labels(train.scores[rows], name, scale, downwards)
        self._note_scale(train.sources)
        size = settings.ispp_size
        if size > len(train):
            self.notes.append(f"prompt of {len(train)} pairs: there are no {size} labelled images")
        rng = self.context.rng("ispp")
        rows = select(labels, train.images.names, size, settings.selection, rng)
        pixels = [np.array(train.images[int(row)]) for row in rows]
        images, scores = perturb(pixels, labels[rows], settings.perturbation, rng)
        return Prompt(images, scores, downwards)

    def _note_scale(self, sources: Sequence[str]) -> None:
        settings = self.settings
        if settings.label_scale != "constants":
            if settings.checkpoint is not None:
                self.note_at_table(
                    f"prompt labels are scaled by '{settings.label_scale}'; the authors prompt "
                    "their checkpoint with label_scale=constants"
                )
            return
        for name in sorted(set(sources) - CONSTANTS.keys()):
            bare = name.partition("@")[0]
            others = [spec for spec in CONSTANTS if spec.partition("@")[0] == bare]
            text = f"no label constants for {name}: its labels span 0 to 1"
            if others:
                self.note_at_table(f"{text}; there are for {', '.join(others)}")
            else:  # the authors did not use the database, or stretch its labels too
                self.notes.append(text)

    def _sources(self, labelled: LabelledSet) -> list[MixtureSource]:
        from bench.methods.promptiqa.mixture import MixtureSource

        settings = self.settings
        found = []
        for name in dict.fromkeys(labelled.sources):
            rows = np.flatnonzero(np.array(labelled.sources) == name)
            labels = model_labels(
                labelled.scores[rows], name, settings.label_scale, settings.native_labels
            )
            found.append(MixtureSource(name, labelled.images.subset(rows), labels))
        return found

    def _stages(self) -> list[PromptTrainingPlan]:
        """The pre-training: the recipe's, and its stage of the fusion alone if it has one."""
        from bench.methods.promptiqa.mixture import PromptTrainingPlan

        settings = self.settings
        stages = [
            PromptTrainingPlan(
                "pretrain", settings.train_part, settings.epochs, settings.lr, settings
            )
        ]
        if settings.fusion_epochs and settings.use_prompt:
            flipping = settings.fusion_flipping if settings.flipping_probability else 0.0
            update = {"groups": settings.fusion_groups, "flipping_probability": flipping}
            changed = settings.model_copy(update=update)
            epochs, lr = settings.fusion_epochs, settings.fusion_lr
            stages.append(PromptTrainingPlan("pretrain-fusion", "fusion", epochs, lr, changed))
        return stages

    def _finetuning(self) -> PromptTrainingPlan:
        from bench.methods.promptiqa.mixture import PromptTrainingPlan

        settings = self.settings
        size = settings.ispp_size + 1
        update = {"batches": "leave_one_out", "group_size": size, "groups": 1}
        changed = settings.model_copy(update=update)
        part, epochs = settings.finetune_part, settings.finetune_epochs
        return PromptTrainingPlan("finetune", part, epochs, settings.finetune_lr, changed)

    def _train(
        self, sources: Sequence[MixtureSource], stages: Sequence[PromptTrainingPlan]
    ) -> Generator[Epoch, None, None]:
        from bench.methods.promptiqa.training import PromptTraining

        network = self._network()
        total = sum(plan.epochs for plan in stages)
        for plan in stages:
            training = PromptTraining(network.net, network.info, sources, plan, self.context)
            for epoch in training.run():
                yield replace(epoch, total=total)
