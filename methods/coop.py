"""Learned text contexts on a frozen CLIP: CoOp (IJCV 2022) and CLIP-IQA+ (AAAI 2023)."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from bench import backbones
from bench.api import (
    Context,
    Epoch,
    ImagePolicy,
    Images,
    LabelledSet,
    Method,
    Scores,
    UsageError,
)
from bench.methods.kit.clip_features import Encoder, ImageSettings, as_array
from bench.methods.kit.schedules import Schedule, cosine, warmed_up
from bench.methods.kit.views import CENTRE, Crop, View, draw

if TYPE_CHECKING:
    from torch import Tensor

    from bench.methods.kit.clip_tower import TextPrompts, TextTower
    from bench.methods.kit.trainer import Trainer

Rows = npt.NDArray[np.int64]
"""The views of a step: image times `views` plus number of the view, (B,)."""

TINY: dict[str, Any] = {"steps": 600, "epoch_steps": 60}
"""Other defaults with the tiny backbone: it takes seconds on one core."""


class CoopSettings(ImageSettings):
    """The context and its training; defaults are CoOp's."""

    tiny: ClassVar[dict[str, Any]] = {**TINY, "lr": 0.02}
    """Defaults with the tiny backbone: fewer steps, at a rate that moves contexts equally far."""
    words: tuple[str, str] = ("high quality", "low quality")
    """The class token's words, good end first; a full stop is added, as CoOp's code does."""
    n_context: int = Field(default=16, ge=1)
    """Context vectors. CoOp: 16."""
    class_position: Literal["front", "middle", "end"] = "end"
    """Where the words stand: before, amid or behind the context. CoOp: 'end' in its main results,
    'middle' as the variant."""
    class_specific: bool = False
    """A separate context for each end (CoOp's CSC)."""
    prompt_seed: int = Field(default=0, ge=0)
    """Which random initialisation."""
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    """Between label and probability of the good end."""
    lr: float = Field(default=2e-3, gt=0)
    """Of SGD, cosine to `final_lr`. CoOp: 2e-3."""
    final_lr: float = Field(default=0.0, ge=0)
    """Where the cosine ends. CoOp: 0."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD. CoOp: 0.9."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Of SGD. CoOp: 5e-4."""
    steps: int = Field(default=10_000, ge=1)
    """Updates of the context, whatever the number of labels, so that few labels train as long.
    CoOp counts epochs: 200 over 16 shots a class, which on its own example (Caltech-101, batches
    of 32) are 10,000 updates."""
    epoch_steps: int = Field(default=50, ge=1)
    """Updates that count as an epoch in schedules, curves and evaluations. CoOp, as above: 50."""
    rate_per: Literal["epoch", "step"] = "epoch"
    """How often the rate is set. CoOp: once an epoch."""
    warmup_epochs: int = Field(default=1, ge=0)
    """First epochs, at `warmup_lr`."""
    warmup_lr: float = Field(default=1e-5, gt=0)
    """CoOp: 1e-5."""
    batch_size: int = Field(default=32, ge=1)
    """Views a step. CoOp: 32."""
    augment: bool = True
    """Random crops and flips."""
    views: int = Field(default=8, ge=1)
    """Distinct crops of an image in a whole fit, whose features are computed once. A whole image
    (positions=false) always has two: as it is, and mirrored."""

    @model_validator(mode="before")
    @classmethod
    def _sized_to_the_backbone(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("backbone") == "tiny":
            return {**cls.tiny, **given}
        return given

    @model_validator(mode="after")
    def _whole_epochs(self) -> Self:
        if self.steps % self.epoch_steps:
            raise ValueError(f"steps={self.steps} are no whole epochs of {self.epoch_steps} steps")
        return self

    @property
    def epochs(self) -> int:
        """Epochs in all."""
        return self.steps // self.epoch_steps


class Coop(Method):
    """CoOp: learned text context on a frozen CLIP, trained on the labels as probabilities."""

    name = "coop"
    Settings: ClassVar[type[CoopSettings]] = CoopSettings
    settings: CoopSettings

    def __init__(self, settings: CoopSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._encoder: Encoder | None = None
        self._tower: TextTower | None = None
        self._prompts: TextPrompts | None = None

    @property
    def encoder(self) -> Encoder:
        """The frozen CLIP, loaded at first use."""
        if self._encoder is None:
            self._encoder = Encoder(self.settings, self.context)
        return self._encoder

    @property
    def prompts(self) -> TextPrompts:
        """The learned context, drawn at first use."""
        if self._prompts is None:
            self._prompts = self._build()
        return self._prompts

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """Few steps, and no crops that would have to be encoded."""
        return {"steps": 1000, "epoch_steps": 100, "augment": False, "n_context": 4}

    @property
    def policy(self) -> ImagePolicy:
        """As the settings say."""
        backbones.require_text(self.settings.backbone)  # here, where plans ask first
        return self.settings.policy

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """SGD on the context alone; everything else is frozen.

        An epoch's `moved` is how far the context has come from its start, ‖θ − θ₀‖ / ‖θ₀‖.
        """
        import torch

        low, high = float(train.scores.min()), float(train.scores.max())
        if low < 0 or high > 1:
            raise UsageError(
                f"{self.name}: training labels run from {low:g} to {high:g}, but probabilities "
                "need 0 to 1; set the protocol's 'normalise'"
            )
        start = self.prompts.ctx.detach().clone()
        self.prompts.ctx.requires_grad_(True)
        trainer = self._trainer(train)
        training, monitored = trainer.run(), None
        while True:
            try:
                epoch = training.send(monitored)
            except StopIteration:
                break
            moved = torch.linalg.vector_norm(self.prompts.ctx.detach() - start)
            epoch.diagnostics["moved"] = float(moved / torch.linalg.vector_norm(start))
            monitored = yield epoch
        self.prompts.ctx.requires_grad_(False)

    def schedules(self, images: int) -> Mapping[str, Schedule]:
        """The context's rates."""
        own = self.settings
        factor = cosine(own.epochs - own.warmup_epochs, own.final_lr / own.lr)
        if own.warmup_epochs:
            factor = warmed_up(factor, own.warmup_epochs, own.warmup_lr / own.lr)
        return {"fit": Schedule(own.lr, own.epochs, factor, own.rate_per)}

    def predict(self, images: Images) -> Scores:
        """Probability of the good end, (n,) in 0–1."""
        import torch

        with torch.no_grad():
            logits = self._logits(self.encoder.features(images))
        return as_array(logits.softmax(dim=-1)[:, 0])

    def embed(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """Image features of length one, (n, e)."""
        return as_array(self.encoder.features(images))

    def save(self, path: Path) -> None:
        """Write the context."""
        from bench.methods.kit import checkpoints

        checkpoints.write(path, {"ctx": self.prompts.ctx})

    def load(self, path: Path) -> None:
        """Read a file of `save`. BenchError if its shape differs."""
        from bench.methods.kit import checkpoints

        checkpoints.put(self.prompts, checkpoints.read(path).tensors, f"'{path}'", ["ctx"])

    def _build(self) -> TextPrompts:
        import torch

        from bench.methods.kit.clip_tower import TextPrompts, TextTower, private_copy

        own, backbone = self.settings, self.encoder.backbone
        self._tower = TextTower(private_copy(backbone.model))
        tokens = backbone.tokenizer([f"{word}." for word in own.words]).to(self.context.device)
        bare = backbone.tokenizer(list(own.words))
        ahead = {"front": 0, "middle": own.n_context // 2, "end": own.n_context}
        prompts = TextPrompts(
            self._tower,
            tokens,
            own.n_context,
            shared=not own.class_specific,
            ahead=ahead[own.class_position],
            # Without start and end: how many tokens the words take, the full stop left out.
            words=(bare.argmax(dim=-1) - 1).tolist(),
        ).to(self.context.device)
        generator = torch.Generator(self.context.device)
        prompts.initialise(generator.manual_seed(self.context.seed_for("prompts", own.prompt_seed)))
        return prompts

    def _trainer(self, train: LabelledSet) -> Trainer[int]:
        import torch

        from bench.methods.kit import optimisers
        from bench.methods.kit.trainer import At, Trainer

        own, device = self.settings, self.context.device
        features = self._features(train.images)
        views = len(features) // len(train)
        labels = torch.tensor(train.scores, dtype=torch.float32, device=device)

        def loss(rows: Sequence[int], at: At) -> Tensor:
            shown = torch.as_tensor(rows, device=device)
            return self._loss(self._logits(features[shown]), labels[shown // views])

        optimiser = optimisers.build(
            "sgd", self.prompts.named_parameters(), own.lr, own.weight_decay, own.momentum
        )

        def batches(epoch: int) -> Sequence[Sequence[int]]:
            return self._batches(len(train), views, epoch)  # type: ignore[return-value]

        schedule = self.schedules(len(train))["fit"]
        return Trainer(self.prompts, optimiser, schedule, batches, loss, self.context)

    def _features(self, images: Images) -> Tensor:
        """Features of all views that training may show, (n · views, e)."""
        shown = [
            Crop(images, index, view, (images.digest(index), view))
            for index in range(len(images))
            for view in self._views(index)
        ]
        return self.encoder.crops(shown)

    def _views(self, image: int) -> list[View]:
        if not self.settings.augment:
            return [CENTRE]
        if not self.settings.positions:
            return [CENTRE, CENTRE._replace(flip=True)]
        numbers = range(self.settings.views)
        return [draw(self.context.rng("view", image, number)) for number in numbers]

    def _batches(self, count: int, views: int, epoch: int) -> Rows:
        """The views of each step of an epoch, (steps, B): images in random order, round and round,
        each with one of its views."""
        own, rng = self.settings, self.context.rng("epoch", epoch)
        needed = own.epoch_steps * own.batch_size
        rounds = -(-needed // count)
        order = np.concatenate([rng.permutation(count) for _ in range(rounds)])[:needed]
        shown = order * views + rng.integers(views, size=needed)
        return shown.reshape(own.epoch_steps, own.batch_size)

    def _logits(self, images: Tensor) -> Tensor:
        """Image features (B, e) to logits (B, 2), good end first."""
        prompts = self.prompts
        assert self._tower is not None
        texts = self._tower(prompts(), prompts.ends)
        scaled: Tensor = self.encoder.backbone.model.logit_scale.exp() * images @ texts.T
        return scaled

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        import torch.nn.functional as F

        if self.settings.loss == "mse":
            return F.mse_loss(logits.softmax(dim=-1)[:, 0], labels)
        return F.cross_entropy(logits, _ends(labels))


class ClipIqaPlusSettings(CoopSettings):
    """CLIP-IQA+: whole images without positions, squared error; defaults are the released
    configuration's, on a ViT instead of its ResNet-50."""

    tiny: ClassVar[dict[str, Any]] = {**TINY, "lr": 0.1}
    positions: bool = False
    """Positional embeddings; CLIP-IQA leaves them out."""
    resize_mode: Literal["squash", "short_side", "none"] = "none"
    """How a file becomes an image; CLIP-IQA keeps its size."""
    words: tuple[str, str] = ("Good photo.", "Bad photo.")
    """The class token's words, good end first. Released: these, full stop included, and another
    one added."""
    class_position: Literal["front", "middle", "end"] = "middle"
    """Where the words stand. Released: eight context vectors on either side."""
    loss: Literal["cross_entropy", "mse"] = "mse"
    """Between label and probability of the good end."""
    final_lr: float = Field(default=1e-7, ge=0)
    """Where the cosine ends. Released: 1e-7."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Of SGD. Released: none."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of SGD. Released: none."""
    steps: int = Field(default=300_000, ge=1)
    """Updates of the context. Released: a cosine over 300,000 iterations."""
    epoch_steps: int = Field(default=10_000, ge=1)
    """Updates that count as an epoch. Released: an evaluation every 10,000."""
    rate_per: Literal["epoch", "step"] = "step"
    """How often the rate is set. Released: every iteration."""
    warmup_epochs: int = Field(default=0, ge=0)
    """First epochs, at `warmup_lr`. Released: none."""
    batch_size: int = Field(default=64, ge=1)
    """Images a step. Released: 64."""


class ClipIqaPlus(Coop):
    """CLIP-IQA+: CLIP-IQA with a learned context, trained on the labels by squared error."""

    name = "clipiqa_plus"
    Settings: ClassVar[type[ClipIqaPlusSettings]] = ClipIqaPlusSettings
    settings: ClipIqaPlusSettings


def _ends(labels: Tensor) -> Tensor:
    """Labels (B,) in 0–1 as target probabilities (B, 2) of the good and the bad end."""
    import torch

    return torch.stack([labels, 1 - labels], dim=-1)
