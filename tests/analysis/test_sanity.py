"""Sanity rows: a sound table passes, and each way of being wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.analysis.results import load
from bench.analysis.sanity import broken
from bench.cli import commands
from tests.fake_results import FakeSweep

NOTHING = 1e6
"""Noise that leaves no correlation."""
SOUND = {"oracle:livec": 0.0, "random": NOTHING, "constant": 0.0, "label_mean": 0.0}


def results(folder: Path, spreads: dict[str, float], **settings: Any) -> FakeSweep:
    """A table of these rows on LIVEC, 40 test images: chance reaches 4 / sqrt(39) = 0.64."""
    known = {"dataset": "livec", "noise": 0.0, **settings}
    constant = frozenset({"constant", "label_mean"})
    made = FakeSweep(folder, spreads, datasets=("livec",), settings=known, constant=constant)
    made.write()
    return made


def found(made: FakeSweep) -> str:
    return "\n".join(broken(load(made.store).runs))


def test_a_sound_table_passes(tmp_path: Path) -> None:
    made = results(tmp_path / "r", {**SOUND, "good": 0.5})
    assert found(made) == ""
    assert commands.report(made.root, tmp_path / "out") == 0
    assert "Do not trust" not in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("spreads", "settings", "says"),
    [
        ({"random": 0.5}, {}, "random has SRCC 0.8"),
        ({"oracle:livec": 0.1}, {}, "oracle:livec has PLCC 0.99"),
        ({"oracle:livec": NOTHING, "random": 0.5}, {"noise": 1.0}, "random (SRCC 0.8"),
    ],
)
def test_what_stands_in_the_wrong_place_is_named(
    tmp_path: Path, spreads: dict[str, float], settings: dict[str, Any], says: str
) -> None:
    text = found(results(tmp_path, {**SOUND, **spreads}, **settings))
    assert says in text
    assert text.startswith("few_shot on livec, 10: ")


def test_a_constant_with_a_correlation_is_named(tmp_path: Path) -> None:
    made = FakeSweep(tmp_path, {"label_mean": NOTHING}, datasets=("livec",))
    made.write()
    assert "label_mean has SRCC" in found(made)
    assert "predicts one value for all images" in found(made)


def test_an_oracle_of_another_database_knows_nothing(tmp_path: Path) -> None:
    made = results(tmp_path, {"oracle:koniq10k": NOTHING}, dataset="koniq10k")
    assert found(made) == ""


def test_the_report_says_so_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = results(tmp_path / "r", {**SOUND, "random": 0.0})
    assert commands.report(made.root, tmp_path / "out") == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "do not trust: few_shot on livec, 10: random has SRCC 1.000, beyond chance" in printed
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Do not trust these numbers" in page
    assert "random has SRCC 1.000, beyond chance (±0.641)" in page
