"""Rooms stand in layers: a room imports rooms below it, and no two rooms import each other."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    ("util",),
    ("metrics",),
    ("model", "stats"),
    ("api",),
    ("pyiqa_stand_ins",),
    ("backbones", "pyiqa_library", "registry"),
    ("source",),
    ("methods",),
    ("data",),
    ("protocol",),
    ("store",),
    ("runs", "analysis"),
    ("reports",),
    ("publishing",),
    ("cli",),
    ("__main__",),
)
"""From the ground up. Rooms of one layer do not import each other."""
FLOOR = {room: floor for floor, rooms in enumerate(LAYERS) for room in rooms}
FOR_METHODS = frozenset({"api", "backbones", "pyiqa_library", "methods"})
"""All that a method may import of the project."""


@dataclass(frozen=True)
class Import:
    """One import of a room by another, at FILE:LINE."""

    importer: str
    imported: str
    place: str


def room_of(module: str) -> str | None:
    """The room of a dotted module, None for what is not the project's."""
    head, *rest = module.split(".")
    if head == "bench":
        return rest[0] if rest else None
    return head if head in ("tools", "tests") else None


def imports_in(source: str, module: str, place: str) -> Iterator[Import]:
    """Imports of other rooms, lazy ones included, those under TYPE_CHECKING left out."""
    here = room_of(module)
    assert here is not None
    for node in _running(ast.parse(source)):
        for target in _targets(node, module):
            room = room_of(target)
            if room is not None and room != here:
                yield Import(here, room, f"{place}:{getattr(node, 'lineno', 0)}")


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _running(other)
            continue
        yield child
        yield from _running(child)


def _targets(node: ast.AST, module: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        base = ".".join([*module.split(".")[: -node.level], *([base] if base else [])])
    if base == "bench":  # `from bench import registry` names the room itself
        return [f"bench.{alias.name}" for alias in node.names]
    return [base]


def faults_of(found: list[Import]) -> list[str]:
    """Each import that climbs, crosses a layer, or makes two rooms import each other."""
    pairs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in found:
        pairs[item.importer, item.imported].append(item.place)
    faults = []
    for (importer, imported), places in sorted(pairs.items()):
        shown = ", ".join(places)
        unknown = {importer, imported} - FLOOR.keys()
        if unknown:
            faults.append(f"{shown}: room '{sorted(unknown)[0]}' has no layer")
        elif importer == "methods" and imported not in FOR_METHODS:
            faults.append(f"{shown}: a method imports '{imported}'")
        elif FLOOR[imported] >= FLOOR[importer]:
            faults.append(f"{shown}: '{importer}' imports '{imported}', which is not below it")
        if (imported, importer) in pairs and importer < imported:
            faults.append(f"'{importer}' and '{imported}' import each other")
    return faults


def all_imports() -> list[Import]:
    found = []
    for base in ("bench", "methods", "reports"):
        for path in sorted((ROOT / base).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            # Both are linked into `bench`, and imported from there.
            parts = parts if base == "bench" else ("bench", *parts)
            module = ".".join(part for part in parts if part != "__init__")
            # Relative imports of a package are from the package itself.
            dotted = module if parts[-1] != "__init__" else f"{module}.__init__"
            if room_of(module) is not None:
                place = path.relative_to(ROOT).as_posix()
                found += imports_in(path.read_text(encoding="utf-8"), dotted, place)
    return found


def test_rooms_stand_in_layers() -> None:
    faults = faults_of(all_imports())
    assert not faults, "\n" + "\n".join(faults)


def test_methods_import_no_other_method() -> None:
    faults = []
    for path in sorted((ROOT / "methods").rglob("*.py")):
        own = path.relative_to(ROOT / "methods").parts[0].removesuffix(".py")
        for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
            for target in _targets(node, "bench.methods"):
                package, _, rest = target.partition("bench.methods.")
                if not package and rest and rest.partition(".")[0] not in (own, "kit"):
                    faults.append(f"{path.relative_to(ROOT)}:{node.lineno} imports {target}")  # type: ignore[attr-defined]
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("from bench.runs.plan import Plan", "'store' imports 'runs'"),
        ("def f():\n    from bench.cli import main", "'store' imports 'cli'"),
        ("from bench import runs", "'store' imports 'runs'"),
        ("import bench.runs.plan", "'store' imports 'runs'"),
        ("from ..runs import plan", "'store' imports 'runs'"),
        ("import bench.attic", "room 'attic' has no layer"),
        ("from tests.conftest import Bench", "room 'tests' has no layer"),
    ],
)
def test_a_climb_is_found_and_placed(source: str, fault: str) -> None:
    found = list(imports_in(source, "bench.store.claims", "bench/store/claims.py"))
    (text,) = faults_of(found)
    assert fault in text
    assert text.startswith("bench/store/claims.py:")


def test_two_rooms_that_import_each_other_are_found() -> None:
    found = [Import("store", "data", "a.py:1"), Import("data", "store", "b.py:2")]
    assert any("'data' and 'store' import each other" in fault for fault in faults_of(found))


def test_imports_for_types_do_not_count() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bench.cli import main\n"
    assert not list(imports_in(source, "bench.store.claims", "x.py"))


def test_one_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for base in ("bench", "methods", "reports", "tools"):
        for path in sorted((ROOT / base).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                # A method's settings are called `Settings` inside its class; this is about modules.
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(path.relative_to(ROOT).as_posix())
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_a_module_fits_in_400_lines() -> None:
    sizes = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for base in ("bench", "methods", "reports", "tools")
        for path in (ROOT / base).rglob("*.py")
    }
    assert {name: size for name, size in sizes.items() if size > 400} == {}


def test_no_modules_of_a_room_import_each_other_in_a_circle() -> None:
    """Lazy imports count, those for types alone do not, nor does a package's own `__init__`."""
    arrows = _module_imports()
    circles = [sorted(found) for found in _circles(arrows) if len(found) > 1]
    assert not circles, "\n" + "\n".join(" <-> ".join(names) for names in circles)


def _module_imports() -> dict[str, set[str]]:
    files = {}
    for base in ("bench", "methods", "reports", "tools"):
        for path in (ROOT / base).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = ("bench", *parts) if base in ("methods", "reports") else parts
            files[".".join(part for part in parts if part != "__init__")] = path
    arrows: dict[str, set[str]] = {}
    for name, path in files.items():
        found = arrows.setdefault(name, set())
        for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names} & files.keys()
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    inside = f"{node.module}.{alias.name}"
                    found |= {inside if inside in files else node.module} & files.keys()
        # A package hands on what its modules define.
        found -= {name, *(name.rpartition(".")[0],)}
    return arrows


def _circles(arrows: dict[str, set[str]]) -> Iterator[set[str]]:
    """Sets of modules each of which reaches the others (strongly connected, by reachability)."""
    reached = {name: _reached(name, arrows) for name in arrows}
    seen: set[str] = set()
    for name in sorted(arrows):
        if name not in seen:
            circle = {other for other in reached[name] if name in reached[other]} | {name}
            seen |= circle
            yield circle


def _reached(start: str, arrows: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        new = arrows.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found
