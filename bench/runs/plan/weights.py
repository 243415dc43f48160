"""The weights that methods download by themselves: which are here, their sizes, downloading them.

Covers backbones, pyiqa's metrics and models of the hub, so that `bench get` can prepare a machine
that will have no network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from bench.data.datasets._requirements import REQUIREMENTS
from bench.protocol.variants import Variant
from bench.runs.plan.needs import CellNeeds
from bench.util.errors import BenchError

if TYPE_CHECKING:
    from bench.backbones.hub_files import HubFile, HubRepository
    from bench.pyiqa_library import Attempt

PYIQA = "pyiqa"
NETWORK = "pyiqa_network"
BACKBONE = "backbone"
HUB = "hub"
"""The kinds in `Method.downloads`, before the colon."""


class Weights(Protocol):
    """Weights that a row needs, one file or several."""

    @property
    def title(self) -> str:
        """Name for messages."""

    @property
    def where(self) -> str:
        """Its address or repository."""

    @property
    def here(self) -> bool:
        """Whether it is on this machine."""

    def size(self) -> int | None:
        """Bytes to download; None if no source states it."""

    def fetch(self) -> None:
        """Download it. Raises `BenchError` if that fails."""


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
class TokenizerFiles:
    """The tokenizer of a CLIP backbone, if it comes from the hub."""

    backbone: str
    repository: str

    @property
    def title(self) -> str:
        return f"tokenizer of {self.backbone}"

    @property
    def where(self) -> str:
        return self.repository

    @property
    def here(self) -> bool:
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(self.repository, "tokenizer_config.json"), str)

    def size(self) -> int | None:
        from bench.backbones.hub_files import TOKENIZER_FILES, HubRepository

        return HubRepository(self.repository, "main").size(TOKENIZER_FILES)

    def fetch(self) -> None:
        from bench.backbones._load import tokenizer_for

        tokenizer_for(self.backbone)


@dataclass(frozen=True)
class PyiqaFile:
    """One file that pyiqa downloads for one of its networks."""

    attempt: Attempt
    make: Callable[[], object]
    """Builds the network, which makes pyiqa download all missing files."""

    @property
    def title(self) -> str:
        lacks = self.attempt
        return lacks.repository or unquote(lacks.url.rpartition("/")[2])

    @property
    def where(self) -> str:
        return self.attempt.url

    @property
    def here(self) -> bool:
        return self.attempt.path.exists()

    def size(self) -> int | None:
        import httpx

        with suppress(httpx.HTTPError, httpx.InvalidURL):
            found = httpx.head(self.where, follow_redirects=True, timeout=10)
            length = found.headers.get("content-length", "")
            return int(length) if found.is_success and length.isdigit() else None
        return None

    def fetch(self) -> None:
        if not self.here:
            self.make()


@dataclass(frozen=True)
class ModelWeights:
    """A whole repository of the hub, named REPOSITORY@REVISION."""

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


def _backbone(name: str) -> list[Weights]:
    from bench.backbones.hub_files import tokenizer_repository

    tokenizer = tokenizer_repository(name)
    found: list[Weights] = [BackboneWeights(name)]
    return [*found, TokenizerFiles(name, tokenizer)] if tokenizer else found


def _metric(name: str) -> list[Weights]:
    from bench import pyiqa_library as library

    make = partial(library.full_reference if name in REQUIREMENTS else library.create_on_cpu, name)
    return [PyiqaFile(attempt, make) for attempt in library.missing_weights(name)]


def _network(name: str) -> list[Weights]:
    """'CLASS {OPTIONS}', as `Method.downloads` has it."""
    from bench import pyiqa_library as library

    kind, _, options = name.partition(" ")
    settings = json.loads(options or "{}")
    make = partial(library.architecture, kind, True, **settings)
    return [
        PyiqaFile(attempt, make) for attempt in library.missing_imagenet_weights(kind, **settings)
    ]


def _model(name: str) -> list[Weights]:
    return [ModelWeights(name)]


KINDS: Mapping[str, Callable[[str], list[Weights]]] = {
    BACKBONE: _backbone,
    PYIQA: _metric,
    NETWORK: _network,
    HUB: _model,
}


def weights_of(
    variants: Iterable[Variant], cells: Iterable[CellNeeds] = ()
) -> dict[str, tuple[Weights, list[str]]]:
    """The weights that rows download by themselves, by title, with the rows that need them.

    `cells` name the databases whose labels a metric gives (`tid2013@lpips`); it needs weights too.
    """
    wanted: dict[str, list[str]] = {}
    for variant in variants:
        every = [variant, *(variant.on(name) for name in variant.settings_for)]
        for text in dict.fromkeys(text for one in every for text in one.build().downloads()):
            wanted.setdefault(text, []).append(variant.title)
    for cell in cells:
        for metric in {need.spec.partition("@")[2] for need in cell.needs} & REQUIREMENTS.keys():
            wanted.setdefault(f"{PYIQA}:{metric}", []).append(cell.variant.title)
    found: dict[str, tuple[Weights, list[str]]] = {}
    for text, titles in wanted.items():
        kind, _, name = text.partition(":")
        for item in KINDS[kind](name):
            rows = found.setdefault(item.title, (item, []))[1]
            rows += [title for title in dict.fromkeys(titles) if title not in rows]
    return found
