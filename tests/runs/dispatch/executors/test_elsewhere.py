"""The same protocol through a Dask cluster and Slurm (a stand-in); what dies is replaced."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bench.cli.options import Duration, Options
from bench.model.jobs import Job
from bench.model.resources import Resources
from bench.runs.dispatch import Session
from bench.runs.dispatch.executors import check, refuse
from bench.runs.dispatch.executors.slurm import SlurmExecutor, parameters
from bench.util.errors import UsageError
from tests.conftest import Bench
from tests.runs.dispatch.executors import stand_in
from tests.runs.dispatch.executors.processes import (
    PROTOCOL,
    calls,
    finish,
    records,
    start,
    supervisors,
    until,
)

NONE, CPU = Resources(), Resources(device="cpu")


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An environment with a Slurm."""
    return stand_in.install(tmp_path / "slurm")


@pytest.fixture
def scheduler(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The address of a Dask cluster with two worker processes, or as many as the test says."""
    count = getattr(request, "param", 2)
    distributed = pytest.importorskip("distributed")
    for name, value in bench.environment(TOY_CALLS=str(bench.folder / "calls")).items():
        monkeypatch.setenv(name, value)
    with distributed.LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
    ) as cluster:
        yield cluster.scheduler_address


def each_once(bench: Bench, count: int) -> None:
    """Every run has a record, is done, and was begun once."""
    assert [record.status for record in records(bench)] == ["done"] * count
    assert set(Counter(calls(bench)).values()) == {1}
    assert len(calls(bench)) == count


def test_killing_a_dask_worker_costs_its_group_a_retry(bench: Bench, scheduler: str) -> None:
    path = bench.protocol(PROTOCOL)
    process = start(
        bench, path, "--executor", "dask", "--scheduler", scheduler, "--set", "wait=0.2"
    )
    until(lambda: records(bench) and len(set(supervisors(bench))) == 2, process)
    begun = len(calls(bench))
    until(lambda: len(calls(bench)) > begun, process)  # so that the last run is just at work
    os.kill(supervisors(bench)[-1], signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 0, output
    assert output.count("SRCC") >= 6
    assert [record.status for record in records(bench)] == ["done"] * 6
    assert len(calls(bench)) == 7  # the one that was under way on the killed worker, again
    assert list((bench.results / "claims").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", [1], indirect=True)
def test_a_cluster_of_one_worker_does_the_work(bench: Bench, scheduler: str) -> None:
    process = start(bench, bench.protocol(PROTOCOL), "--executor", "dask", "--scheduler", scheduler)
    output = finish(process)
    assert process.returncode == 0, output
    each_once(bench, 6)
    assert process.pid not in supervisors(bench)


def test_slurm_gets_one_array_and_what_a_failed_node_lost_again(
    bench: Bench, slurm: dict[str, str]
) -> None:
    (bench.folder / "slurm" / "fail").write_text("100_1")
    path = bench.protocol(PROTOCOL.replace("toy_counted", "toy_environment"))
    options = ["partition=gpu", "time=1:30:00", "gpus=1", "cpus=3", "account=lab"]
    process = start(
        bench, path, "--executor", "slurm", "--jobs", 2,
        *(part for option in options for part in ("--slurm", option)), **slurm,
    )  # fmt: skip
    output = finish(process)
    assert process.returncode == 0, output
    assert output.count("SRCC") >= 6
    scripts = [path.read_text() for path in sorted((bench.folder / "slurm").glob("*.sh"))]
    lines = set(scripts[0].splitlines())
    assert {
        "#SBATCH --array=0-1%2", "#SBATCH --partition=gpu", "#SBATCH --time=90",
        "#SBATCH --gpus-per-node=1", "#SBATCH --cpus-per-task=3", "#SBATCH --account=lab",
    } <= lines  # fmt: skip
    each_once(bench, 6)
    assert all("OMP_NUM_THREADS=3" in record.notes for record in records(bench))
    assert list((bench.results / "jobs").iterdir()) == []
    # The second submission is what was lost, and that alone.
    assert "trying once more" in output
    assert len(scripts) == 2
    assert "--array" not in scripts[1]


@pytest.mark.slow
def test_a_group_that_is_lost_twice_is_given_up(bench: Bench, slurm: dict[str, str]) -> None:
    (bench.folder / "slurm" / "fail").write_text("100_1 101")
    process = start(bench, bench.protocol(PROTOCOL), "--executor", "slurm", **slurm)
    output = finish(process)
    assert process.returncode == 1
    assert "toy2: its supervisor was lost: Slurm job 101 ended without an answer" in output
    assert len(records(bench)) == 3  # nothing is known of the others, so that they have no record
    (bench.folder / "slurm" / "fail").unlink()
    assert finish(start(bench, bench.protocol(PROTOCOL), "--executor", "slurm", **slurm))
    each_once(bench, 6)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["slurm", "dask"])
def test_ctrl_c_ends_work_elsewhere_after_the_epoch(
    bench: Bench, where: str, request: pytest.FixtureRequest
) -> None:
    environment: dict[str, str] = {}
    arguments: list[object] = ["--executor", where, "--jobs", 1]
    if where == "slurm":
        environment = request.getfixturevalue("slurm")
    if where == "dask":
        arguments += ["--scheduler", request.getfixturevalue("scheduler")]
    path = bench.protocol(PROTOCOL)
    arguments += ["--set", "wait=0.5"]
    process = start(bench, path, *arguments, **environment)
    until(lambda: records(bench), process)
    process.send_signal(signal.SIGINT)
    output = finish(process)
    assert process.returncode == 130, output
    assert "Run the same command again to continue" in output
    kept = {record.run_id: record.created for record in records(bench)}
    assert 0 < len(kept) < 6
    assert list((bench.results / "claims").iterdir()) == []
    process = start(bench, path, *arguments, **environment)
    assert finish(process)
    assert process.returncode == 0
    found = {record.run_id: record.created for record in records(bench)}
    assert len(found) == 6
    assert kept.items() <= found.items()


@pytest.mark.slow
def test_a_second_ctrl_c_ends_slurm_jobs_at_once(bench: Bench, slurm: dict[str, str]) -> None:
    path = bench.protocol(PROTOCOL)
    process = start(bench, path, "--executor", "slurm", "--set", "wait=100", **slurm)
    until(lambda: len(calls(bench)) == 2, process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)  # two signals at the same moment are one
    output = finish(process)
    assert process.returncode == 130, output
    states = [path.read_text() for path in (bench.folder / "slurm").glob("*.state")]
    assert states == ["CANCELLED"] * 2


@pytest.mark.parametrize(
    ("executor", "more", "message"),
    [
        ("loky", {}, "unknown executor 'loky'. Known: dask, local, slurm"),
        ("local", {"scheduler": "tcp://a:1"}, "--scheduler belongs to --executor dask"),
        ("dask", {"slurm": ["time=1"]}, "--slurm belongs to --executor slurm"),
        ("slurm", {"slurm": ["partitoin=gpu"]}, "Did you mean 'partition'?"),
        ("slurm", {"slurm": ["partition"]}, "--slurm partition: expected key=value"),
        ("slurm", {"slurm": ["time=long"]}, "'long' is not a duration"),
    ],
)
def test_wrong_options_say_what_is_right(executor: str, more: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        check(Options("few_shot", executor=executor, **more))
    assert message in str(error.value)


@pytest.mark.parametrize(("executor", "module"), [("dask", "distributed"), ("slurm", "submitit")])
def test_a_missing_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, executor: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"pip install 'iqa-bench\[{executor}\]'"):
        check(Options("few_shot", executor=executor))


def test_slurm_parameters() -> None:
    assert parameters(Options("few_shot", slurm=["gpus=2", "mem=16G", "time=2d"], jobs=7)) == {
        "gpus_per_node": 2,
        "mem": "16G",
        "time": 2880,
        "array_parallelism": 7,
        "job_name": "iqa-bench",
    }
    assert parameters(Options("few_shot"))["time"] == 240


def test_what_a_row_needs_comes_before_the_command_s_own() -> None:
    options = Options("few_shot", slurm=["gpus=2", "cpus=8", "partition=gpu"], jobs=7)
    found = parameters(options, Resources(device="cpu", cpus=4), arrays=2)
    assert found == {
        "cpus_per_task": 4,
        "partition": "gpu",
        "time": 240,
        "array_parallelism": 3,
        "job_name": "iqa-bench",
    }


def test_slurm_gives_the_memory_of_a_gpu_by_its_kind() -> None:
    pytest.importorskip("submitit")
    large, any_gpu = Resources(vram=40), Resources(device="cuda")
    named = Resources(vram=40, slurm=("constraint=a100-80g",))
    plain = Options("few_shot", slurm=["gpus=1"], executor="slurm")
    assert parameters(plain, named)["constraint"] == "a100-80g"
    assert "constraint" not in parameters(plain, NONE)
    with pytest.raises(UsageError, match="grmp needs 40 GiB of GPU memory, of which Slurm knows"):
        refuse(plain, {"grmp": large, "ridge": named})
    refuse(Options("few_shot", slurm=["gpus=1", "gres=gpu:a100"], executor="slurm"), {"a": large})
    for asked in ("gpus=a100:1", "num_gpus=h100:1"):
        refuse(Options("few_shot", slurm=[asked], executor="slurm"), {"a": large})
    refuse(Options("few_shot", slurm=["num_gpus=1"], executor="slurm"), {"a": any_gpu})
    without = Options("few_shot", executor="slurm")
    with pytest.raises(UsageError, match=r"a needs a GPU .* --slurm gpus=1"):
        refuse(without, {"a": any_gpu, "b": CPU})
    with pytest.raises(UsageError, match="colour"):
        refuse(plain, {"a": Resources(slurm=("colour=red",))})


def test_dask_gives_the_memory_of_a_gpu_as_a_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from bench.runs.dispatch.executors import dask_cluster

    class Client:
        """A cluster whose workers say what they have."""

        workers: ClassVar[dict[str, Any]] = {}

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None: ...

        def scheduler_info(self) -> dict[str, Any]:
            return {"workers": self.workers}

    monkeypatch.setattr(dask_cluster, "connect", lambda scheduler: Client())
    options = Options("few_shot", executor="dask", scheduler="tcp://x:1")
    rows = {"grmp": Resources(vram=12), "ridge": CPU}
    with pytest.raises(UsageError, match=r"grmp needs 12 GiB of GPU memory .*no Dask worker") as no:
        refuse(options, rows)
    assert "dask worker ADDRESS --resources 'VRAM=GIB'" in str(no.value)
    refuse(replace(options, device="cpu"), rows)
    Client.workers = {"a": {"resources": {}}, "b": {"resources": {"VRAM": 24.0}}}
    refuse(options, rows)
    with pytest.raises(
        UsageError, match=r"large needs 80 GiB .* the largest Dask worker declares 24"
    ):
        refuse(options, {"large": Resources(vram=80)})


def test_array_limit_belongs_to_slurm() -> None:
    with pytest.raises(UsageError, match="--array-limit belongs to --executor slurm"):
        check(Options("few_shot", array_limit=1000))


def test_slurm_arrays_are_cut_by_kind_and_limit(
    slurm: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    options = Options("few_shot", slurm=["gpus=1"], array_limit=2, bundle=Duration(100))
    session = Session(tmp_path / "results", lambda job, event: None)
    executor = SlurmExecutor(options, session)
    sent: list[tuple[list[list[str]], dict[str, object]]] = []

    def send(array: list[list[tuple[Job, object]]], values: dict[str, object]) -> None:
        sent.append(([[job.title for job, _ in bundle] for bundle in array], values))

    monkeypatch.setattr(executor, "_send", send)
    with executor.batch():
        for number, (seconds, needs) in enumerate(
            [(60, NONE), (30, NONE), (None, NONE), (200, NONE), (1, CPU)]
        ):
            executor.submit(Job(title=str(number), results=tmp_path, needs=needs, estimate=seconds))
    executor.close()
    assert [array for array, _ in sent] == [[["0", "1"], ["2"]], [["3"]], [["4"]]]
    assert ["gpus_per_node" in values for _, values in sent] == [True, True, False]


def test_no_scheduler_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from bench.runs.dispatch.executors import dask_cluster

    monkeypatch.setattr(dask_cluster, "CONNECT", 0.5)
    with pytest.raises(UsageError, match="no Dask scheduler with workers answers at tcp://127"):
        dask_cluster.connect("tcp://127.0.0.1:9")
    with pytest.raises(UsageError, match="--executor dask needs --scheduler"):
        dask_cluster.connect("")
