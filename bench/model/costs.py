"""The cost of a method: a file beside the results for each method, setting, code and device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.model.identity import digest
from bench.util.atomic import write_text
from bench.util.listing import listed
from bench.util.strict import StrictModel

FOLDER = "costs"


class Measured(StrictModel):
    """The cost of a method on images of the size that it is shown."""

    parameters: int | None = None
    """Parameters of its networks, frozen ones included; None without torch."""
    trained_parameters: int | None = None
    """Parameters that optimisers updated, plus `Method.own_parameters`."""
    multiply_adds: int | None = None
    """For one image: half of the floating-point operations that torch counts; None if it counts
    0."""
    height: int | None = None
    """Height in pixels of the image on which they were counted."""
    width: int | None = None
    """Width in pixels of that image."""
    batch: int | None = None
    """Number of images that were timed together."""
    milliseconds: float | None = None
    """Wall-clock milliseconds for each image of such a batch."""
    tokens: float | None = None
    """Tokens of a vision-language model for each image: question, image and answers."""


class Cost(Measured):
    """Measured once for a method with its settings and code on a device."""

    method: str
    """Full name, argument included."""
    settings: dict[str, Any]
    """Settings as they enter a run's identity."""
    code: str
    """Digest of the method's source."""
    device: str
    """The torch device."""
    hardware: str
    """Name of the GPU or processor."""

    @property
    def key(self) -> str:
        """Identifies method, settings, code and kind of device."""
        return key_of(self.method, self.settings, self.code, self.device)

    def write(self, results: Path) -> None:
        """Write it into a results folder."""
        path = path_of(results, self.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, self.model_dump_json(indent=1, exclude_none=True) + "\n")


def key_of(method: str, settings: dict[str, Any], code: str, device: str) -> str:
    """The key of a cost: a method with these settings and this code on a kind of device."""
    return digest([method, settings, code, device.partition(":")[0]])


def path_of(results: Path, key: str) -> Path:
    """The file of a cost."""
    return results / FOLDER / f"{key}.json"


def read_all(results: Path) -> list[Cost]:
    """Every readable cost of a results folder."""
    found = []
    for path in listed(results / FOLDER, "*.json"):
        try:
            found.append(Cost.model_validate_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return found
