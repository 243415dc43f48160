"""The generated pages of the site: command line, settings of methods, API."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main
from typer.cli import get_docs_for_click

from bench import registry
from bench.cli import app
from tools.protocol_page import fields
from tools.site import names

ROOT = Path(__file__).resolve().parents[2]
FROM_ROOT: Mapping[str, str] = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "bench/backbones/tiny/README.md": "tiny.md",
}
"""Files outside `docs/` that are pages of the site too, and where they stand there."""
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def generated() -> dict[str, str]:
    """Path in the site -> Markdown of every page that no file in `docs/` holds."""
    return {
        "reference/command_line.md": command_line(),
        "reference/methods.md": method_settings(),
        **{f"reference/{module.rpartition('.')[2]}.md": api(module) for module in names.MODULES},
        **{page: _moved(source, page) for source, page in FROM_ROOT.items()},
    }


def command_line() -> str:
    """Every command with its arguments and options, as typer writes them."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="bench")
    return get_docs_for_click(obj=command, ctx=context, name="bench", title="Command line")


def method_settings() -> str:
    """The settings of every method of the project, from their classes."""
    parts = [
        "# Settings of methods",
        "`--set METHOD.KEY=VALUE`, or `settings` in a [protocol](../protocols.md). "
        "`bench describe METHOD` prints the same.",
        *(_method(entry) for entry in registry.entries().values() if not entry.stands_for),
    ]
    return "\n\n".join(parts) + "\n"


def api(module: str) -> str:
    """The page of a module: its docstring, then each public name."""
    parts = [
        f"# {module}",
        _shown(module, "members: false", "show_root_heading: false"),
        *(_shown(f"{module}.{name}", "heading_level: 2") for name in names.public(module)),
    ]
    return "\n\n".join(parts) + "\n"


def outwards(text: str, page: str) -> str:
    """A page of `docs/` whose links to files of `FROM_ROOT` lead to their pages."""
    here = (ROOT / "docs" / page).parent

    def led(found: re.Match[str]) -> str:
        target = (here / found[1]).resolve()
        known = FROM_ROOT.get(target.relative_to(ROOT).as_posix()) if _inside(target) else None
        if known is None:
            return found[0]
        return "../" * page.count("/") + known + (found[2] or "")

    return _LINK.sub(led, text)


def _method(entry: registry.RegisteredMethod) -> str:
    cls = registry.load(entry.name)
    name = f"{entry.name}:{(cls.argument or 'name').upper()}" if entry.argument else entry.name
    text = re.sub(r"^(\s*)>>>", r"\1    >>>", inspect.cleandoc(cls.__doc__ or ""))
    table = fields(cls.Settings) if cls.Settings.model_fields else "No settings."
    return f"## {name}\n\n{text}\n\n{table}"


def _shown(what: str, *options: str) -> str:
    return "\n".join([f"::: {what}", "    options:", *(f"      {line}" for line in options)])


def _moved(source: str, page: str) -> str:
    """A file of the repository as a page of the site, its links following it."""
    text = (ROOT / source).read_text(encoding="utf-8")

    def led(found: re.Match[str]) -> str:
        target = ((ROOT / source).parent / found[1]).resolve().relative_to(ROOT).as_posix()
        return FROM_ROOT.get(target, target.removeprefix("docs/")) + (found[2] or "")

    return _LINK.sub(led, text)


def _inside(path: Path) -> bool:
    return path.is_relative_to(ROOT)


def undescribed_options() -> Iterator[str]:
    """Commands and options that their own help says nothing about."""
    todo: list[tuple[str, Any]] = [("bench", typer.main.get_command(app))]
    while todo:
        name, command = todo.pop()
        if not command.help:
            yield name
        for parameter in command.params:
            if not getattr(parameter, "help", "") and not getattr(parameter, "hidden", False):
                yield f"{name} {parameter.opts[0]}"
        inside = getattr(command, "commands", {})
        todo += [(f"{name} {key}", inner) for key, inner in inside.items()]
