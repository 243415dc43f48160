"""DEIQT (Qin et al., AAAI 2023): a ViT whose class token asks the patches as a panel of judges."""

from __future__ import annotations

import copy
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from bench import backbones
from bench.api import BenchError, Epoch, LabelledSet
from bench.methods.kit.regression import Regression
from bench.methods.kit.training_settings import TrainingSettings

if TYPE_CHECKING:
    from torch import nn

HEAD_WIDTH = 64
TOKEN_SPREAD = 0.02
RESIZED = ("koniq10k", "spaq")
"""Databases whose images the released code resizes, to 384 pixels across and 512 down."""
TINY: dict[str, Any] = {"crops": 1, "test_crops": 2}
"""Other defaults with the tiny backbone: demo images hardly exceed one crop of its size."""


class DeiqtSettings(TrainingSettings):
    """Defaults are those of the released LIVEC configuration.

    KonIQ-10k and SPAQ are resized there, to 384 pixels across and 512 down: resize_mode=squash,
    resize=[384, 512], resize_kernel=pillow_bilinear; tables say so if they are not.
    """

    backbone: str | None = None
    """A ViT of timm by its backbone name (timm:NAME[:TAG|:FILE]) or a CLIP, whose image tower then
    is the encoder, with its weights; `vit` and `initial` have no effect. Not DEIQT as published,
    unless it names the same encoder."""
    vit: str = "deit3_small_patch16_224.fb_in1k"
    """timm's name of the encoder. Released: DeiT III small, 224 pixels, ImageNet-1k."""
    panel: int = Field(default=6, ge=1)
    """Judges. Paper and code: 6."""
    decoder_layers: int = Field(default=1, ge=1)
    """Released: 1."""
    initial: Literal["scratch", "imagenet"] = "imagenet"
    """The encoder's weights. Paper and code: 'imagenet'."""
    crops: int = Field(default=10, ge=1)
    """Random crops of an image in one epoch. Released: 10."""
    test_crops: int = Field(default=10, ge=1)
    """Crops a prediction averages. Released: 10, drawn anew for every evaluation."""
    epochs: int = Field(default=9, ge=1)
    """Passes over the training images. Released: 9."""
    optimiser: Literal["adam", "adamw", "sgd"] = "adamw"
    """Optimiser. Released: AdamW."""
    lr: float = Field(default=2e-4, gt=0)
    """Learning rate. Released: 2e-4."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Of the optimiser. Released: 0.05."""
    undecayed: tuple[str, ...] | None = ("pos_embed", "cls_token", "positional_embedding")
    """Parameters without weight decay beside biases and norms. Released: the encoder's class token
    and positions (here by CLIP's name too); the judges decay."""
    clip: float | None = Field(default=5.0, gt=0)
    """Largest norm of the whole gradient. Released: 5."""
    schedule: Literal["cosine", "step", "constant", "waves"] = "step"
    """Rate over epochs; 'step': times `decay` a few times. Released: a tenth every three epochs."""
    rate_per: Literal["epoch", "step"] = "step"
    """How often the rate is set. Released: at every step."""
    warmup_epochs: int = Field(default=3, ge=0)
    """First epochs, in which the rate rises to `lr`. Released: 3; the steps down count from their
    end, as they do in today's timm (in timm 0.5 they counted from the beginning)."""
    warmup_share: float = Field(default=1e-3, ge=0, le=1)
    """Share of `lr` at which it begins to rise. Released: 2e-7 of 2e-4."""
    loss: Literal["l1", "smooth_l1", "mse", "plcc"] = "smooth_l1"
    """To the label. Released: smooth L1."""
    label_scale: float = Field(default=100.0, gt=0)
    """Labels (0 to 1 by the protocol) are multiplied by it for training, predictions divided.
    Released: the databases' own scales, 0 to 100 for LIVEC, KonIQ-10k and SPAQ, on which smooth L1
    is all but L1; on 0 to 1 (label_scale=1) it is half the squared error."""

    @model_validator(mode="before")
    @classmethod
    def _fit_the_tower(cls, given: Any) -> Any:
        name = given.get("backbone") if isinstance(given, dict) else None
        if not isinstance(name, str):
            return given
        info = backbones.resolve(name)
        if isinstance(info, backbones.TimmInfo) and not info.fixed_size:
            raise ValueError(f"backbone: {name} is no ViT, whose patches a panel could ask")
        timm = isinstance(info, backbones.TimmInfo)
        size = info.image_size if timm else backbones.resolve_vit(name).image_size
        if given.get("crop", size) != size:
            raise ValueError(f"crop: {name} takes crops of {size} pixels")
        return {"crop": size, **(TINY if name == "tiny" else {}), **given}


class Deiqt(Regression):
    """DEIQT: a ViT with an attention-panel decoder, trained on random crops."""

    name = "deiqt"
    Settings: ClassVar[type[DeiqtSettings]] = DeiqtSettings
    settings: DeiqtSettings

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """A network of two blocks and few small crops, that learns eight images in seconds."""
        return {
            "backbone": None,
            "vit": "test_vit",
            "initial": "scratch",
            "crop": 32,
            "crops": 1,
            "test_crops": 2,
            "batch_size": 4,
            "epochs": 20,
            "warmup_epochs": 2,
            "lr": 5e-3,
            "schedule": "cosine",
            "loss": "mse",
            "label_scale": 1.0,
        }

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Train all of it; tables say so if images are larger than the authors'."""
        learnt = {name.partition("@")[0] for name in train.sources}
        if self.settings.resize_mode == "none" and (large := sorted(learnt.intersection(RESIZED))):
            self.note_at_table(f"{' and '.join(large)} not resized to 384 x 512 as in DEIQT")
        yield from super().fit(train)

    def downloads(self) -> tuple[str, ...]:
        """ImageNet weights of the encoder, if training starts from timm's."""
        own = self.settings
        if own.backbone is not None or own.initial != "imagenet" or own.weights is not None:
            return super().downloads()
        return (f"backbone:timm:{own.vit}",)

    def build(self) -> nn.Module:
        """Encoder and decoder. BenchError if weights are not available."""
        own = self.settings
        if own.backbone is not None:
            self.note_at_table(f"encoder: {own.backbone}, not DEIQT's own")
            timm = isinstance(backbones.resolve(own.backbone), backbones.TimmInfo)
            tower = _of_timm(own.backbone) if timm else _tower(own.backbone)
            return panel_network(tower, own.panel, own.decoder_layers)
        encoder = _encoder(own.vit, own.crop, own.initial)
        return panel_network(encoder, own.panel, own.decoder_layers)

    @property
    def starts_from(self) -> str:
        """ImageNet weights, in place of which a CLIP backbone brings its own."""
        return "" if self.settings.backbone else super().starts_from


def panel_network(encoder: Any, panel: int, layers: int) -> nn.Module:
    """A network from crops (B, 3, S, S) in 0–1 to scores (B,).

    `encoder` gives tokens (B, T, d) by `forward_features`, the class token first, and says
    `num_features` (d), `num_prefix_tokens` and, as `pretrained_cfg`, how pixels are normalised.

    The encoder's class token plus one learned embedding a judge queries the patch tokens through
    a transformer decoder; the judges' scores are averaged.
    """
    import torch
    from torch import nn

    class PanelNetwork(nn.Module):
        """Encoder, decoder, score."""

        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            width = int(encoder.num_features)
            layer = nn.TransformerDecoderLayer(
                width,
                nhead=max(1, width // HEAD_WIDTH),
                dim_feedforward=4 * width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            self.decoder = nn.TransformerDecoder(layer, num_layers=layers)
            # As the released code initialises every linear layer; the joint projection of an
            # attention is no such layer and keeps torch's start.
            for part in self.decoder.modules():
                if isinstance(part, nn.Linear):
                    nn.init.trunc_normal_(part.weight, std=TOKEN_SPREAD)
                    nn.init.zeros_(part.bias)
            self.judges = nn.Parameter(torch.empty(1, panel, width))
            nn.init.trunc_normal_(self.judges, std=TOKEN_SPREAD)
            self.score = nn.Linear(width, 1, bias=False)
            nn.init.trunc_normal_(self.score.weight, std=TOKEN_SPREAD)
            config = encoder.pretrained_cfg
            for name in ("mean", "std"):
                value = torch.tensor(config[name]).view(1, 3, 1, 1)
                self.register_buffer(name, value, persistent=False)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            tokens = self.encoder.forward_features((pixels - self.mean) / self.std)
            patches = tokens[:, self.encoder.num_prefix_tokens :]
            said = self.decoder(tokens[:, :1] + self.judges, patches)
            # In bf16 a score has eight bits, and images that differ would tie.
            with torch.autocast(said.device.type, enabled=False):
                found: torch.Tensor = self.score(said.float())
                return found.mean(dim=(1, 2))

    return PanelNetwork()


def _encoder(vit: str, size: int, initial: str) -> Any:
    """timm's ViT without head."""
    import timm

    pretrained = initial == "imagenet"
    try:
        found = timm.create_model(vit, pretrained=pretrained, num_classes=0, img_size=size)
    except Exception as error:  # unknown names and downloads fail in many classes
        hint = (
            "; its weights come from the Hugging Face hub, under HF_HOME. Put them there, or set "
            "initial=scratch, which tables say"
        )
        raise BenchError(
            f"deiqt: timm cannot make '{vit}' ({error}){hint if pretrained else ''}"
        ) from error
    _require_class_token(found, vit)
    return found


def _require_class_token(network: Any, name: str) -> None:
    if not getattr(network, "num_prefix_tokens", 0) or not hasattr(network, "forward_features"):
        raise BenchError(f"deiqt: '{name}' has no class token; take one of timm's ViTs")


def _of_timm(backbone: str) -> Any:
    """A backbone of timm, a copy that may be trained."""
    found = backbones.load(backbone, "cpu").model
    _require_class_token(found, backbone)
    return found.requires_grad_()


def _tower(backbone: str) -> nn.Module:
    """A CLIP backbone's image tower, a copy that may be trained, with the interface of timm's
    ViTs."""
    import torch
    from torch import nn

    loaded = backbones.load(backbone, "cpu")
    info = backbones.resolve_vit(backbone)

    class Tower(nn.Module):
        """Tokens of the last block, normalised; text and projection are left out."""

        num_features = info.width
        num_prefix_tokens = 1

        def __init__(self) -> None:
            super().__init__()
            self.pretrained_cfg = {"mean": info.mean, "std": info.std}
            self.visual: Any = copy.deepcopy(loaded.model.visual)
            self.visual.proj = None

        def forward_features(self, pixels: torch.Tensor) -> torch.Tensor:
            """Normalised pixels (B, 3, S, S) to (B, 1 + patches, d)."""
            found = self.visual.forward_intermediates(
                pixels,
                indices=1,
                intermediates_only=True,
                output_fmt="NLC",
                output_extra_tokens=True,
                normalize_intermediates=True,
            )
            patches = found["image_intermediates"][-1]
            classes = found["image_intermediates_prefix"][-1]
            return torch.cat([classes, patches], dim=1)

    return Tower().requires_grad_()
