"""Which methods a command runs, with which settings: protocol rows, `--methods` and `--set`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bench import registry
from bench.model.mixtures import given_for
from bench.model.records import JOINT
from bench.model.resources import Resources
from bench.protocol import MethodEntry, Protocol, override
from bench.util.errors import DataError, UsageError, hint, unknown

if TYPE_CHECKING:
    from bench.api import Context, Method, Settings


@dataclass(frozen=True)
class Variant:
    """A method with its settings: one row of a table."""

    title: str
    method: str
    """Full name, argument included."""
    cls: type[Method]
    settings: Settings
    needs: Resources = field(default_factory=Resources)
    """What its runs need of a machine."""
    settings_for: Mapping[str, Settings] = field(default_factory=dict)
    """Other settings for some training datasets, by NAME, NAME@VERSION or, for databases that are
    learnt from together, by their names joined by '+' in any order."""

    def on(self, dataset: str) -> Variant:
        """The row with its settings for a training dataset, or for several joined by '+'."""
        own = given_for(self.settings_for, dataset) or given_for(self.settings_for, _base(dataset))
        return self if own is None else replace(self, settings=own, settings_for={})

    @property
    def raw(self) -> dict[str, Any]:
        """Settings as plain JSON, to build the method again elsewhere (paths included)."""
        return self.settings.model_dump(mode="json", by_alias=False)

    def build(self, context: Context | None = None) -> Method:
        """An instance of the method. Cheap: weights are loaded when they are first used."""
        from bench.api import Context

        return self.cls(self.settings, context or Context())

    def identity(self) -> dict[str, Any]:
        """Settings for a run's identity: files by content; the backbone is part of `weights`."""
        values = self.raw
        # Two names may stand for the same weights; the digest of the weights counts.
        values.pop("backbone", None)
        for name in type(self.settings).model_fields:
            value = getattr(self.settings, name)
            if isinstance(value, Path):
                values[name] = f"sha256:{file_digest(value)}"
        return values

    def weights(self) -> dict[str, str]:
        """Name and digest of the backbone's weights; {} without a backbone.

        Raises `DataError` if their file is missing, `UsageError` for an unknown name.
        """
        name = getattr(self.settings, "backbone", None)
        if not name:
            return {}
        from bench import backbones

        try:
            return backbones.identity(name)
        except backbones.BackboneError as error:
            raise DataError(f"{self.title}: {error}") from error
        except (ValueError, OSError) as error:
            raise UsageError(f"{self.title}: {error}") from error


@cache
def _digest_of(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read once per process. Raises `UsageError` if it cannot be read."""
    try:
        state = path.stat()
        return _digest_of(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from None


def parse_value(text: str) -> Any:
    """The value in `--set key=value`, read as YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"'{text}' is not a value: {error}") from error


def parse_assignments(pairs: Sequence[str]) -> dict[str, Any]:
    """The values in texts `key=value` of `--set`. Raises `UsageError` for a text without '='."""
    values = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {pair}: expected key=value")
        values[key.strip()] = parse_value(text)
    return values


def apply_assignments(
    protocol: Protocol, assignments: Mapping[str, Any]
) -> tuple[Protocol, dict[str, Any]]:
    """The protocol with those assignments that are its own fields, and the remaining ones."""
    own = set(Protocol.model_fields) - {"name", "methods", "settings", "datasets"}
    changes = {key: value for key, value in assignments.items() if key in own}
    settings = {key: value for key, value in assignments.items() if key not in own}
    return (override(protocol, changes) if changes else protocol), settings


def choose(
    protocol: Protocol, methods: Sequence[str], settings: Mapping[str, Any]
) -> list[Variant]:
    """The rows to run. `methods` names protocol rows (method or label) or any other method.

    `settings` are those of `--set`: `key` for every method that has it, `METHOD.key` for one.
    Raises `UsageError` for a setting that none of the methods has.
    """
    entries = _entries(protocol, methods)
    if not entries:
        raise UsageError(f"protocol '{protocol.name}' names no methods; give --methods")
    known = {entry.method: registry.load(registry.split_name(entry.method)[0]) for entry in entries}
    # A protocol may carry settings for rows that --methods leaves out; --set may not.
    _refuse_unused(settings, known, "--set ")
    if not methods:
        for dataset, own in protocol.set_for.items():
            _refuse_unused(own, known, f"set_for.{dataset}.")
    return [_variant(entry, known[entry.method], protocol, settings) for entry in entries]


def _entries(protocol: Protocol, names: Sequence[str]) -> list[MethodEntry]:
    if not names:
        return list(protocol.methods)
    chosen: list[MethodEntry] = []
    for name in names:
        full = registry.full_name(name)
        rows = [
            entry
            for entry in protocol.methods
            if name == entry.title or full == registry.full_name(entry.method)
        ]
        if not rows and registry.split_name(name)[0] not in registry.entries():
            titles = [entry.title for entry in protocol.methods]
            raise unknown("method", name, [*registry.entries(), *titles])
        chosen.extend(row for row in rows or [MethodEntry(method=name)] if row not in chosen)
    return chosen


def _variant(
    entry: MethodEntry, cls: type[Method], protocol: Protocol, settings: Mapping[str, Any]
) -> Variant:
    def validated(dataset: str | None) -> Settings:
        shared = [protocol.settings, *_given_for(protocol.set_for, dataset), settings]
        merged = {key: value for one in shared for key, value in one.items()}
        given = {key: value for key, value in merged.items() if key in fields}
        # A row's own settings define the row; only one addressed to the method overrides them.
        for one in (entry.set, *_given_for(entry.set_for, dataset)):
            given.update(one)
        for key, value in merged.items():
            owner, dot, name = key.rpartition(".")
            if dot and owner in (cls.name, entry.method):
                given[name] = value
        return registry.settings_for(entry.method, given)[1]

    fields = registry.setting_names(cls)
    return Variant(
        entry.title,
        registry.full_name(entry.method),
        cls,
        validated(None),
        entry.needs.over(cls.resources),
        {dataset: validated(dataset) for dataset in {**protocol.set_for, **entry.set_for}},
    )


def _given_for(
    set_for: Mapping[str, Mapping[str, Any]], dataset: str | None
) -> list[Mapping[str, Any]]:
    """The settings for a dataset: first those for all of its versions, then those for this one."""
    names = [] if dataset is None else dict.fromkeys([_base(dataset), dataset])
    found = [given_for(set_for, name) for name in names]
    return [one for one in found if one is not None]


def _base(dataset: str) -> str:
    """Names without versions, of all databases that are learnt from together."""
    return JOINT.join(name.partition("@")[0] for name in dataset.split(JOINT))


def _refuse_unused(
    settings: Mapping[str, Any], known: Mapping[str, type[Method]], where: str
) -> None:
    everything: set[str] = set()
    for method, cls in known.items():
        names = registry.setting_names(cls)
        everything.update(names)
        everything.update(f"{owner}.{name}" for owner in (cls.name, method) for name in names)
    for key in settings:
        if key in everything:
            continue
        if key in Protocol.model_fields:
            raise UsageError(f"{where}{key}: a key of protocols, which --set does not change here")
        meant = hint(key, everything | set(Protocol.model_fields))
        raise UsageError(f"{where}{key}: none of the methods has this setting.{meant}")
