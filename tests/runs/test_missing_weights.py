"""Rows whose weights are not on this machine: each fails by itself, with what to do about it."""

from __future__ import annotations

from bench.store import Store
from tests.conftest import Bench

PROTOCOL = "datasets: [toy]\nrepeats: 2\nmethods: [ridge, {method: constant}]\n"


def test_a_row_without_its_file_fails_and_the_others_go_on(bench: Bench) -> None:
    missing = bench.folder / "there" / "open_clip_model.safetensors"
    arguments = (bench.protocol(PROTOCOL), "--set", f"backbone=ViT-B-16:{missing}")
    planned = bench("plan", *arguments)
    assert planned.returncode == 0
    assert "cannot run: ridge: backbone" in planned.text
    ended = bench.run(*arguments)
    assert ended.returncode == 1
    said = " ".join(ended.text.split())
    assert f"cannot run: ridge: backbone 'ViT-B-16:{missing}': no weights file at" in said
    assert "put an open_clip or OpenAI checkpoint" in said
    methods = {record.spec.method for record in Store(bench.results).records()}
    assert methods == {"constant"}


def test_a_command_without_any_row_left_ends_with_3(bench: Bench) -> None:
    ended = bench.run(
        bench.protocol(PROTOCOL), "--methods", "ridge", "--set", "backbone=timm:resnet50:none.pth"
    )
    assert ended.returncode == 3
    assert "no weights file at none.pth; put timm's model.safetensors" in ended.text
    assert not bench.results.exists()


def test_weights_of_the_hub_fail_their_runs_alone(bench: Bench) -> None:
    # A process of its own: the hub's library reads its environment when it is imported.
    settings = ("--set", "backbone=timm:test_resnet", "--set", "resize=64")
    arguments = ("--device", "cpu", "--results", bench.results, *settings)
    hub = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(bench.folder / "hub")}
    once = PROTOCOL.replace("repeats: 2", "repeats: 1")
    ended = bench.process("run", bench.protocol(once), *arguments, "--no-report", **hub)
    assert ended.returncode == 1
    records = list(Store(bench.results).records())
    states = {record.spec.method: record.status for record in records}
    assert states == {"ridge": "failed", "constant": "done"}
    (reason,) = {record.error for record in records if record.status == "failed"}
    assert reason is not None
    assert "timm:test_resnet:r160_in1k:FOLDER/model.safetensors" in reason
