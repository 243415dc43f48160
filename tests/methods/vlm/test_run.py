"""`bench run` with a vision-language model, through real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bench.store import Store
from tests.conftest import run_cli
from tests.methods.vlm.loopback import MODEL, Loopback, serving

KEY = "sk-secret-of-the-user"


@pytest.fixture
def folder(tmp_path: Path, toy_data: Path) -> Path:
    protocol = {"name": "zero", "train": [], "test": ["toy"], "test_side": "whole", "repeats": 1}
    (tmp_path / "zero.yaml").write_text(yaml.safe_dump(protocol))
    return tmp_path


def describe(folder: Path, loopback: Loopback, **changes: object) -> None:
    values: dict[str, object] = {
        "model": MODEL,
        "prompt": "How good is it?",
        "answer": {"kind": "levels"},
        "decoding": {"max_tokens": 1},
        "server": {"url": loopback.url, "concurrency": 2},
        **changes,
    }
    (folder / "vlm").mkdir(exist_ok=True)
    (folder / "vlm" / "eye.yaml").write_text(yaml.safe_dump(values))


def arguments(folder: Path, data: Path) -> list[object]:
    return [
        *("zero.yaml", "--methods", "vlm:eye", "--data-root", data),
        *("--results", folder / "r", "--jobs", 1),
    ]


def test_a_row_from_a_server(folder: Path, toy_data: Path) -> None:
    with serving(Loopback(faults=["no_logprobs"])) as loopback:
        describe(folder, loopback, max_unparsed=0.05)
        key = {"OPENAI_API_KEY": KEY}
        ended = run_cli("plan", *arguments(folder, toy_data), folder=folder, environment=key)
        assert f"at most 80 requests to {loopback.url}" in ended.stdout
        assert not loopback.asked
        stopped = run_cli(
            "run",
            *arguments(folder, toy_data),
            "--max-tokens",
            1000,
            folder=folder,
            environment=key,
        )
        assert stopped.returncode == 5
        assert "stopped at --max-tokens 1,000" in stopped.stderr
        assert len(loopback.asked) < 15
        assert not list((folder / "r" / "records").rglob("*.json"))
        ended = run_cli("run", *arguments(folder, toy_data), folder=folder, environment=key)
        assert ended.returncode == 0, ended.text
        assert len(loopback.asked) == 80  # 60 images, 20 of them twice
        (record,) = Store(folder / "r").records()
        assert record.sizes["unscored"] == 1
        assert (record.value("srcc") or 0) > 0.9
        assert record.table_notes == ["1 of 60 answers could not be parsed; 1 images have no score"]
        assert any(note.startswith("asked again about 20 images") for note in record.notes)
        assert run_cli("validate", folder / "r").returncode == 0
        # Another command takes the stored scores, and what is to be said of them.
        (folder / "r" / "records").rename(folder / "gone")
        run_cli("run", *arguments(folder, toy_data), folder=folder, environment=key)
        assert Store(folder / "r").records(curve=False).__next__().notes == record.notes
        assert len(loopback.asked) == 80
    stored = [path for path in (folder / "r").rglob("*") if path.is_file()]
    assert not [path for path in stored if KEY.encode() in path.read_bytes()]
    summary = pd.read_csv(folder / "r" / "report" / "summary.csv")
    assert set(summary["label"]) == {"vlm:eye"}


def test_a_kill_loses_and_doubles_no_answer(folder: Path, toy_data: Path) -> None:
    with serving(Loopback(wait=0.05)) as loopback:
        describe(folder, loopback, retest=0)
        command = [sys.executable, "-m", "bench", "run", *map(str, arguments(folder, toy_data))]
        process = subprocess.Popen(
            command, cwd=folder, start_new_session=True, env={**os.environ, "OPENAI_API_KEY": KEY},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        replies = folder / "r" / "replies"
        limit = time.monotonic() + 60
        while len(list(replies.rglob("*.json"))) < 10 and time.monotonic() < limit:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.3)  # the method's process notices, and ends
        stored, asked = len(list(replies.rglob("*.json"))), len(loopback.asked)
        assert 10 <= stored < 60
        assert asked - stored <= 2  # under way when the kill came
        ended = run_cli(
            "run", *arguments(folder, toy_data), folder=folder, environment={"OPENAI_API_KEY": KEY}
        )
        assert ended.returncode == 0, ended.text
        assert len(loopback.asked) - asked == 60 - stored
        assert len(list(replies.rglob("*.json"))) == 60
