"""The findings of an audit of a method, as a file beside the results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.model.identity import digest
from bench.util.atomic import write_text
from bench.util.listing import listed
from bench.util.strict import StrictModel

FOLDER = "audits"


EXEMPT = {
    "scores": "its scores were computed elsewhere",
    "oracle": "it is given the labels on purpose",
}
"""Methods that cannot be audited, with the reason."""


def key_of(method: str, settings: dict[str, Any], code: str) -> str:
    """The key of an audit: a method with these settings and this code."""
    return digest([method, settings, code])


class Property(StrictModel):
    """A property that every honest method has."""

    name: str
    """What was changed or checked."""
    holds: bool
    """Whether predictions stayed as they were."""
    detail: str = ""
    """The first image and value that changed, or the error; '' if the property holds."""


class Audit(StrictModel):
    """All properties of one method with one setting and code."""

    method: str
    """Full name, argument included."""
    settings: dict[str, Any]
    """Settings as they enter a run's identity."""
    code: str
    """Digest of the method's source."""
    dataset: str
    """The database it was audited on."""
    device: str
    """The torch device."""
    created: str
    """When, UTC."""
    properties: tuple[Property, ...]
    """In the order of the checks."""

    @classmethod
    def of(
        cls,
        method: str,
        settings: dict[str, Any],
        code: str,
        dataset: str,
        device: str,
        properties: Sequence[Property],
    ) -> Audit:
        """A finding of this moment."""
        return cls(
            method=method,
            settings=settings,
            code=code,
            dataset=dataset,
            device=device,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            properties=tuple(properties),
        )

    @property
    def passed(self) -> bool:
        """Whether every property holds."""
        return bool(self.properties) and all(item.holds for item in self.properties)

    @property
    def key(self) -> str:
        """Identifies method, settings and code."""
        return key_of(self.method, self.settings, self.code)

    def write(self, results: Path) -> Path:
        """Write it into a results folder; a later audit of the same replaces it."""
        path = results / FOLDER / f"{self.key}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, self.model_dump_json(indent=1) + "\n")
        return path


def read_all(results: Path) -> dict[str, Audit]:
    """Every readable finding of a results folder, by key."""
    found = {}
    for path in listed(results / FOLDER, "*.json"):
        try:
            audit = Audit.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found[audit.key] = audit
    return found
