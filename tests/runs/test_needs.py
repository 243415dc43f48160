"""What is missing is said per row with its reason, and runs that do without it can go ahead."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from bench.store import Store
from tests.conftest import Bench


@pytest.fixture
def labels_only(bench: Bench, tmp_path: Path) -> Bench:
    """The toy databases, of which `toy2` has its table and no image."""
    root = tmp_path / "labels"
    shutil.copytree(bench.data, root)
    for image in (root / "toy2").glob("*.png"):
        image.unlink()
    return Bench(bench.folder, root)


def scores(bench: Bench, name: str, *databases: str) -> None:
    """Labels as scores, in a table a database."""
    for database in databases:
        place = bench.folder / "scores" / name / f"{database}.csv"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text((bench.data / database / "scores.csv").read_text())


NOBODY_HAS = ("run", "few_shot", "--methods", "grmp,promptiqa,clip_zeroshot")


def test_each_row_says_why_and_what_would_do_instead(bench: Bench) -> None:
    done = bench(*NOBODY_HAS, "--datasets", "livec,csiq")
    assert done.returncode == 3
    for line in (
        "  grmp: tid2013, kadid10k (pre-training; or --set grmp.weights=FILE, the authors' "
        "checkpoint: bench get --weights grmp)",
        "  grmp: livec, csiq (learnt from and tested; or name others with --datasets)",
        "  promptiqa: livec, csiq (learnt from, tested and pre-training)",
        "  clip_zeroshot: livec, csiq (tested; or name others with --datasets)",
        "Download what is available: bench get few_shot --methods grmp,promptiqa,clip_zeroshot "
        "--datasets livec,csiq (--dry-run lists sizes only).",
        "Run the rows and datasets that do not need them: --available.",
    ):
        assert f"{line}\n" in done.stderr, done.stderr
    (other,) = (line for line in done.stderr.splitlines() if line.startswith("  promptiqa: live,"))
    assert other.endswith(
        "(pre-training; or --set promptiqa.checkpoint=FILE, the authors' checkpoint: "
        "bench get --weights promptiqa)"
    )


def test_a_checkpoint_makes_the_corpora_unnecessary(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"any")
    done = bench(*NOBODY_HAS, "--set", f"grmp.weights={tmp_path / 'w.pt'}", "--datasets", "livec")
    assert "tid2013, kadid10k (pre-training" not in done.stderr
    assert "  grmp, clip_zeroshot: " not in done.stderr, "one learns, one does not"
    assert "  grmp: livec (learnt from and tested;" in done.stderr


PROTOCOL = "datasets: [toy, toy2]\nlabels: [10]\nrepeats: 2\n"


def test_scores_and_sanity_rows_need_labels_alone(labels_only: Bench) -> None:
    bench = labels_only
    scores(bench, "perfect", "toy2")
    path = bench.protocol(PROTOCOL)
    methods = "scores:perfect,constant,label_mean,oracle:toy2"
    done = bench.run(path, "--methods", methods, "--datasets", "toy2")
    assert done.returncode == 0, done.text
    records = list(Store(bench.results).records())
    assert {record.status for record in records} == {"done"}
    found = {r.spec.method: r.metrics["last"]["srcc"] for r in records if r.spec.repeat == 0}
    assert found["scores:perfect"] == pytest.approx(1.0)
    assert found["oracle:toy2"] == pytest.approx(1.0)
    report = bench("report", bench.results)
    assert report.returncode == 0, report.text
    compared = bench("compare", bench.results)
    assert compared.returncode == 0, compared.text


def test_stored_predictions_are_judged_by_labels_alone(
    labels_only: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check`, `compare`, `report`, `latex`, `validate` and `export` open no image."""
    bench = labels_only
    scores(bench, "perfect", "toy2")
    path = bench.protocol(PROTOCOL)
    scores(bench, "other", "toy2")
    table = bench.folder / "scores" / "other" / "toy2.csv"
    head, *rows = table.read_text().splitlines()
    names, values = zip(*(row.split(",") for row in rows), strict=True)
    rolled = [*values[9:], *values[:9]]
    table.write_text("\n".join([head, *map(",".join, zip(names, rolled, strict=True))]) + "\n")
    methods = ("--methods", "scores:perfect,scores:other", "--datasets", "toy2")
    assert bench.run(path, *methods).returncode == 0

    def opened(*given: object, **named: object) -> None:
        raise AssertionError(f"an image is opened: {given}")

    monkeypatch.setattr("bench.data.images.decode.Image.open", opened)
    results, roots = bench.results, ("--data-root", bench.data)
    for command in (
        ("check", results, "--against", results),
        ("compare", results, *roots),
        ("report", results, *roots),
        ("latex", results, "--interval", "images", *roots),
        ("validate", results, *roots),
        ("export", results, bench.folder / "runs.csv"),
    ):
        done = bench(*command)
        assert done.returncode == 0, done.text
        assert "image files are missing" not in done.text
    assert "SRCC" in (results / "report" / "index.html").read_text()


def test_a_row_that_looks_at_images_is_refused_with_its_reason(labels_only: Bench) -> None:
    scores(labels_only, "perfect", "toy2")
    path = labels_only.protocol(PROTOCOL)
    done = labels_only.run(path, "--methods", "scores:perfect,toy_luminance,toy_linear")
    assert done.returncode == 3
    assert "toy2: 40 of 40 image files are missing under" in done.stderr
    assert "  toy_luminance: toy2 (tested; or name others with --datasets)" in done.stderr
    assert "  toy_linear: toy2 (learnt from and tested; or" in done.stderr
    assert "  scores:perfect" not in done.stderr


def test_available_runs_what_can_run_and_names_the_rest(labels_only: Bench) -> None:
    bench = labels_only
    path = bench.protocol(PROTOCOL)
    options = (path, "--methods", "label_mean,toy_luminance", "--available")
    plan = bench("plan", *options, "--results", bench.results)
    done = bench.run(*options)
    assert (plan.returncode, done.returncode) == (0, 0), done.text
    line = "left out: toy_luminance on toy2: needs the images of toy2 (tested), not on this machine"
    for said in (plan.stdout, done.stdout):
        assert [one for one in said.splitlines() if one.startswith("left out: toy_lum")] == [line]
        assert "left out: label_mean" not in said
    cells = {(r.spec.method, r.spec.test) for r in Store(bench.results).records()}
    assert cells == {
        ("label_mean", "toy"),
        ("label_mean", "toy2"),
        ("toy_luminance", "toy"),
    }


def test_available_without_anything_is_the_error(labels_only: Bench) -> None:
    path = labels_only.protocol(PROTOCOL)
    done = labels_only.run(path, "--methods", "toy_linear", "--datasets", "toy2", "--available")
    assert done.returncode == 3
    assert "toy2: 40 of 40 image files are missing under" in done.stderr


def test_corpora_that_are_missing_leave_their_row_out(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 1\n")
    options = (path, "--methods", "grmp,toy_luminance", "--set", "grmp.corpora=tid2013")
    done = bench.run(*options, "--available")
    assert done.returncode == 0, done.text
    assert "left out: grmp on toy: needs tid2013 (pre-training), not on this machine" in done.stdout
    assert {r.spec.method for r in Store(bench.results).records()} == {"toy_luminance"}


def test_a_method_that_says_it_reads_no_pixels_is_held_to_it(bench: Bench) -> None:
    own = bench.folder / "own"
    own.mkdir()
    (own / "peeks.py").write_text(
        "import numpy as np\n"
        "from bench.api import Method\n\n"
        "class Peeks(Method):\n"
        "    '''Says that it does not look, and does.'''\n"
        "    name = 'peeks'\n"
        "    reads_images = False\n\n"
        "    def predict(self, images):\n"
        "        return np.array([image.mean() for image in images])\n"
    )
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 1\n")
    done = bench.run(path, "--methods", "peeks", IQA_BENCH_METHODS=str(own))
    assert done.returncode == 1
    (record,) = Store(bench.results).records()
    assert "says that it reads none (reads_images = False)" in str(record.error)


def test_scores_of_several_methods_in_one_table(bench: Bench) -> None:
    rows = list(csv.reader((bench.data / "toy" / "scores.csv").open()))[1:]
    folder = bench.folder / "scores"
    folder.mkdir()
    with (folder / "all.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_name", "good", "bad"])
        writer.writerows([name, score, f"{-float(score)}"] for name, score in rows)
    path = bench.protocol(
        "datasets: [toy]\nlabels: [10]\nrepeats: 1\nsettings: {image_column: image_name}\n"
        "methods:\n"
        "  - {method: 'scores:all', label: Good, set: {score_column: good}}\n"
        "  - {method: 'scores:all', label: Bad, set: {score_column: bad}}\n"
        "  - {method: 'scores:all', label: Turned, set: {score_column: bad, lower_better: true}}\n"
    )
    done = bench.run(path)
    assert done.returncode == 0, done.text
    found = sorted(r.metrics["last"]["srcc"] for r in Store(bench.results).records())
    assert found == pytest.approx([-1, 1, 1])
    wrong = bench.run(path, "--set", "image_column=picture")
    assert wrong.returncode == 1
    assert any("picture" in str(r.error) for r in Store(bench.results).records())
