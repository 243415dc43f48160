"""What the documentation shows works as it is shown."""

from __future__ import annotations

import re
from pathlib import Path

from bench.store import Store
from tests.conftest import Bench

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_example_method_runs_as_one_file(bench: Bench) -> None:
    (example,) = blocks("docs/methods.md", "python")
    assert len(example.splitlines()) <= 40
    own = bench.folder / "own"
    own.mkdir()
    (own / "colour.py").write_text(example)
    path = bench.protocol("title: T\ndatasets: [toy]\nlabels: [20]\nrepeats: 1\n")
    result = bench.run(path, "--methods", "colourfulness", IQA_BENCH_METHODS=str(own))
    assert result.returncode == 0, result.stdout + result.stderr
    (record,) = Store(bench.results).records()
    assert (record.spec.method, record.status, len(record.curve)) == ("colourfulness", "done", 20)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
