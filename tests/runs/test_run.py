"""The main job through the real command line, on toy data."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bench.metrics import Known, compute
from bench.model.records import Record
from bench.store import Store, artifacts
from tests.conftest import Bench

PROTOCOL = """
title: Toy protocol
datasets: [toy]
labels: [10, 20]
repeats: 3
evaluate_every: 2
methods: [toy_linear, toy_luminance]
"""


def records(bench: Bench) -> list[Record]:
    return list(Store(bench.results).records())


def test_a_protocol_runs_to_a_report(bench: Bench) -> None:
    result = bench.run_and_report(bench.protocol(PROTOCOL))
    assert result.returncode == 0, result.stdout + result.stderr
    done = records(bench)
    assert len(done) == 12
    assert {record.status for record in done} == {"done"}
    for name in ("summary.csv", "table.tex", "index.html"):
        assert (bench.results / "report" / name).stat().st_size > 0
        assert name in result.stdout
    with (bench.results / "report" / "summary.csv").open() as file:
        rows = {
            (r["method"], r["labels"]): r for r in csv.DictReader(file) if r["metric"] == "srcc"
        }
    values = sorted(
        record.value("srcc") or 0.0
        for record in done
        if record.spec.method == "toy_linear" and record.spec.task.labels == 10
    )
    row = rows["toy_linear", "10"]
    assert (row["n"], row["expected"]) == ("3", "3")
    assert float(row["median"]) == pytest.approx(values[1], abs=1e-6)


def test_records_hold_what_happened(bench: Bench) -> None:
    bench.run(bench.protocol(PROTOCOL), "--methods", "toy_linear")
    record = next(item for item in records(bench) if item.spec.task.labels == 10)
    assert record.sizes == {"train": 10, "val": 0, "test": 12}
    assert [point.epoch for point in record.curve] == [1, 2, 3, 4]
    assert [point.test is not None for point in record.curve] == [False, True, False, True]
    assert record.chosen_epoch["last"] == 4
    assert set(record.curve[0].diagnostics) == {"slope"}
    table = Store(bench.results).predictions(record.spec)
    again = compute(["srcc", "plcc"], table["prediction"], table["quality"])
    assert record.metrics["last"]["srcc"] == again["srcc"]
    assert record.metrics["last"]["plcc"] == again["plcc"]
    assert record.environment.packages["numpy"]


def test_the_second_run_computes_nothing(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    bench.run(path)
    before = {item: item.stat().st_mtime_ns for item in bench.results.glob("records/*/*/*.json")}
    result = bench.run(path)
    assert "12 done" in result.stdout
    after = {item: item.stat().st_mtime_ns for item in bench.results.glob("records/*/*/*.json")}
    assert before == after


def test_another_results_folder_gives_the_same_bits(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    bench.run(path, "--jobs", 1)
    first = {record.run_id: record for record in records(bench)}
    bench("run", path, "--device", "cpu", "--results", "other", "--jobs", 2)
    second = {record.run_id: record for record in Store(bench.folder / "other").records()}
    assert first.keys() == second.keys()
    for run_id, record in first.items():
        assert second[run_id].metrics == record.metrics
        one = Store(bench.results).predictions(record.spec)
        two = Store(bench.folder / "other").predictions(record.spec)
        assert np.array_equal(one["prediction"], two["prediction"])


def test_a_method_that_learns_nothing_scores_a_database_once(bench: Bench) -> None:
    calls = bench.folder / "calls"
    path = bench.protocol(PROTOCOL)
    bench.run(path, "--methods", "toy_luminance", TOY_CALLS=str(calls))
    bench.run(path, "--methods", "toy_luminance", "--repeats", 5, TOY_CALLS=str(calls))
    assert calls.read_text().split() == ["60"]


def test_failures_keep_their_traceback_and_are_retried_on_request(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    result = bench.run(path, "--methods", "toy_broken,toy_luminance")
    assert result.returncode == 1
    assert "6 runs failed" in result.stdout
    failed = [record for record in records(bench) if record.status == "failed"]
    assert len(failed) == 6
    assert failed[0].error == "ZeroDivisionError: toy failure <b>bold</b>"
    assert "toy_methods.py" in (failed[0].traceback or "")
    created = {record.run_id: record.created for record in failed}
    time.sleep(1.1)
    bench.run(path, "--methods", "toy_broken")
    assert {r.run_id: r.created for r in records(bench) if r.status == "failed"} == created
    bench.run(path, "--methods", "toy_broken", "--retry-failed")
    again = {r.run_id: r.created for r in records(bench) if r.status == "failed"}
    assert again.keys() == created.keys()
    assert all(again[run] > created[run] for run in again)


def test_a_nan_prediction_fails_the_run_and_names_the_image(bench: Bench) -> None:
    bench.run(bench.protocol(PROTOCOL), "--methods", "toy_broken", "--set", "how=nan")
    error = records(bench)[0].error or ""
    assert "toy_broken predicted 1 values that are not numbers" in error
    assert "003.png" in error


def test_an_undefined_metric_is_null_not_zero(bench: Bench) -> None:
    result = bench.run_and_report(bench.protocol(PROTOCOL), "--methods", "toy_constant")
    assert result.returncode == 0, result.stderr
    assert {record.metrics["last"]["srcc"] for record in records(bench)} == {None}
    with (bench.results / "report" / "summary.csv").open() as file:
        row = next(r for r in csv.DictReader(file) if r["metric"] == "srcc")
    assert (row["median"], row["n"], row["expected"]) == ("", "0", "3")


def test_a_dying_worker_costs_one_run(bench: Bench) -> None:
    marker = bench.folder / "marker"
    path = bench.protocol(PROTOCOL)
    arguments = (path, "--methods", "toy_dies", "--set", f"marker={marker}")
    result = bench.run(*arguments)
    assert result.returncode == 1
    found = records(bench)
    assert len(found) == 6
    failed = [record for record in found if record.status == "failed"]
    assert len(failed) == 1
    assert "killed by SIGKILL" in (failed[0].error or "")
    marker.write_text("nobody")
    assert bench.run(*arguments, "--retry-failed").returncode == 0
    assert {record.status for record in records(bench)} == {"done"}


def test_an_interrupted_run_goes_on_where_it_stopped(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    command = [sys.executable, "-m", "bench", "run", str(path), "--methods", "toy_linear",
               "--set", "wait=0.3", "--device", "cpu", "--results", str(bench.results),
               "--jobs", "1"]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=bench.folder, env=bench.environment(), stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not records(bench):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Run the same command again to continue" in output
    kept = {item: item.stat().st_mtime_ns for item in bench.results.glob("records/*/*/*.json")}
    assert 0 < len(kept) < 6
    assert bench.run(path, "--methods", "toy_linear", "--set", "wait=0.3").returncode == 0
    assert len(records(bench)) == 6
    assert all(item.stat().st_mtime_ns == time_ns for item, time_ns in kept.items())


def test_killing_everything_loses_no_finished_run(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", str(path), "--device", "cpu",
         "--results", str(bench.results), "--set", "wait=0.2"],
        cwd=bench.folder, env=bench.environment(), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not records(bench):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert bench.run(path, "--set", "wait=0.2").returncode == 0
    found = records(bench)
    assert len(found) == 12
    assert {record.status for record in found} == {"done"}


def test_selection_by_validation_holds_out_labelled_images(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL + "selection: val\n")
    bench.run(path, "--methods", "toy_linear")
    record = next(item for item in records(bench) if item.spec.task.labels == 20)
    assert record.sizes == {"train": 16, "val": 4, "test": 12}
    assert set(record.metrics) == {"last", "val", "best_test"}
    point = next(p for p in record.curve if p.epoch == record.chosen_epoch["val"])
    assert point.test is not None
    assert record.value("srcc") == point.test["srcc"]


def test_metrics_that_need_more_than_scores_are_recorded_where_a_protocol_names_them(
    bench: Bench,
) -> None:
    named = "selection: val\nmetrics: [srcc, frr, viewers, plcc_logistic4_val]\nrepeats: 1\n"
    path = bench.protocol(PROTOCOL.replace("repeats: 3\n", "").replace("10, 20", "20") + named)
    ended = bench.run_and_report(path, "--methods", "toy_linear", "--set", "epochs=2")
    assert ended.returncode == 0, ended.text
    record = next(item for item in records(bench) if item.spec.task.labels == 20)
    table = Store(bench.results).predictions(record.spec)
    quality, predicted = table["quality"], table["prediction"]
    known = Known(five_levels=True)
    expected = compute(["frr", "viewers"], predicted, quality, known=known)
    assert {name: record.value(name) for name in expected} == expected
    # Four validation images do not determine four parameters.
    assert record.value("plcc_logistic4_val") is None
    with (bench.results / "report" / "summary.csv").open() as file:
        rows = {row["metric"]: row for row in csv.DictReader(file) if row["labels"] == "20"}
    assert float(rows["frr"]["median"]) == pytest.approx(expected["frr"], abs=1e-6)
    missing = rows["plcc_logistic4_val"]
    assert (missing["n"], missing["undefined"]) == ("0", "1")


def test_pretraining_leaves_test_images_out_and_runs_once(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    bench.run(path, "--methods", "toy_pretrained", "--repeats", 2)
    states = sorted((bench.results / "pretrained").glob("*.safetensors"))
    # The corpus is what is learnt from: one a split and budget, whose labels alone count.
    assert len(states) == 4
    for record in records(bench):
        pretrained = record.spec.fit.pretrained
        state = bench.results / "pretrained" / f"toy_pretrained-{pretrained}.safetensors"
        seen = np.load(state, allow_pickle=False).tobytes().decode().split("|")
        tested = set(Store(bench.results).predictions(record.spec)["image"])
        assert len(seen) == record.sizes["train"] + record.sizes["val"]
        assert not tested & set(seen)
    bench.run(path, "--methods", "toy_pretrained", "--set", "corpus=toy2", "--repeats", 2)
    more = set((bench.results / "pretrained").glob("*.safetensors")) - set(states)
    assert len(more) == 1  # another corpus is whole, and so shared by all splits


def test_embeddings_are_kept_where_a_protocol_asks(bench: Bench) -> None:
    bench.run(bench.protocol(PROTOCOL), "--methods", "toy_linear,toy_luminance")
    store = Store(bench.results)
    assert all(artifacts.embeddings(store, record.spec) is None for record in store.records())
    keeping = bench.protocol(PROTOCOL + "keep: [embeddings]\n")
    result = bench.run(keeping, "--methods", "toy_linear,toy_luminance")
    assert "6 done, 6 todo" in result.stdout
    for record in store.records():
        features = artifacts.embeddings(store, record.spec)
        if record.spec.method == "toy_linear":
            assert features is not None
            assert features.shape == (12, 3)
        else:
            assert features is None
    assert "12 done" in bench.run(keeping, "--methods", "toy_linear,toy_luminance").stdout


def test_maps_and_numbers_are_kept_beside_what_was_kept_before(bench: Bench) -> None:
    store, methods = Store(bench.results), ("--methods", "toy_linear,toy_luminance")
    bench.run(bench.protocol(PROTOCOL + "keep: [embeddings]\n"), *methods)
    keeping = bench.protocol(PROTOCOL + "keep: [attention, per_image]\n")
    assert "12 todo" in bench.run(keeping, *methods).stdout
    for record in store.records():
        spec, predictions = record.spec, store.predictions(record.spec)
        numbers = artifacts.per_image(store, spec)
        assert numbers is not None
        assert list(numbers["image"]) == list(predictions["image"])
        assert "scene" not in numbers  # the toy database knows none
        maps = artifacts.attention(store, spec)
        if spec.method == "toy_luminance":
            assert maps is None
            assert "semantic_confidence" not in numbers
            continue
        assert maps is not None
        assert maps.maps.shape == (6, 2, 2)
        assert artifacts.embeddings(store, spec) is not None
        assert list(predictions["quality"][maps.rows]) == sorted(predictions["quality"][maps.rows])
    assert "12 done" in bench.run(keeping, *methods).stdout


def test_across_datasets(bench: Bench) -> None:
    path = bench.protocol(
        "title: Across\npairs: [[toy, toy2]]\nrepeats: 2\nmethods: [toy_linear]\n"
    )
    assert bench.run(path).returncode == 0
    assert [record.sizes for record in records(bench)] == [{"train": 60, "val": 0, "test": 40}] * 2


@pytest.mark.parametrize(
    ("arguments", "expected", "code"),
    [
        (["--methods", "toy_linaer"], "Did you mean 'toy_linear'", 2),
        (["--datasets", "toi"], "Did you mean 'toy'", 2),
        (["--set", "epoch=3"], "Did you mean 'epochs'", 2),
        (["--set", "metrics=[srccc]"], "Did you mean 'srcc'", 2),
        (["--device", "gpu"], "expected auto, cpu, cuda or cuda:N", 2),
        (["--datasets", "livec,toy"], "livec", 3),
        (["--set", "labels=[500]"], "500", 2),
    ],
)
def test_wrong_input_names_the_cause_and_runs_nothing(
    bench: Bench, arguments: list[str], expected: str, code: int
) -> None:
    result = bench("run", bench.protocol(PROTOCOL), "--results", bench.results, *arguments)
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert result.returncode == code
    assert not bench.results.exists()


def test_missing_databases_are_all_listed(bench: Bench) -> None:
    result = bench("run", bench.protocol(PROTOCOL), "--datasets", "livec,toy", "--results", "r")
    assert "LIVEC" in result.stderr
    assert str(bench.data) in result.stderr
    assert "http" in result.stderr
    assert "--datasets demo --set backbone=tiny" in result.stderr


def test_plan_shows_what_is_done_and_starts_nothing(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    result = bench("run", path, "--dry-run", "--results", bench.results)
    assert "0 done, 0 failed, 12 to do" in result.stdout
    assert not bench.results.exists()
    bench.run(path, "--methods", "toy_luminance")
    result = bench("plan", path, "--results", bench.results)
    assert "6 done, 0 failed, 6 to do" in result.stdout


def test_report_renders_from_the_store_alone(bench: Bench) -> None:
    bench.run(bench.protocol(PROTOCOL))
    moved = bench.folder / "moved"
    bench.results.rename(moved)
    result = bench("report", moved, "--out", bench.folder / "out", IQA_DATA="")
    assert result.returncode == 0, result.stderr
    assert (bench.folder / "out" / "index.html").exists()
    result = bench("report", bench.folder / "nothing")
    assert result.returncode == 4
    assert "no results folder" in result.stderr


@pytest.mark.parametrize("what", ["--help", "list methods", "list datasets", "list backbones"])
def test_looking_around_imports_no_torch(bench: Bench, what: str) -> None:
    code = (
        "import sys; sys.argv = ['bench', *sys.argv[1:]]\n"
        "from bench.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('TORCH' if 'torch' in sys.modules else 'FREE')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *what.split()],
        env=bench.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.splitlines()[-1] == "FREE"


def test_describe(bench: Bench) -> None:
    assert "epochs" in bench("describe", "toy_linear").stdout
    assert "label budget" in bench("describe", "protocol").stdout.lower()
    shown = bench("describe", "liqe_mix").stdout
    assert "pyiqa:liqe_mix" in shown
    assert "seen the labels of live (training side of liqe 1), csiq (training" in shown
    assert "piqe " in bench("list", "methods").stdout
    result = bench("describe", "toy_linaer")
    assert result.returncode == 2
    assert "Did you mean 'toy_linear'" in result.stderr


def test_no_job_file_or_temporary_file_is_left(bench: Bench) -> None:
    bench.run(bench.protocol(PROTOCOL))
    left = [path for path in bench.results.rglob("*") if path.name.endswith((".tmp", ".partial"))]
    assert left == []
    assert list((bench.results / "jobs").glob("*")) == []


def test_a_job_file_that_is_none_is_refused(bench: Bench) -> None:
    job = bench.folder / "job.json"
    job.write_text("{}")
    result = bench("exec", job)
    assert result.returncode == 2
    assert "cannot be read" in result.stderr


def test_a_protocol_file_names_the_line_of_a_wrong_name(bench: Bench) -> None:
    for text, expected in [
        ("datasets: [toi]\nmethods: [toy_linear]\n", ":1: unknown dataset 'toi'"),
        ("datasets: [toy]\nmetrics:\n- srcc\n- plc\n", ":4: unknown metric 'plc'"),
        ("datasets: [toy]\nmethods:\n- {method: gmrp}\n", ":3: unknown method 'gmrp'"),
    ]:
        result = bench("run", bench.protocol(text))
        assert result.returncode == 2
        assert f"toy_protocol.yaml{expected}. Did you mean" in result.stderr
