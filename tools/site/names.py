"""The public names of the library that has an API reference, and which of them say nothing."""

from __future__ import annotations

from collections.abc import Iterator

import griffe

MODULES = ("bench.api", "bench.metrics", "bench.stats")
"""Modules with a page of their own; their `__all__` is what the page shows."""


def public(module: str) -> list[str]:
    """The names in a module's `__all__`. Raises `ValueError` for one without."""
    exported = _loaded(module).exports
    if not exported:
        raise ValueError(f"{module} has no __all__, which says what its page shows")
    return sorted(str(name) for name in exported)


def undocumented(module: str) -> list[str]:
    """Dotted public names of a module, and of what is public in its classes, without a docstring.

    A setting's or constant's docstring is the text below it; what a base class of the project
    declares is documented there.
    """
    found = _loaded(module)
    faults = [] if found.has_docstring else [module]
    for name in public(module):
        faults += _faults(f"{module}.{name}", found[name])
    return faults


def _faults(name: str, item: griffe.Object | griffe.Alias) -> Iterator[str]:
    item = item.final_target if isinstance(item, griffe.Alias) else item
    if not item.has_docstring:
        yield name
    if isinstance(item, griffe.Class):
        for key, member in item.members.items():
            if key.startswith("_") or not member.is_public or _generated(member):
                continue
            if not any(key in base.members for base in item.mro()):
                yield from _faults(f"{name}.{key}", member)


def _generated(member: griffe.Object | griffe.Alias) -> bool:
    """Whether nobody wrote it to be read: pydantic's configuration, a nested import."""
    return member.name == "model_config" or (member.is_alias and not member.is_class)


def _loaded(module: str) -> griffe.Object | griffe.Alias:
    loader = _LOADED.setdefault("bench", griffe.GriffeLoader())
    if "bench" not in loader.modules_collection:
        loader.load("bench", submodules=True)
        loader.resolve_aliases(implicit=False, external=False)
    return loader.modules_collection[module]


_LOADED: dict[str, griffe.GriffeLoader] = {}
