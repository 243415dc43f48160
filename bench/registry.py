"""Finds methods without importing those that are not used.

Methods are files in `methods/`, files in the folders in `IQA_BENCH_METHODS`, and entry points of
installed packages.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bench.util.errors import BenchError, unknown
from bench.util.listing import listed

if TYPE_CHECKING:
    from bench.api import Method, Settings

ENTRY_POINTS = "iqa_bench.methods"
METHODS_FOLDER = Path(__file__).parent / "methods"
"""A link in a clone, whose folder of methods stands at the top; a folder in a wheel."""
OWN_FOLDERS = "IQA_BENCH_METHODS"


@dataclass(frozen=True)
class RegisteredMethod:
    """A method that can be loaded, described from its source without importing it."""

    name: str
    summary: str
    """First line of the class docstring; empty for an entry point, which is not imported."""
    module: str
    attribute: str
    argument: bool = False
    """Whether it is written NAME:ARGUMENT."""
    source: Path | None = None
    """Its file, if the method is outside the project."""
    stands_for: str | None = None
    """NAME:ARGUMENT, if this is a short name for it."""


@cache
def entries() -> dict[str, RegisteredMethod]:
    """All methods by name. Raises `BenchError` if two methods have the same name.

    A method's own name takes precedence over a short name; the latter's method is still available
    under its full name, such as `pyiqa:NAME`.
    """
    found: dict[str, RegisteredMethod] = {}
    everything = [*_ours(), *_own(), *_installed()]
    for entry in sorted(everything, key=lambda entry: entry.stands_for is not None):
        if entry.name in found:
            if entry.stands_for and not found[entry.name].stands_for:
                continue
            first = found[entry.name].module
            raise BenchError(f"two methods are called '{entry.name}': {first} and {entry.module}")
        found[entry.name] = entry
    return dict(sorted(found.items()))


def load(name: str) -> type[Method]:
    """Import the method class called `name` (without argument)."""
    if name not in entries():
        raise unknown("method", name, entries())
    entry = entries()[name]
    loaded: type[Method] = getattr(_module(entry), entry.attribute)
    return loaded


def full_name(text: str) -> str:
    """The full name for a short name (`piqe` -> `pyiqa:piqe`); other texts are unchanged."""
    entry = entries().get(text)
    return entry.stands_for or text if entry else text


def split_name(text: str) -> tuple[str, str | None]:
    """`pyiqa:piqe` -> ('pyiqa', 'piqe'); a name without colon has no argument."""
    name, colon, argument = text.partition(":")
    return name, argument if colon else None


def settings_for(text: str, given: dict[str, Any]) -> tuple[type[Method], Settings]:
    """The class and validated settings of `NAME` or `NAME:ARGUMENT` with `given` settings.

    Raises `UsageError` for an unknown method, an argument it does not take, or a bad setting.
    """
    from bench.util.errors import UsageError

    name, argument = split_name(full_name(text))
    cls = load(name)
    if argument is not None and cls.argument is None:
        raise UsageError(f"method '{name}' takes no ':{argument}'")
    if argument is None and cls.argument is not None and cls.argument not in given:
        raise UsageError(f"method '{name}' needs an argument, as in '{name}:NAME'")
    values = dict(given)
    if argument is not None and cls.argument is not None:
        values[cls.argument] = argument
    return cls, validated(cls, values)


def validated(cls: type[Method], values: dict[str, Any]) -> Settings:
    """Validated settings. The `UsageError` names each wrong key and a similar one that exists."""
    from bench.util import validation

    return validation.validated(cls.Settings, values, owner=cls.name)


def setting_names(cls: type[Method]) -> list[str]:
    """Names by which a setting can be given, aliases included (`lambda` is a Python keyword)."""
    fields = cls.Settings.model_fields
    return [*fields, *(field.alias for field in fields.values() if field.alias)]


def _module(entry: RegisteredMethod) -> ModuleType:
    if entry.source is None or entry.module in sys.modules:
        return importlib.import_module(entry.module)
    spec = importlib.util.spec_from_file_location(entry.module, entry.source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[entry.module] = module
    spec.loader.exec_module(module)
    return module


def _own() -> list[RegisteredMethod]:
    """The user's own methods, from the folders in `IQA_BENCH_METHODS`."""
    folders = [Path(part) for part in os.environ.get(OWN_FOLDERS, "").split(os.pathsep) if part]
    for folder in folders:
        if not folder.is_dir():
            raise BenchError(f"{OWN_FOLDERS}: '{folder}' is not a folder")
    return [
        replace(entry, module=f"iqa_bench_own_{path.stem}", source=path)
        for folder in folders
        for path in listed(folder, "*.py")
        for entry in _in_file(path, folder)
    ]


def _ours() -> list[RegisteredMethod]:
    patterns = ("*.py", "*/__init__.py", "*/method.py")
    files = sorted(path for pattern in patterns for path in listed(METHODS_FOLDER, pattern))
    return [
        replace(entry, module=f"bench.{entry.module}")
        for path in files
        for entry in _in_file(path, METHODS_FOLDER)
    ]


def _in_file(path: Path, folder: Path) -> list[RegisteredMethod]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BenchError(f"method file '{path.name}' cannot be read: {error}") from error
    parts = path.relative_to(folder.parent).with_suffix("").parts
    module = ".".join(part for part in parts if part != "__init__")
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.bases)
    return [entry for node in classes for entry in _of_class(node, module)]


def _of_class(node: ast.ClassDef, module: str) -> list[RegisteredMethod]:
    """A method class and its short names; [] for another class."""
    literals = dict(_literals(node))
    name = literals.get("name")
    if not isinstance(name, str):
        return []
    summary = (ast.get_docstring(node) or "").partition("\n")[0]
    method = RegisteredMethod(name, summary, module, node.name, bool(literals.get("argument")))
    short = literals.get("short_names", {})
    assert isinstance(short, dict)
    return [
        method,
        *(
            replace(method, name=key, summary=line, argument=False, stands_for=f"{name}:{key}")
            for key, line in short.items()
        ),
    ]


def _literals(node: ast.ClassDef) -> list[tuple[str, object]]:
    """What the class body sets to constants or dictionaries of them."""
    pairs: list[tuple[str, object]] = []
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign | ast.Assign):
            continue
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else statement.targets
        if isinstance(targets[0], ast.Name) and isinstance(
            statement.value, ast.Constant | ast.Dict
        ):
            with contextlib.suppress(ValueError):
                pairs.append((targets[0].id, ast.literal_eval(statement.value)))
    return pairs


def _installed() -> list[RegisteredMethod]:
    return [
        RegisteredMethod(point.name, f"from {point.module}", point.module, point.attr)
        for point in metadata.entry_points(group=ENTRY_POINTS)
    ]
