"""What the documentation shows works as it is shown."""

from __future__ import annotations

import csv
import os
import re
import tomllib
from pathlib import Path

import pytest

from bench.store import Store
from tests.conftest import Bench

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_example_method_runs_as_one_file(bench: Bench) -> None:
    (example,) = blocks("docs/methods.md", "python")
    assert len(example.splitlines()) <= 48
    own = bench.folder / "own"
    own.mkdir()
    (own / "colour.py").write_text(example)
    path = bench.protocol("title: T\ndatasets: [toy]\nlabels: [20]\nrepeats: 1\n")
    result = bench.run(path, "--methods", "colourfulness", IQA_BENCH_METHODS=str(own))
    assert result.returncode == 0, result.stdout + result.stderr
    (record,) = Store(bench.results).records()
    assert (record.spec.method, record.status, len(record.curve)) == ("colourfulness", "done", 20)


def test_the_example_method_keeps_the_contract(bench: Bench) -> None:
    (example,) = blocks("docs/methods.md", "python")
    own = bench.folder / "own"
    own.mkdir()
    (own / "colour.py").write_text(example)
    found = bench("conform", "colourfulness", IQA_BENCH_METHODS=str(own))
    assert found.returncode == 0, found.stdout + found.stderr
    assert "BROKEN" not in found.stdout


def test_the_installed_package_is_found(bench: Bench) -> None:
    """What pip makes of the page's pyproject.toml: a package and its metadata on the path."""
    (example,), (project,) = (blocks("docs/methods.md", kind) for kind in ("python", "toml"))
    declared = tomllib.loads(project)["project"]
    site = bench.folder / "site"
    (site / "my_package").mkdir(parents=True)
    (site / "my_package" / "__init__.py").touch()
    (site / "my_package" / "colour.py").write_text(example)
    info = site / f"my_iqa_method-{declared['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {declared['name']}\nVersion: {declared['version']}\n"
    )
    lines = [
        line
        for group, points in declared["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    assert "from my_package.colour" in bench.process("list", "methods", PYTHONPATH=path).stdout
    conforms = bench.process("conform", "colourfulness", PYTHONPATH=path)
    assert conforms.returncode == 0, conforms.stdout + conforms.stderr
    protocol = bench.protocol("title: T\ndatasets: [toy]\nlabels: [20]\nrepeats: 1\n")
    result = bench.process(
        "run",
        protocol,
        "--methods",
        "colourfulness",
        "--device",
        "cpu",
        "--results",
        bench.results,
        PYTHONPATH=path,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (record,) = Store(bench.results).records()
    assert (record.spec.method, record.status) == ("colourfulness", "done")


def test_the_example_of_scores_computed_elsewhere_runs(bench: Bench) -> None:
    """The page's own command and columns, on a database that is here."""
    page = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^bench run .*scores:my_matlab.*$", page, re.MULTILINE)
    (example,) = blocks("docs/methods.md", "csv")
    head, *rows = example.splitlines()
    assert "scores/\n  my_matlab/\n    livec.csv\n" in page
    with (bench.data / "toy" / "scores.csv").open(newline="") as file:
        labels = {row["image"]: float(row["score"]) for row in csv.DictReader(file)}
    assert {row.split(",")[0] for row in rows} <= set(labels)
    folder = bench.folder / "scores" / "my_matlab"
    folder.mkdir(parents=True)
    lines = [f"{image},{-score}" for image, score in labels.items()]
    (folder / "toy.csv").write_text("\n".join([head, *lines, ""]))
    arguments = command.replace("grmp,", "").replace("livec", "toy").split()[3:]
    protocol = bench.protocol("title: T\ndatasets: [toy2]\nlabels: [20]\nrepeats: 2\n")
    result = bench.run(protocol, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    found = list(Store(bench.results).records())
    assert [record.spec.method for record in found] == ["scores:my_matlab"] * 2
    assert [record.value("srcc") for record in found] == pytest.approx([1, 1])


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            # These are generated with the site; its own build follows links into them.
            if not target.startswith(("http://", "https://", "reference/", "livec/")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
