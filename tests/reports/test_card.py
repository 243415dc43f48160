"""A method's card says what its records say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bench.model.audits import Audit, Property
from bench.model.costs import Cost
from bench.store import Store
from tests.conftest import run_cli
from tests.fake_results import EVIL, maker, task

VALUES = [0.70, 0.75, 0.72, 0.74, 0.71, 0.73]


def card(method: str, store: Store) -> str:
    ended = run_cli("card", method, store.root)
    assert ended.returncode == 0, ended.text
    return ended.stdout


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """First cell -> the others, of the table under a heading."""
    part = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]
    return {first: rest for first, *rest in cells}


def test_a_card_holds_settings_data_results_and_cost(tmp_path: Path) -> None:
    made = maker(tmp_path, name="few_shot", title="Few-shot", metrics=("srcc",))
    for labels, gain in ((50, 0.0), (100, 0.05)):
        made.cell(
            "Mine",
            task("livec", labels),
            [value + gain for value in VALUES],
            method="mine",
            settings={"lr": 0.01, "epochs": 20 if labels == 50 else 40},
            weights={"name": "ViT-B-16:openai", "digest": "sha256:5f"},
            trained_on=["koniq10k#official", "spaq"],
        )
    made.cell("Other", task("livec", 50), [0.9] * 6, method="other", settings={"secret": "s"})
    store = made.save()
    fit = next(r.spec.fit for r in store.records() if r.spec.method == "mine")
    about = {"method": "mine", "settings": fit.settings, "code": fit.code, "device": "cpu"}
    Cost(**about, hardware="a CPU", parameters=86_192_640, milliseconds=12.5).write(tmp_path)
    text = card("Mine", store)
    assert text == card("mine", store)  # by the method's name, too
    assert rows(text, "Settings")["epochs"] == ["20; 40"]
    assert rows(text, "Settings")["lr"] == ["0.01"]
    assert "secret" not in text
    found = rows(text, "Results")["livec"]
    assert found[0] == "100"  # the last of the two rows on this dataset
    middle = np.median(VALUES)
    assert f"| livec | 50 | {middle:.3f} [0.700, 0.750]" in text.replace("\\", "")
    assert "6/6" in found[1]
    assert "koniq10k (training side of official), spaq" in text
    assert "livec (50 labels), livec (100 labels)" in text
    assert "86,192,640" in text
    assert "12.5" in text
    assert "**Seconds a fit**: 9.5" in text
    assert "**Audit**: not passed for all of its runs" in text


def test_a_card_names_contamination_and_audits(tmp_path: Path) -> None:
    made = maker(tmp_path)
    runs = made.cell("Mine", task("livec", 50), VALUES, trained_on=["livec"])
    store = made.save()
    fit = runs[0].spec.fit
    properties = [Property(name="a second run", holds=True)]
    audit = Audit.of(fit.method, fit.settings, fit.code, "demo_authentic", "cpu", properties)
    audit.write(tmp_path)
    text = card("Mine", store)
    assert "**Contaminated**: livec: labels of the test images had been seen before" in text
    assert "† The weights had seen labels of the test dataset." in text
    assert re.search(r"0\.725 .* 6/6 †", text.replace("\\", ""))
    assert f"**Audit**: passed, {audit.created[:10]}" in text


def test_names_are_text_and_no_markup(tmp_path: Path) -> None:
    made = maker(tmp_path, name=EVIL, title=EVIL)
    made.cell(EVIL, task(EVIL, 50), VALUES, settings={EVIL: EVIL}, trained_on=[EVIL])
    text = card(EVIL, made.save())
    assert EVIL not in re.sub(r"`[^`]*`", "", text)
    assert r"\<script\>" in text


def test_what_cannot_have_a_card_is_named(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("Mine", task("livec", 50), ["RuntimeError: no"] * 2)
    made.save()
    ended = run_cli("card", "Mine", tmp_path)
    assert (ended.returncode, "'Mine' has no finished run" in ended.stderr) == (4, True)
    ended = run_cli("card", "Mime", tmp_path)
    assert (ended.returncode, "Did you mean 'Mine'?" in ended.stderr) == (2, True)


@pytest.mark.parametrize("flag", ["--image-intervals", "--no-image-intervals"])
def test_intervals_over_images_are_there_when_asked_for(tmp_path: Path, flag: str) -> None:
    made = maker(tmp_path / "r")
    made.cell("Mine", task("livec", 50), VALUES)
    made.save()
    ended = run_cli("card", "Mine", tmp_path / "r", flag, "--out", tmp_path / "card.md")
    assert ended.returncode == 0, ended.text
    text = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert ("images " in text.partition("## Results")[2].partition("## Cost")[0]) == (
        flag == "--image-intervals"
    )
