"""DEIQT (Qin et al., AAAI 2023): a ViT whose class token asks the patches as a panel of judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.errors import BenchError
from methods._regression import Regression, TrainingSettings

if TYPE_CHECKING:
    from torch import nn

HEAD_WIDTH = 64
TOKEN_SPREAD = 0.02


class DeiqtSettings(TrainingSettings):
    """Defaults are those of the released LIVEC configuration."""

    vit: str = Field(
        default="deit3_small_patch16_224",
        description="timm's name of the encoder. Released: DeiT III small.",
    )
    panel: int = Field(default=6, ge=1, description="Judges. Paper and code: 6.")
    decoder_layers: int = Field(default=1, ge=1, description="Released: 1.")
    initial: Literal["scratch", "imagenet"] = Field(
        default="scratch", description="The encoder's weights. Paper and code: 'imagenet'."
    )
    crops: int = Field(default=10, ge=1, description="Random crops of an image in one epoch.")
    test_crops: int = Field(default=10, ge=1, description="Crops a prediction averages.")
    epochs: int = Field(default=9, ge=1, description="Passes over the training images.")
    optimiser: Literal["adam", "adamw", "sgd"] = Field(default="adamw", description="Optimiser.")
    lr: float = Field(default=2e-4, gt=0, description="Learning rate.")
    weight_decay: float = Field(default=0.05, ge=0, description="Of the optimiser.")
    schedule: Literal["cosine", "step", "constant"] = Field(
        default="step", description="Rate over epochs; 'step': times `decay` a few times."
    )
    warmup_epochs: int = Field(default=3, ge=0, description="First epochs, at a rising rate.")
    loss: Literal["l1", "smooth_l1", "mse"] = Field(
        default="smooth_l1", description="To the label."
    )


class Deiqt(Regression):
    """DEIQT: a ViT with an attention-panel decoder, trained on random crops."""

    name = "deiqt"
    Settings: ClassVar[type[DeiqtSettings]] = DeiqtSettings
    settings: DeiqtSettings

    def build(self) -> nn.Module:
        """Encoder and decoder. BenchError where ImageNet weights cannot be had."""
        own = self.settings
        return panel_network(own.vit, own.crop, own.panel, own.decoder_layers, own.initial)


def panel_network(vit: str, size: int, panel: int, layers: int, initial: str) -> nn.Module:
    """A network from crops (B, 3, size, size) in 0–1 to scores (B,).

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
            self.encoder = _encoder(vit, size, initial)
            width = int(self.encoder.num_features)
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
            self.judges = nn.Parameter(torch.empty(1, panel, width))
            nn.init.trunc_normal_(self.judges, std=TOKEN_SPREAD)
            self.score = nn.Linear(width, 1, bias=False)
            nn.init.trunc_normal_(self.score.weight, std=TOKEN_SPREAD)
            config = self.encoder.pretrained_cfg
            for name in ("mean", "std"):
                value = torch.tensor(config[name]).view(1, 3, 1, 1)
                self.register_buffer(name, value, persistent=False)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            tokens = self.encoder.forward_features((pixels - self.mean) / self.std)
            patches = tokens[:, self.encoder.num_prefix_tokens :]
            found: torch.Tensor = self.score(self.decoder(tokens[:, :1] + self.judges, patches))
            return found.mean(dim=(1, 2))

    return PanelNetwork()


def _encoder(vit: str, size: int, initial: str) -> Any:
    """timm's ViT without head."""
    import timm

    pretrained = initial == "imagenet"
    try:
        found = timm.create_model(vit, pretrained=pretrained, num_classes=0, img_size=size)
    except Exception as error:  # unknown names and downloads fail in many classes
        hint = "; its weights come from the Hugging Face hub, under HF_HOME" if pretrained else ""
        raise BenchError(f"deiqt: timm cannot make '{vit}' ({error}){hint}") from error
    if not getattr(found, "num_prefix_tokens", 0) or not hasattr(found, "forward_features"):
        raise BenchError(f"deiqt: '{vit}' has no class token; take one of timm's ViTs")
    return found
