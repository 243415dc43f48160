"""What a row of a table needs of a machine. Not part of a run's identity: it changes no number."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from bench.util.strict import StrictModel

_UNITS = {"M": 1 / 1024, "G": 1.0, "T": 1024.0}


class Resources(StrictModel):
    """The needs of one worker; the executor chooses what is not given."""

    device: Literal["cpu", "cuda"] | None = None
    """'cpu' leaves the GPUs to others; 'cuda' waits for one."""
    vram: float | None = Field(default=None, gt=0)
    """GPU memory, such as '12G' (GiB): workers share a GPU as long as they fit into it together.
    Without it a worker has a GPU to itself."""
    cpus: int | None = Field(default=None, ge=1)
    """CPU threads."""
    slurm: tuple[str, ...] = ()
    """KEY=VALUE for sbatch, for this row only, which override those of `--slurm`. They name the
    GPUs with the memory of `vram`, say `[constraint=a100-80g]`. Other executors ignore them."""

    @field_validator("vram", mode="before")
    @classmethod
    def _gibibytes(cls, value: Any) -> Any:
        return gibibytes(value) if isinstance(value, str) else value

    @property
    def gpu(self) -> bool:
        """Whether it needs a GPU or GPU memory."""
        return self.device == "cuda" or (self.vram is not None and self.device != "cpu")

    def device_for(self, asked: str) -> str:
        """The device of a job on a machine that is not known yet; `asked` is what `--device` says.

        >>> Resources(device="cuda").device_for("auto"), Resources().device_for("auto")
        ('cuda', 'auto')

        A row that asks for a GPU fails on a machine without one: 'auto' would take the CPU there,
        for days and without a word.
        """
        if self.device == "cpu":
            return "cpu"
        return "cuda" if self.device == "cuda" and asked == "auto" else asked

    def over(self, other: Resources) -> Resources:
        """These needs, completed by those of `other`."""
        return other.model_copy(update=self.model_dump(exclude_defaults=True))


def gibibytes(text: str) -> float:
    """GiB of a text with its unit.

    >>> gibibytes("12G"), gibibytes("512M"), gibibytes("1.5 GiB")
    (12.0, 0.5, 1.5)

    Raises ValueError for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MGT])(?:i?B)?", text.strip())
    if found is None:
        raise ValueError(f"'{text}' is not an amount of memory; expected e.g. 12G or 512M")
    return float(found[1]) * _UNITS[found[2]]
