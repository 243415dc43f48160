"""What rows need of a machine: said by the protocol, else by the method."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import protocol as protocols
from bench.model.resources import Resources
from bench.protocol.variants import choose
from bench.util.errors import UsageError

ROWS = """
datasets: [livec]
methods:
  - {method: ridge, set: {backbone: tiny}, needs: {vram: 12G, cpus: 4}}
  - {method: label_mean, needs: {cpus: 2}}
  - {method: random, needs: {device: cuda}}
  - label_mean_of
"""


def write(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_row_says_what_it_needs_over_what_its_method_says(tmp_path: Path) -> None:
    loaded = protocols.load(write(tmp_path, ROWS.replace("label_mean_of", "constant")))
    found = {row.title: row.needs for row in choose(loaded, (), {})}
    assert found == {
        "ridge": Resources(vram=12, cpus=4),
        "label_mean": Resources(device="cpu", cpus=2),
        "random": Resources(device="cuda"),
        "constant": Resources(device="cpu"),
    }


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ("{vram: 12}", None),
        ("{vram: much}", "'much' is not an amount of memory; expected e.g. 12G or 512M"),
        ("{vram: -1}", "vram"),
        ("{cpus: 0}", "cpus"),
        ("{device: tpu}", "device"),
        ("{gpus: 1}", "cpus"),
        ("{slurm: constraint=a}", "slurm"),
    ],
)
def test_needs_are_checked(needs: str, message: str | None, tmp_path: Path) -> None:
    text = f"datasets: [livec]\nmethods: [{{method: ridge, needs: {needs}}}]\n"
    path = write(tmp_path, text)
    if message is None:
        assert protocols.load(path).methods[0].needs.vram == 12
        return
    with pytest.raises(UsageError, match=message):
        protocols.load(path)
