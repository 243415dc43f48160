"""Every tool explains itself, and documents name tools that exist."""

from __future__ import annotations

import importlib.util
import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = sorted(
    ".".join(path.relative_to(ROOT / "tools").with_suffix("").parts)
    for path in (ROOT / "tools").rglob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)


def test_no_tool_is_overlooked() -> None:
    assert {"store_scale", "protocol_page", "tiny.train"} <= set(TOOLS)


@pytest.mark.parametrize("name", TOOLS)
def test_help_says_how_to_run_the_tool_and_does_nothing_else(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    # A fresh module: the one that other tests import keeps its name.
    monkeypatch.delitem(sys.modules, f"tools.{name}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"tools.{name}", run_name="__main__")
    usage, _, explanation = capsys.readouterr().out.partition("\n\n")
    assert ended.value.code == 0
    assert usage.startswith(f"usage: python -m tools.{name} ")
    assert f"python -m tools.{name}" in explanation


def test_documents_name_modules_that_exist() -> None:
    folders = ("bench", "docs", "methods", "reports", "tests", "tools")
    texts = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = [path for path in texts if path.suffix in (".md", ".py")] + list(ROOT.glob("*.md"))
    pattern = re.compile(r"python -m ((?:bench|methods|reports|tools|tests)[a-z_.]*[a-z_])")
    named = {
        (path.relative_to(ROOT).as_posix(), module)
        for path in texts
        for module in pattern.findall(path.read_text(encoding="utf-8"))
    }
    assert ("docs/results.md", "tools.store_scale") in named
    unknown = [item for item in sorted(named) if not _exists(item[1])]
    assert not unknown


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
