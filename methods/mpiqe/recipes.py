"""Sets of settings by name. Each lists only what differs from the defaults."""

from __future__ import annotations

from typing import Any, Literal

RecipeName = Literal["paper", "tiny"]

TINY: dict[str, Any] = {
    "windows": 4,
    "decoder_layers": 1,
    "heads": 4,
    "lr": 2e-3,
    "lambda_score": 20.0,
    "epochs": 6,
    "warmup_epochs": 1,
    "crops": 1,
    "test_crops": 2,
    "batch_size": 32,
}
"""For the tiny backbone and the demo sets: the same steps, sized to seconds on one core."""

RECIPES: dict[str, dict[str, Any]] = {"paper": {}, "tiny": TINY}


def default_recipe(backbone: str) -> RecipeName:
    """The recipe of a backbone where none is named."""
    return "tiny" if backbone.partition(":")[0] == "tiny" else "paper"
