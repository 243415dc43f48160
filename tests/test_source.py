"""A method's digest is that of its code: all of it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import registry, source

BASE = '''
"""A method."""
from bench.api import Method

SCALE = 2


class Own(Method):
    """Brighter is better."""

    name = "own_method"

    def predict(self, images):
        return [SCALE * image.mean() for image in images]
'''


def digest_of(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / "own_method.py").write_text(text)
    monkeypatch.setenv(registry.OWN_FOLDERS, str(folder))
    registry.entries.cache_clear()
    source.digest.cache_clear()
    return source.digest("own_method")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("SCALE = 2", "SCALE = 2  # twice", True),
        ("SCALE = 2", "SCALE = (\n    2\n)", True),
        ('"""Brighter is better."""', '"""Something else."""', True),
        ("SCALE = 2", 'SCALE = 2\n"""How much."""', True),
        ("SCALE = 2", "SCALE = 3", False),
        ("image.mean()", "image.max()", False),
        ("SCALE = 2", "SCALE = 2\nUNUSED = 1", False),
    ],
)
def test_code_counts_and_its_looks_do_not(
    old: str, new: str, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest_of(BASE, tmp_path, monkeypatch)
    assert old in BASE
    assert (digest_of(BASE.replace(old, new), tmp_path, monkeypatch) == before) is same


def test_what_a_method_imports_from_methods_is_its_code_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = BASE.replace("SCALE = 2", "from bench.methods.kit.seeding import seeded\nSCALE = 2")
    digest_of(text, tmp_path, monkeypatch)
    found = source.modules("own_method")
    assert "bench.methods.kit.seeding" in found
    assert {name for name in found if not name.startswith("bench.methods")} == {
        "iqa_bench_own_own_method"
    }


def test_a_package_counts_whole_and_other_methods_do_not() -> None:
    found = source.modules("grmp")
    names = {f"bench.methods.grmp.{module}" for module in ("method", "qgr", "engine")}
    assert names <= set(found)
    others = ("bench.methods.promptiqa", "bench.methods.mpiqe")
    assert not any(name.startswith(others) for name in found)


def test_a_name_with_an_argument_has_the_code_of_its_method() -> None:
    assert source.digest("pyiqa:piqe") == source.digest("pyiqa")


def test_slow_libraries_are_known_before_they_are_needed() -> None:
    assert "torch" in source.heavy_imports("grmp")
    assert "torch" not in source.heavy_imports("constant")
