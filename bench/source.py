"""A method's own source: which modules it consists of, their digest, and what they import.

The digest is of syntax trees, so that comments, docstrings and formatting do not count: a method
whose code changed is another method, and its runs have other names. Whole modules count,
transitively within `bench.methods` and within an installed method's own package. Libraries and
the harness do not: a record names their versions.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from bench import registry

DIGITS = 16
HEAVY = ("torch", "open_clip", "timm", "pyiqa", "sklearn", "safetensors")
"""Third-party modules that take long to import."""
_OURS = {"bench.methods": registry.METHODS_FOLDER.parents[1]}
"""Package -> the folder that dotted names of its modules start from."""


@cache
def digest(name: str) -> str:
    """Hexadecimal digest of the code of the method called `name` (without argument).

    Of an installed distribution its version counts too. Raises `BenchError` for an unknown method.
    """
    return _digest(modules(name), _version(name))


@cache
def code_of(module: str, method: str) -> str:
    """The digest of a module of `bench.methods` and its imports; of others, the method's own."""
    path = _file(module, _OURS)
    return digest(method) if path is None else _digest(_reached(module, path, _OURS), "")


def _digest(found: Mapping[str, Path], version: str) -> str:
    digest = hashlib.sha256()
    for module, path in sorted(found.items()):
        digest.update(f"{module}\0{_normalised(_text(path))}\0".encode())
    digest.update(version.encode())
    return digest.hexdigest()[:DIGITS]


def modules(name: str) -> dict[str, Path]:
    """Dotted name -> file of every module that a method's code consists of."""
    entry = registry.entries()[registry.split_name(registry.full_name(name))[0]]
    folders = {**_OURS, **_installed(entry)}
    return _reached(entry.module, entry.source or _file(entry.module, folders), folders)


def _reached(start: str, file: Path | None, folders: dict[str, Path]) -> dict[str, Path]:
    """A module and, transitively, what it imports of the folders' packages."""
    found: dict[str, Path] = {}
    todo = [(start, file)]
    while todo:
        module, path = todo.pop()
        if path is None or module in found:
            continue
        found[module] = path
        # A package's own `__init__` runs before any module of it.
        wanted = [*_imported(path, module), *([module.rpartition(".")[0]] if "." in module else [])]
        todo += [(name, _file(name, folders)) for name in wanted]
    return found


def heavy_imports(name: str) -> list[str]:
    """The slow third-party modules that a method's code, or the backbones it uses, imports."""
    wanted: set[str] = set()
    for module, path in modules(name).items():
        for target in _imported(path, module):
            wanted.add(target.partition(".")[0])
            if target.startswith("bench.backbones"):
                wanted |= {"torch", "open_clip", "safetensors"}
            if target.startswith("bench.pyiqa_library"):
                wanted |= {"torch", "pyiqa"}
    return [module for module in HEAVY if module in wanted]


def _installed(entry: registry.RegisteredMethod) -> dict[str, Path]:
    """The top-level package of an installed method, and the folder that holds it."""
    top = entry.module.partition(".")[0]
    if entry.source is not None or top == "bench":
        return {}
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return {}
    origin = Path(spec.origin)
    return {top: origin.parents[1] if spec.submodule_search_locations else origin.parent}


def _file(module: str, folders: dict[str, Path]) -> Path | None:
    """The file of a module, None for what is not the method's own code."""
    folder = next((at for name, at in folders.items() if _inside(module, name)), None)
    if folder is None:
        return None
    base = folder.joinpath(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _inside(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _imported(path: Path, module: str) -> Iterator[str]:
    """Every module that a file imports anywhere; `from a import b` may mean the module a.b."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for base, level, names in _imports(_text(path)):
        if level:
            parts = package.split(".")[: len(package.split(".")) - level + 1]
            base = ".".join([*parts, *([base] if base else [])])
        yield base
        yield from (f"{base}.{name}" for name in names)


def _blocks(tree: ast.Module) -> Iterator[ast.AST]:
    """A tree and every statement and branch in it, without going through expressions."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, name, ())
            todo += inner if isinstance(inner, list) else ()


# By text, not by path: methods share most of their files, and parsing them is most of a digest.
@cache
def _imports(text: str) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """The imports of a source: module, leading dots, and what is taken of the module."""
    found: list[tuple[str, int, tuple[str, ...]]] = []
    for node in _blocks(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(alias.name, 0, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.level, tuple(one.name for one in node.names)))
    return tuple(found)


@cache
def _normalised(text: str) -> str:
    """The syntax of a source without comments, docstrings and formatting."""
    tree = ast.parse(text)
    for node in _blocks(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A string that stands alone documents what is before it, and does nothing.
            rest = [item for item in body if not _is_text(item)]
            node.body = rest or [ast.Pass()]  # type: ignore[attr-defined]
    # Not `ast.dump`, whose text differs between versions of Python.
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _version(name: str) -> str:
    """NAME-VERSION of the distribution that an installed method comes from, '' for a file."""
    method = registry.split_name(registry.full_name(name))[0]
    for point in metadata.entry_points(group=registry.ENTRY_POINTS):
        if point.name == method and point.dist is not None:
            return f"{point.dist.name}-{point.dist.version}"
    return ""
