"""Settings of methods: what all of them have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class NamesDataset:
    """Marks a setting's text as the name of a dataset."""


DatasetName = Annotated[str, NamesDataset()]
"""The type of a setting that names a dataset, NAME or NAME@VERSION, with #SPLIT where its labels
were seen in part: the harness checks it before anything runs."""


class Settings(BaseModel):
    """Settings of a method: plain, frozen, validated; an unknown key is an error.

    Every field is part of a run's identity, so a setting that cannot change a prediction (batch
    size for inference, say) belongs in `Context` instead.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )
