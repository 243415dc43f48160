"""The sections of `tools.gpu_check`: what each measures, and how it says what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Setup:
    """What a section is to work with."""

    device: str
    """A torch device."""
    small: bool
    """Whether to do as little as shows that the section works."""
    folder: Path
    """For files, of the section's own."""
    seconds: float
    """How long it may take; it is killed after that."""

    @property
    def backbone(self) -> str:
        """The CLIP that is timed, which nothing has to be downloaded for."""
        return "tiny" if self.small else "ViT-B-16:random"

    @property
    def gpu(self) -> bool:
        """Whether it is one."""
        return self.device.startswith("cuda")


@dataclass
class SectionFinding:
    """What a section measured."""

    rows: list[list[str]] = field(default_factory=list)
    """What, how much, and beside it a share, a target or a remark."""
    text: str = ""
    """Anything longer, as it is to be printed."""
    failed: str = ""
    """Why the section as a whole did not succeed."""

    def add(self, what: str, value: str, beside: str = "") -> None:
        """One line of the table."""
        self.rows.append([what, value, beside])
