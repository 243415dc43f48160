"""Fine-tuning: the plain baseline. A backbone, its levels pooled, and a linear head, trained whole.

The head starts as ridge regression on the frozen features and everything is then trained together
(Kumar et al., ICLR 2022: a head that starts at random bends the features that it is given).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from bench import backbones
from bench.api import Epoch, LabelledSet
from bench.methods.kit.image_features import SIDE
from bench.methods.kit.regression import Regression
from bench.methods.kit.stages import Statistic
from bench.methods.kit.training_settings import TrainingSettings
from bench.methods.kit.views import CENTRE

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)
"""Candidates of the head's first fit, as those of `ridge`."""
PARTS = ("backbone", "head")


class FinetuneSettings(TrainingSettings):
    """The backbone, its features, and the training of all of it."""

    backbone: str = "lite0"
    """The network: `lite0`, timm:NAME[:TAG|:FILE], or a CLIP, of which the joint feature counts."""
    initial: Literal["imagenet"] = "imagenet"
    """The weights are part of the backbone's name; this cannot be set."""
    stages: tuple[int, ...] | None = None
    """Levels of a network of timm that are pooled, as for `ridge`."""
    pooling: tuple[Statistic, ...] = Field(default=("mean", "std"), min_length=1)
    """Statistics of a level: mean, standard deviation, or both."""
    start: Literal["ridge", "zero"] = "ridge"
    """The head before training: ridge regression on the frozen features of the training images, or
    nothing but the mean label."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """Whether batch norms keep the statistics of their pre-training, as suits small batches."""
    layer_decay: float = Field(default=0.8, gt=0, le=1)
    """Learning rate of a stage of the backbone, as a share of the next stage's; the last stage has
    `lr`, the head `head_lr`."""
    resize_mode: Literal["none", "short_side", "squash"] = "short_side"
    """How a file becomes the image that is cropped."""
    resize: int | tuple[int, int] | None = None
    """Pixels of that size. By default 384 for networks that take any size, else what the network's
    own configuration makes of its crop."""
    crop: int = Field(default=SIDE, ge=8)
    """Side of the square crops; by default the shorter side, or the network's own square."""
    epochs: int = Field(default=10, ge=1)
    """Passes over the training images."""
    optimiser: Literal["adam", "adamw", "sgd"] = "adamw"
    """Optimiser."""
    lr: float = Field(default=1e-4, gt=0)
    """Learning rate of the backbone's last stage."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Of the optimiser."""
    undecayed: tuple[str, ...] | None = ("pos_embed", "cls_token", "positional_embedding")
    """Parameters without weight decay beside biases and norms."""
    warmup_epochs: int = Field(default=1, ge=0)
    """First epochs, in which the rate rises to `lr`."""
    rate_per: Literal["epoch", "step"] = "step"
    """How often the rate is set."""
    clip: float | None = Field(default=5.0, gt=0)
    """Largest norm of the whole gradient; None: any."""
    loss: Literal["l1", "smooth_l1", "mse", "plcc"] = "plcc"
    """To the label; 'plcc' compares the batch's scores with its labels by their correlation."""
    batch_loss: Literal["none", "plcc", "nin", "rank"] = "rank"
    """Added to it: the correlation, the norm-in-norm loss, or what pairs of images lack of their
    labels' difference."""

    @model_validator(mode="before")
    @classmethod
    def _fit_the_network(cls, given: Any) -> Any:
        name = given.get("backbone", "lite0") if isinstance(given, dict) else None
        if not isinstance(name, str):
            return given
        info = backbones.resolve(name)
        own = info.image_size
        if isinstance(info, backbones.TimmInfo) and not info.fixed_size:
            side = given.get("resize") or given.get("crop", SIDE)
            least = min(side) if isinstance(side, list | tuple) else side
            values = {"crop": least}
            if given.get("resize_mode") != "none":
                values["resize"] = side
            return {**values, **given}
        if given.get("crop", own) != own:
            raise ValueError(f"crop: {name} takes crops of {own} pixels")
        shown = info.shown if isinstance(info, backbones.TimmInfo) else backbones.CLIP_SHOWN
        size = {} if given.get("resize_mode") == "none" else {"resize": round(own / shown)}
        return {"crop": own, **size, **given}

    @model_validator(mode="after")
    def _stages_of_timm(self) -> Self:
        info = backbones.resolve(self.backbone)
        if self.stages is not None and not isinstance(info, backbones.TimmInfo):
            raise ValueError(
                f"stages: {self.backbone} is a CLIP, of which the joint feature counts"
            )
        return self


class Finetune(Regression):
    """A backbone and a linear head on its pooled levels, fine-tuned whole."""

    name = "finetune"
    Settings: ClassVar[type[FinetuneSettings]] = FinetuneSettings
    settings: FinetuneSettings

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """A small network from random weights and small crops, that learns in seconds."""
        return {
            "backbone": "timm:test_efficientnet:random",
            "resize": 64,
            "crop": 64,
            "epochs": 8,
            "batch_size": 4,
            "lr": 1e-3,
        }

    @property
    def starts_from(self) -> str:
        """'' for a backbone that brings its weights."""
        return ""

    def in_backbone(self, parameter: str) -> bool:
        """Whether a parameter belongs to the backbone."""
        return parameter.startswith("backbone.")

    def build(self) -> nn.Module:
        """Backbone and head. BackboneError if weights are not available."""
        own = self.settings
        loaded = backbones.load(own.backbone, "cpu")
        if loaded.info.pretrained is None:
            self.note_at_table("the backbone starts from random weights")
        return pooled_network(loaded, own.stages, own.pooling, own.batch_norm == "frozen")

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Fit the head by ridge regression if so set, then everything by gradient steps."""
        self._begin(train)
        yield from super().fit(train)

    def _begin(self, train: LabelledSet) -> None:
        """Standardise features as those of the training images are, and fit the head to them."""
        import torch

        from bench.methods.kit.heads import chosen

        network: Any = self.network
        features = self._features(train)
        mean, spread = features.mean(axis=0), features.std(axis=0)
        spread[spread < 1e-8] = 1
        labels = np.asarray(train.scores, float) * self.settings.label_scale
        weights, offset = np.zeros(features.shape[1]), float(labels.mean())
        if self.settings.start == "ridge":
            from sklearn.linear_model import Ridge

            pairs = zip(train.references, train.images.names, strict=True)
            groups = [reference or name for reference, name in pairs]
            x = (features - mean) / spread
            best = chosen([Ridge(alpha=each) for each in PENALTIES], x, labels, groups)
            best.fit(x, labels)
            weights, offset = best.coef_, float(best.intercept_)
        with torch.no_grad():
            network.mean_feature.copy_(torch.from_numpy(mean))
            network.spread.copy_(torch.from_numpy(spread))
            network.head.weight.copy_(torch.from_numpy(weights)[None] * network.share)
            network.head.bias.fill_(offset)

    def _features(self, train: LabelledSet) -> Any:
        """Pooled features of the central crops, (n, d) float64."""
        import torch

        network: Any = self.network.eval()
        size, names = self.context.batch_size, train.images.names
        rows = []
        for start in range(0, len(train), size):
            places = range(start, min(start + size, len(train)))
            cuts = [self._crop(train.images[i], CENTRE, names[i]) for i in places]
            with torch.no_grad():
                rows.append(network.features(self._pixels(cuts)).double().cpu().numpy())
        return np.concatenate(rows)

    def _optimiser(self, network: nn.Module, stage: str) -> torch.optim.Optimizer:
        """A group of parameters for each stage of the backbone, with its own rate."""
        from bench.methods.kit import optimisers

        own = self.settings
        built = None
        for parts, lr in self._rates(network):
            one = optimisers.build(
                own.optimiser, parts, lr, own.weight_decay, own.momentum, own.undecayed
            )
            if built is None:
                built = one
                continue
            for group in one.param_groups:
                built.add_param_group(group)
        assert built is not None
        return built

    def _rates(self, network: Any) -> Iterator[tuple[list[tuple[str, nn.Parameter]], float]]:
        """Named parameters and their learning rate, the head's first."""
        own = self.settings
        yield list(network.head.named_parameters(prefix="head")), own.head_lr or own.lr
        depths = network.depths()
        last = max(depths.values(), default=0)
        named = [pair for pair in network.backbone.named_parameters() if pair[1].requires_grad]
        for depth in sorted(set(depths.values()), reverse=True):
            parts = [(name, value) for name, value in named if depths[name] == depth]
            if parts:
                yield parts, own.lr * own.layer_decay ** (last - depth)

    def _splits(self, network: nn.Module) -> bool:
        """Frozen batch norms use no statistics of the batch."""
        return self.settings.batch_norm == "frozen" or super()._splits(network)


def pooled_network(
    loaded: Any, stages: Sequence[int] | None, pooling: Sequence[Statistic], frozen_norms: bool
) -> nn.Module:
    """A network from crops (B, 3, S, S) in 0–1 to scores (B,)."""
    import torch
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm

    from bench.methods.kit import stages as kit

    info = loaded.info
    clip = not isinstance(info, backbones.TimmInfo)
    backbone = loaded.model.visual if clip else loaded.model
    if not clip and backbone.num_classes:
        backbone.reset_classifier(0)

    class PooledNetwork(nn.Module):
        """Normalised pixels, pooled levels, standardised, and a linear head."""

        mean_feature: torch.Tensor
        spread: torch.Tensor
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.backbone = backbone.requires_grad_()
            for name in ("mean", "std"):
                value = torch.tensor(getattr(info, name)).view(1, 3, 1, 1)
                self.register_buffer(name, value, persistent=False)
            side = info.image_size
            with torch.no_grad():
                width = self.features(torch.zeros(1, 3, side, side)).shape[1]
            self.register_buffer("mean_feature", torch.zeros(width))
            self.register_buffer("spread", torch.ones(width))
            # So a step of the optimiser moves a score alike however many features there are.
            self.share = math.sqrt(width)
            self.head = nn.Linear(width, 1)
            nn.init.zeros_(self.head.weight)

        def train(self, mode: bool = True) -> PooledNetwork:
            super().train(mode)
            if frozen_norms:
                for part in self.backbone.modules():
                    if isinstance(part, _BatchNorm):
                        part.eval()
            return self

        def depths(self) -> dict[str, int]:
            """The stage of every parameter of the backbone, counted from the image."""
            names = [name for name, _ in self.backbone.named_parameters()]
            if not hasattr(self.backbone, "group_matcher"):
                return dict.fromkeys(names, 0)
            from timm.models import group_parameters

            matcher = self.backbone.group_matcher(coarse=True)
            found: dict[str, int] = group_parameters(self.backbone, matcher, reverse=True)
            return found

        def features(self, pixels: Tensor) -> Tensor:
            """Pooled levels (B, d)."""
            shown = (pixels - self.mean) / self.std
            if clip:
                return nn.functional.normalize(self.backbone(shown), dim=-1)
            return kit.pooled(kit.chosen(kit.levels(self.backbone, shown), stages), pooling)

        def forward(self, pixels: Tensor) -> Tensor:
            rows = (self.features(pixels) - self.mean_feature) / (self.spread * self.share)
            # In bf16 a score has eight bits, and images that differ would tie.
            with torch.autocast(rows.device.type, enabled=False):
                found: Tensor = self.head(rows.float())[:, 0]
                return found

    return PooledNetwork().eval()
