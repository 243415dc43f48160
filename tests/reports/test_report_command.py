"""`bench report` and `bench latex` on made-up results: what they show, hide and say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import protocol as protocols
from bench.reports.cleanup import NAME
from bench.reports.figures.gallery import Gallery
from tests.conftest import run_cli
from tests.fake_results import maker, task


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of the time, and are other tests' matter."""
    monkeypatch.setattr(Gallery, "draw", lambda gallery: None)


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Two methods on two datasets; one of them had seen LIVEC, and is the best there."""
    made = maker(tmp_path / "store")
    made.protocol = protocols.load("few_shot").model_copy(update={"repeats": 2})
    for label, value in (("grmp", 0.8), ("pyiqa:x", 0.9), ("promptiqa", 0.7)):
        known = ["livec"] if label == "pyiqa:x" else []
        for dataset in ("livec", "koniq10k"):
            made.cell(label, task(dataset), [value, value], trained_on=known)
    made.save()
    return tmp_path / "store"


def test_contaminated_cells_are_left_out_on_request_and_it_is_said(seen: Path) -> None:
    out = seen / "report"
    ended = run_cli("report", seen)
    assert ended.returncode == 0
    assert "0.900†" in ended.text
    assert "had seen labels of the test dataset" in ended.text
    latex = (out / "table.tex").read_text()
    assert r"\textbf{0.900}$^\dagger$" in latex
    assert r"$^\dagger$The method's weights had seen labels of the test set." in latex

    ended = run_cli("report", seen, "--exclude-contaminated")
    assert ended.returncode == 0
    said = "few_shot: pyiqa:x on livec: contaminated, its weights had seen labels of livec"
    assert said in ended.text
    assert "†" not in ended.text
    assert said in (out / "index.html").read_text()
    latex = (out / "table.tex").read_text()
    assert "Cells whose test set the method's weights had seen labels of are left out." in latex
    row = next(line for line in latex.splitlines() if line.startswith("grmp & "))
    assert row.startswith(r"grmp & \textbf{0.800} & \textbf{0.810} & \underline{0.800}")
    assert "livec,livec" not in "".join(
        line for line in (out / "summary.csv").read_text().splitlines() if "pyiqa:x" in line
    )


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    made = maker(tmp_path)
    made.cell("a", task(), [0.5], trained_on=["livec"])
    made.save()
    ended = run_cli("report", tmp_path, "--exclude-contaminated")
    assert ended.returncode == 2
    assert "nothing is left" in ended.text


def test_rendering_again_leaves_no_page_of_before(seen: Path) -> None:
    run_cli("report", seen)
    out = seen / "report"
    assert (out / "published.csv").exists()
    (out / "notes.txt").write_text("mine")
    record = next((seen / "protocols").glob("*.json"))
    made = maker(seen)
    made.protocol = protocols.load("few_shot").model_copy(update={"repeats": 2})
    made.cell("grmp", task("koniq10k"), [0.8, 0.8])
    assert made.save().root / "protocols" / record.name == record
    run_cli("report", seen, "--no-published")
    left = {path.relative_to(out).as_posix() for path in out.rglob("*.html")}
    assert left == {"index.html", "methods/grmp.html", "datasets/koniq10k.html"}
    assert not (out / "published.csv").exists()
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / NAME).exists()


def test_published_rows_show_and_hide(seen: Path) -> None:
    assert "0.836 (-0.036)" in run_cli("report", seen).text
    assert "HyperIQA" not in run_cli("report", seen, "--no-published").text


def test_latex_in_any_shape(seen: Path, tmp_path: Path) -> None:
    common = ("latex", seen, "--metrics", "srcc", "--no-published")
    ended = run_cli(
        *common, "--caption", "50% & more", "--label", "tab one", "--interval", "splits"
    )
    assert ended.returncode == 0
    assert r"\caption{50\% \& more (50 labels, SRCC)." in ended.text
    assert r"\label{tab:tab-one}" in ended.text
    assert r"\underline{0.800} {\scriptsize 0.800 to 0.800}" in ended.text
    shape = ("--rows", "dataset,metric", "--columns", "label", "--methods", "grmp,promptiqa")
    file = tmp_path / "t.tex"
    ended = run_cli(*common, *shape, "--out", file)
    assert (ended.returncode, ended.text.strip()) == (0, str(file))
    assert r"LIVEC $\cdot$ SRCC & \textbf{0.800} & \underline{0.700} \\" in file.read_text()
    grey = run_cli("latex", seen, "--metrics", "srcc", "--notes", "--exclude-contaminated").text
    assert r"\textcolor{gray}{HyperIQA} & \textcolor{gray}{0.648}" in grey
    assert r"{\scriptsize\raggedright GRMP-IQA, Table 1: median" in grey
    assert r"\dagger" not in grey


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--protocol", "few_sho"), "Did you mean 'few_shot'"),
        (("--metrics", "scc"), "unknown metric 'scc'. Did you mean 'srcc'"),
        (("--methods", "gmrp"), "Did you mean 'grmp'"),
        (("--rows", "lable"), "Did you mean 'label'"),
        (
            ("--columns", "dataset,metric", "--blocks", "labels"),
            "--blocks must be one of the columns dataset, metric",
        ),
    ],
)
def test_wrong_choices_name_the_way_out(seen: Path, options: tuple[str, ...], message: str) -> None:
    ended = run_cli("latex", seen, *options)
    assert ended.returncode == 2
    assert message in ended.text


def test_a_caption_is_of_one_table(seen: Path) -> None:
    made = maker(seen, name="other")
    made.cell("grmp", task(), [0.8])
    made.save()
    ended = run_cli("latex", seen, "--caption", "Mine")
    assert ended.returncode == 2
    assert "--protocol" in ended.text
    assert run_cli("latex", seen, "--caption", "Mine", "--protocol", "other").returncode == 0
