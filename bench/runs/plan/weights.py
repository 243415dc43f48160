"""The weights that rows fetch by themselves: which are here, how large others are, getting them.

Backbones and pyiqa's metrics alike, so that a machine is ready before it loses its network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from bench.protocol.variants import Variant
from bench.util.errors import BenchError

if TYPE_CHECKING:
    from bench.backbones.hub_files import HubFile, HubRepository
    from bench.pyiqa_library import Attempt

PYIQA = "pyiqa"
BACKBONE = "backbone"
HUB = "hub"
"""The kinds that `Method.downloads` names, each in front of a colon."""


class Weights(Protocol):
    """One file or several that a row needs beside databases."""

    @property
    def title(self) -> str:
        """What it is."""

    @property
    def where(self) -> str:
        """Where it comes from."""

    @property
    def here(self) -> bool:
        """Whether nothing is to be got."""

    def size(self) -> int | None:
        """Bytes to get, None where nobody says."""

    def fetch(self) -> None:
        """Get it. Raises `BenchError` where it cannot be had."""


@dataclass(frozen=True)
class BackboneWeights:
    """A backbone of `bench.backbones`."""

    name: str

    @cached_property
    def _file(self) -> HubFile | None:
        from bench.backbones.hub_files import hub_file

        return hub_file(self.name)

    @property
    def title(self) -> str:
        return self.name

    @property
    def where(self) -> str:
        return self._file.repository if self._file else ""

    @property
    def here(self) -> bool:
        from bench.backbones import existing, resolve

        if self._file is not None:
            return self._file.cached is not None
        info = resolve(self.name)
        with suppress(BenchError):
            return info.pretrained is None or bool(info.file is None or existing(info))
        return False

    def size(self) -> int | None:
        return self._file.size() if self._file else None

    def fetch(self) -> None:
        from bench.backbones import existing, resolve

        if self._file is not None:
            self._file.fetch()
        else:
            existing(resolve(self.name))


@dataclass(frozen=True)
class MetricWeights:
    """A metric of pyiqa's. The first file that it lacks is known, and any others only then."""

    metric: str

    @cached_property
    def _lacks(self) -> Attempt | None:
        from bench.pyiqa_library import missing_weights

        return missing_weights(self.metric)

    @property
    def title(self) -> str:
        return f"{PYIQA}:{self.metric}"

    @property
    def where(self) -> str:
        return self._lacks.url if self._lacks else ""

    @property
    def here(self) -> bool:
        return self._lacks is None

    def size(self) -> int | None:
        import httpx

        with suppress(httpx.HTTPError, httpx.InvalidURL):
            found = httpx.head(self.where, follow_redirects=True, timeout=10)
            length = found.headers.get("content-length", "")
            return int(length) if found.is_success and length.isdigit() else None
        return None

    def fetch(self) -> None:
        from bench.pyiqa_library import create

        create(self.metric, "cpu")


@dataclass(frozen=True)
class ModelWeights:
    """A model of the hub that is read whole; named REPOSITORY@REVISION."""

    name: str

    @property
    def _repository(self) -> HubRepository:
        from bench.backbones.hub_files import HubRepository

        name, _, revision = self.name.partition("@")
        return HubRepository(name, revision or "main")

    @property
    def title(self) -> str:
        return f"{HUB}:{self.name}"

    @property
    def where(self) -> str:
        return self._repository.repository

    @property
    def here(self) -> bool:
        return self._repository.cached

    def size(self) -> int | None:
        return self._repository.size()

    def fetch(self) -> None:
        self._repository.fetch()


KINDS: Mapping[str, Callable[[str], Weights]] = {
    BACKBONE: BackboneWeights,
    PYIQA: MetricWeights,
    HUB: ModelWeights,
}


def weights_of(variants: Iterable[Variant]) -> dict[str, tuple[Weights, list[str]]]:
    """What the rows fetch by themselves, by title: the weights, and the rows that need them."""
    found: dict[str, tuple[Weights, list[str]]] = {}
    for variant in variants:
        every = [variant, *(variant.on(name) for name in variant.settings_for)]
        for text in dict.fromkeys(text for one in every for text in one.build().downloads()):
            kind, _, name = text.partition(":")
            item = KINDS[kind](name)
            rows = found.setdefault(item.title, (item, []))[1]
            if variant.title not in rows:
                rows.append(variant.title)
    return found
