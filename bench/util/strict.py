"""The base class of records, protocols and other files."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """Frozen and validated; an unknown key is an error, docstrings under fields describe them."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
