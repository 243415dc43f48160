"""What `--log` tells to trackers: read back from TensorBoard's files, and from stand-ins of the two
packages that are not installed for tests."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bench.model.jobs import Event, Job
from bench.runs.trackers import TRACKERS, Command, Telling, Tracker, telling
from bench.store import Store
from bench.store import table as runs_table
from bench.util.errors import UsageError
from tests.conftest import Bench

PROTOCOL = "datasets: [toy]\nlabels: [10, 20]\nrepeats: 2\nmethods: [toy_linear, toy_luminance]\n"


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) of every point in the event files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    tags = found.Tags()["scalars"]
    return {tag: [(item.step, item.value) for item in found.Scalars(tag)] for tag in tags}


def test_tensorboard_holds_losses_and_results(bench: Bench) -> None:
    pytest.importorskip("tensorboard")
    ended = bench.run(bench.protocol(PROTOCOL), "--log", "tensorboard")
    assert ended.returncode == 0, ended.text
    (folder,) = (bench.results / "logs" / "tensorboard").iterdir()
    told = scalars(folder)
    runs = runs_table.load(bench.results)
    assert len(runs) == 8
    for run in runs.to_dict("records"):
        place = f"{run['label']} on toy, {run['budget']}"
        assert dict(told[f"srcc/{place}"])[run["repeat"]] == pytest.approx(run["srcc"])
    for record in Store(bench.results).records():
        if record.spec.method == "toy_linear":
            curve = [(point.epoch, point.loss) for point in record.curve]
            name = f"loss/toy_linear on toy, {record.spec.task.budget}/repeat {record.spec.repeat}"
            assert [step for step, _ in told[name]] == [epoch for epoch, _ in curve]
            assert [v for _, v in told[name]] == pytest.approx([loss for _, loss in curve])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wandb", "--log wandb needs its package: pip install 'iqa-bench[wandb]'"),
        ("tensorbord", "--log: unknown tracker 'tensorbord'. Did you mean 'tensorboard'?"),
    ],
)
def test_a_missing_tracker_is_an_error_before_anything_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = bench.run(bench.protocol(PROTOCOL), "--log", name)
    assert (ended.returncode, expected in ended.stderr) == (2, True), ended.text
    assert not bench.results.exists()


class Recorder(Tracker):
    """Keeps what it is told, and fails when it is asked to."""

    def __init__(self, breaks: bool = False) -> None:
        self.breaks, self.points, self.closed = breaks, list[tuple[str, float, int]](), False

    def scalar(self, name: str, value: float, step: int) -> None:
        if self.breaks:
            raise ConnectionError("the service is away\nfor good")
        self.points.append((name, value, step))

    def close(self) -> None:
        self.closed = True


def test_a_tracker_that_fails_is_dropped_and_the_others_go_on(tmp_path: Path) -> None:
    said: list[str] = []
    broken, well = Recorder(breaks=True), Recorder()
    told = Telling({"wandb": broken, "tensorboard": well}, said.append)
    job = Job(title="grmp pre-training", results=tmp_path, group="g", pretraining=None)
    for epoch in (1, 2):
        told.listen(job, Event(kind="epoch", epoch=epoch, loss=0.5 / epoch))
    told.listen(job, Event(kind="epoch", epoch=3, loss=None))
    told.close()
    assert said == ["--log wandb failed and gets nothing more: the service is away"]
    assert [(value, step) for _, value, step in well.points] == [(0.5, 1), (0.25, 2)]
    assert well.closed


def test_a_tracker_that_does_not_start_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Recorder()

    def refuse(command: Command) -> Tracker:
        raise ConnectionError("no key")

    monkeypatch.setattr(
        "bench.runs.trackers.TRACKERS",
        {**TRACKERS, "tensorboard": lambda command: first, "wandb": refuse},
    )
    command = Command(tmp_path, "name", {})
    with (
        pytest.raises(UsageError, match="--log wandb does not start: no key"),
        telling(("tensorboard", "wandb"), command, print),
    ):
        pass
    assert first.closed  # what had started is not left open


def test_wandb_gets_a_step_for_each_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in of the package: its documented calls, in their order."""
    calls: list[tuple[str, Any]] = []
    run = SimpleNamespace(
        define_metric=lambda name, step_metric: calls.append(("define", (name, step_metric))),
        log=lambda values: calls.append(("log", values)),
        finish=lambda: calls.append(("finish", None)),
    )
    module = ModuleType("wandb")
    module.init = lambda **given: calls.append(("init", given)) or run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    tracker = TRACKERS["wandb"](Command(tmp_path, "host-1", {"protocol": "few_shot"}))
    tracker.scalar("loss/a", 0.5, 1)
    tracker.scalar("loss/a", 0.25, 2)
    tracker.close()
    (_, given), *rest = calls
    assert (given["project"], given["name"]) == ("iqa-bench", "host-1")
    assert given["config"] == {"protocol": "few_shot"}
    assert Path(given["dir"]).is_relative_to(tmp_path)
    assert rest == [
        ("define", ("loss/a", "loss/a step")),
        ("log", {"loss/a": 0.5, "loss/a step": 1}),
        ("log", {"loss/a": 0.25, "loss/a step": 2}),
        ("finish", None),
    ]


def test_mlflow_gets_names_that_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in of the package: its client's documented calls."""
    calls: list[tuple[Any, ...]] = []

    class Client:
        def __init__(self, uri: str) -> None:
            calls.append(("client", uri))

        def get_experiment_by_name(self, name: str) -> None:
            return None

        def create_experiment(self, name: str) -> str:
            calls.append(("experiment", name))
            return "7"

        def create_run(self, experiment: str, run_name: str) -> Any:
            calls.append(("run", experiment, run_name))
            return SimpleNamespace(info=SimpleNamespace(run_id="r"))

        def log_param(self, run: str, key: str, value: str) -> None:
            calls.append(("param", run, key, value))

        def log_metric(self, run: str, key: str, value: float, step: int) -> None:
            calls.append(("metric", run, key, value, step))

        def set_terminated(self, run: str) -> None:
            calls.append(("end", run))

    module = ModuleType("mlflow")
    module.MlflowClient = Client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = TRACKERS["mlflow"](Command(tmp_path, "host-1", {"protocol": "few_shot"}))
    tracker.scalar("srcc/pyiqa:piqe on a → b, 20%", 0.5, 3)
    tracker.close()
    assert calls == [
        ("client", f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}"),
        ("experiment", "iqa-bench"),
        ("run", "7", "host-1"),
        ("param", "r", "protocol", "few_shot"),
        ("metric", "r", "srcc/pyiqa_piqe on a _ b_ 20_", 0.5, 3),
        ("end", "r"),
    ]
