"""Methods on datasets whose labels they had seen: left out on request, before anything runs."""

from __future__ import annotations

from bench.store import Store
from tests.conftest import Bench

PROTOCOL = """
title: Seen
datasets: [toy, toy2]
labels: [10]
repeats: 1
methods: [toy_luminance, "oracle:toy"]
"""
SAID = "left out: oracle:toy on toy: contaminated, its weights have seen labels of toy"


def test_a_plan_and_a_run_leave_them_out_and_say_so(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    planned = bench.run(path, "--dry-run", "--exclude-contaminated")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert SAID in planned.stdout
    assert "3 to do" in planned.stdout
    assert "4 to do" in bench.run(path, "--dry-run").stdout
    done = bench.run(path, "--exclude-contaminated")
    assert done.returncode == 0, done.stdout + done.stderr
    assert SAID in done.stdout
    runs = {(run.spec.method, run.spec.task.test) for run in Store(bench.results).records()}
    assert runs == {("toy_luminance", "toy"), ("toy_luminance", "toy2"), ("oracle:toy", "toy2")}


def test_a_plan_without_any_other_cell_is_refused(bench: Bench) -> None:
    path = bench.protocol(PROTOCOL)
    options = ("--methods", "oracle:toy", "--datasets", "toy", "--exclude-contaminated")
    refused = bench.run(path, *options)
    assert refused.returncode == 2
    assert "leaves nothing to run" in refused.stderr
    assert not bench.results.exists()


def test_a_database_that_only_contaminated_cells_need_may_be_missing(bench: Bench) -> None:
    """LIVEC is not here: a row that has seen it does not ask for it, another row does."""
    scores = "".join(f"{index:03}.png,{index}\n" for index in range(60))
    (bench.folder / "scores").mkdir()
    (bench.folder / "scores" / "mine.csv").write_text("image,score\n" + scores)
    path = bench.protocol(
        "title: Seen\ndatasets: [toy, livec]\nlabels: [10]\nrepeats: 1\n"
        "methods: [{method: 'scores:mine', set: {trained_on: [livec]}}]\n"
    )
    assert "livec" in bench.run(path).stderr
    done = bench.run(path, "--exclude-contaminated")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out: scores:mine on livec" in done.stdout
    (record,) = Store(bench.results).records()
    assert (record.spec.task.test, record.status) == ("toy", "done")
    both = bench.run(path, "--exclude-contaminated", "--methods", "scores:mine,toy_luminance")
    assert both.returncode == 3
    assert "livec" in both.stderr
