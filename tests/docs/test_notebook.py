"""The notebook runs from top to bottom, and its numbers are those of the results."""

from __future__ import annotations

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

from bench.analysis import summarise
from bench.store import table
from tests.docs.test_docs import ROOT
from tests.fake_results import showcase

NOTEBOOK = ROOT / "docs" / "notebooks" / "results.ipynb"


def printed(notebook: nbformat.NotebookNode) -> str:
    """All text that its cells gave."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = [output.get("text") or output.get("data", {}).get("text/plain") for output in outputs]
    return "\n".join(filter(None, texts))


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_the_notebook_reproduces_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    showcase(tmp_path / "results")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=place).execute()
    text = printed(notebook)
    runs = table.load(tmp_path / "results")
    summary = summarise(runs)
    for median in summary[(summary.metric == "srcc") & summary.complete]["median"]:
        assert f"{median:.3f}" in text
    computed, recorded = re.findall(r"SRCC (-?[\d.]+), recorded (-?[\d.]+)", text)[0]
    assert recorded == f"{runs[runs.status == 'done'].iloc[0].srcc:.4f}"
    assert -1 <= float(computed) <= 1
    images = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in images)
    assert re.search(r"GRMP-IQA minus PromptIQA: \+0\.\d+ \[\+", text)
