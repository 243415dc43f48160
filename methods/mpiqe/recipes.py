"""Sets of settings by name. Each lists only what differs from the defaults."""

from __future__ import annotations

from typing import Any, Literal

RecipeName = Literal["paper", "tiny"]

TINY: dict[str, Any] = {
    "distortion_words": (
        "blurry",
        "tinted",
        "dull",
        "blocky",
        "compressed",
        "noisy",
        "overexposed",
        "banded",
        "underexposed",
        "pixelated",
        "others",
    ),
    "windows": 4,
    "decoder_layers": 1,
    "memory": "normed",
    "heads": 4,
    "lr": 1e-3,
    "label_scale": 1.0,
    "lambda_score": 20.0,
    "epochs": 5,
    "warmup_epochs": 1,
    "crops": 1,
    "test_crops": 2,
    "batch_size": 16,
}
"""For the tiny backbone and the demo sets: the same steps, sized to seconds on one core, and
distortions in the words that this backbone has learned."""

RECIPES: dict[str, dict[str, Any]] = {"paper": {}, "tiny": TINY}


def default_recipe(backbone: str) -> RecipeName:
    """The default recipe of a backbone."""
    return "tiny" if backbone.partition(":")[0] == "tiny" else "paper"
