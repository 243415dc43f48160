"""The pages that `make docs` generates, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import griffe
import pytest
import yaml

from bench import registry
from tests.docs.test_docs import ROOT
from tools.site import doctests, hooks, names, pages


@pytest.fixture
def project_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods of the project alone, as `make docs` sees them."""
    monkeypatch.delenv(registry.OWN_FOLDERS)
    registry.entries.cache_clear()


@pytest.mark.parametrize("module", names.MODULES)
def test_every_public_name_is_documented(module: str) -> None:
    assert names.undocumented(module) == []


def test_what_says_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '''"""A module."""
__all__ = ["Base", "Child", "said", "silent"]
said = 1
"""One."""
silent = 2


class Base:
    """Documented."""

    field: int
    """Documented."""
    bare: int

    def method(self):
        pass

    def _private(self):
        pass


class Child(Base):
    """Documented."""

    field = 3
'''
    (tmp_path / "own.py").write_text(text)
    loader = griffe.GriffeLoader(search_paths=[tmp_path])
    loader.load("own")
    monkeypatch.setattr(names, "_loaded", lambda module: loader.modules_collection[module])
    assert names.undocumented("own") == ["own.Base.bare", "own.Base.method", "own.silent"]
    (tmp_path / "own.py").write_text('"""No list of public names."""\n')
    loader.load("own")
    with pytest.raises(ValueError, match="no __all__"):
        names.public("own")


def test_every_command_and_option_says_what_it_is() -> None:
    assert list(pages.undescribed_options()) == []
    page = pages.command_line()
    for command in ("run", "data get", "baseline save"):
        assert f"## `bench {command}`" in page
    assert "`--repeats" in page


@pytest.mark.usefixtures("project_methods")
def test_every_method_shows_its_settings() -> None:
    page = pages.method_settings()
    for name, entry in registry.entries().items():
        if not entry.stands_for:
            cls = registry.load(name)
            section = page.partition(f"\n## {name}")[2].partition("\n## ")[0]
            assert all(f"`{key}`" in section for key in cls.Settings.model_fields), name


def test_the_navigation_names_every_generated_page_and_only_pages_that_are() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"([\w/]+\.md)$", text, re.MULTILINE))
    references = {f"reference/{module.rpartition('.')[2]}.md" for module in names.MODULES}
    made = {"reference/command_line.md", "reference/methods.md", *references}
    made |= set(pages.FROM_ROOT.values())
    assert made <= named
    assert named - made == {path.name for path in (ROOT / "docs").glob("*.md")}
    assert yaml.safe_load(text)["strict"] is True


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("demo.md", "[card](../bench/backbones/tiny/README.md)", "[card](tiny.md)"),
        ("reference/x.md", "[c](../../CHANGELOG.md#a)", "[c](../changelog.md#a)"),
        ("demo.md", "[other](real.md#top)", "[other](real.md#top)"),
        ("demo.md", "[web](https://example.org/CHANGELOG.md)", None),
    ],
)
def test_links_out_of_the_folder_lead_to_the_same_text(
    page: str, text: str, expected: str | None
) -> None:
    assert pages.outwards(text, page) == (expected or text)


def test_doctests_are_code() -> None:
    shown = doctests.fenced("Adds.\n\n>>> 1 + 1\n2\n\nMore.")
    assert shown == "Adds.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore."


def test_what_a_page_would_load_from_elsewhere_is_found() -> None:
    html = (
        '<a href="https://example.org">text</a><script src="own.js"></script>'
        '<script src="https://cdn.example/x.js"></script><img src="//cdn.example/y.png">'
        '<link rel="stylesheet" href="http://cdn.example/z.css">'
    )
    found = hooks.loaded_from_elsewhere(html)
    assert [address.rpartition("/")[2] for address in found] == ["x.js", "y.png", "z.css"]
