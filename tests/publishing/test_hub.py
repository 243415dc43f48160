"""Publishing to a stand-in of the hub's HTTP: what is asked for, and what arrives."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import huggingface_hub
import pandas as pd
import pytest
import yaml

from bench.publishing.hub import Upload, _foreign, send
from bench.store import Store
from bench.util.errors import BenchError
from tests.conftest import Bench, Ended, run_cli
from tests.fake_results import FakeSweep
from tests.loopback_server import LoopbackServer

TOKEN = "hf_" + "notarealtoken" * 2


@dataclass
class Hub:
    """What the stand-in was asked for."""

    port: int = 0
    refuses: bool = False
    created: list[dict[str, Any]] = field(default_factory=list)
    commits: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Repository -> the lines of its last commit."""
    count: int = 0
    tokens: set[str] = field(default_factory=set)
    there: list[str] = field(default_factory=list)
    """Files that repositories hold already."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON of one request."""
        if self.refuses:
            return 401, {"error": f"Invalid credentials: {TOKEN}"}
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            kind, owner, name = (self.created[-1][key] for key in ("type", "organization", "name"))
            return 200, {"url": f"http://127.0.0.1:{self.port}/{kind}s/{owner}/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        kind, _, rest = path.removeprefix("/api/").partition("/")
        repo = "/".join(rest.split("/")[:2])
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            return 200, {
                "files": [{**one, "uploadMode": "regular", "shouldIgnore": False} for one in files]
            }
        if "/tree/" in path:
            return 200, [
                {"type": "file", "path": one, "size": 1, "oid": "0" * 40} for one in self.there
            ]
        if "/commit/" in path:
            self.count += 1
            self.commits[f"{kind}/{repo}"] = [json.loads(line) for line in body.splitlines()]
            address = f"http://127.0.0.1:{self.port}/{kind}/{repo}"
            return 200, {
                "success": True,
                "commitUrl": f"{address}/commit/{'0' * 40}",
                "commitOid": "0" * 40,
                "hookOutput": "",
            }
        return 404, {"error": f"{method} {path}"}

    def files(self, repo: str) -> dict[str, bytes]:
        """The files that the last commit to a repository added."""
        values = [line["value"] for line in self.commits[repo] if line["key"] == "file"]
        return {one["path"]: base64.b64decode(one["content"]) for one in values}


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = self.headers.get("Content-Length")
            body = self.rfile.read(int(length)) if length else self._chunks()
            hub.tokens.add(self.headers.get("Authorization", ""))
            status, value = hub.answer(self.command, self.path.partition("?")[0], body)
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _chunks(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return b""
            parts = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_HEAD = _answer

        def log_message(self, *_: object) -> None: ...

    server = LoopbackServer(("127.0.0.1", 0), Handler)
    hub.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def publish(bench: Bench, hub: Hub, results: Path, *more: str) -> Ended:
    """In a process of its own: the hub's library reads its address when it is imported."""
    return bench.process(
        "publish",
        results,
        "--hub",
        "ann/results",
        *more,
        HF_ENDPOINT=f"http://127.0.0.1:{hub.port}",
        HF_TOKEN=TOKEN,
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_OFFLINE="0",
        HF_HOME=str(bench.folder / "hf"),
    )


def test_predictions_and_report_arrive_in_one_commit_each(bench: Bench) -> None:
    store = FakeSweep(bench.folder / "r", datasets=("livec",), repeats=3).write()
    with serving(Hub(there=["README.md", ".gitattributes"])) as hub:
        ended = publish(bench, hub, store.root, "--private")
    assert ended.returncode == 0, ended.text
    assert TOKEN not in ended.text
    assert hub.tokens == {f"Bearer {TOKEN}"}
    kinds = {(one["name"], one.get("type"), one.get("sdk")) for one in hub.created}
    assert kinds == {("results", "dataset", None), ("results-report", "space", "static")}
    assert all(one.get("private") or one.get("visibility") == "private" for one in hub.created)
    assert (hub.count, set(hub.commits)) == (
        2,
        {"datasets/ann/results", "spaces/ann/results-report"},
    )
    files = hub.files("datasets/ann/results")
    table = pd.read_parquet(io.BytesIO(files["data/predictions.parquet"]))
    assert len(table) == 2 * 3 * 40
    record = next(iter(store.records()))
    mine = table[table["run_id"] == record.run_id].reset_index(drop=True)
    stored = store.predictions(record.spec)
    pd.testing.assert_frame_equal(
        mine[["image", "quality", "prediction"]], stored[["image", "quality", "prediction"]]
    )
    assert len(pd.read_parquet(io.BytesIO(files["data/runs.parquet"]))) == 6
    head = yaml.safe_load(files["README.md"].decode().split("---")[1])
    assert {one["data_files"] for one in head["configs"]} == set(files) - {"README.md"}
    space = hub.files("spaces/ann/results-report")
    assert b"few_shot" in space["index.html"]
    assert yaml.safe_load(space["README.md"].decode().split("---")[1])["sdk"] == "static"


def test_what_an_earlier_report_left_goes(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "a.html").write_text("a page")
    (tmp_path / "index.html").write_text("a page")
    upload = Upload("ann/results", "space", tmp_path)
    there = ["methods/old.html", "old.html", ".gitattributes"]
    assert _foreign(upload, there) == []
    assert _foreign(upload, [*there, "a.bin", "src/a.html"]) == ["a.bin", "src/a.html"]


def test_a_repository_of_other_files_is_left_alone(bench: Bench) -> None:
    store = FakeSweep(bench.folder / "r", datasets=("livec",), repeats=3).write()
    with serving(Hub(there=["model.safetensors", "README.md"])) as hub:
        ended = publish(bench, hub, store.root)
    assert ended.returncode == 1
    assert "holds files that this does not make, such as model.safetensors" in ended.stderr
    assert not hub.commits


def test_a_refusal_names_the_way_out_and_never_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text("a page")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving(Hub(refuses=True)) as hub:
        own = partial(huggingface_hub.HfApi, endpoint=f"http://127.0.0.1:{hub.port}")
        monkeypatch.setattr("huggingface_hub.HfApi", own)
        with pytest.raises(BenchError) as refused:
            list(send([Upload("ann/results", "space", tmp_path)]))
    assert "spaces/ann/results on the hub" in str(refused.value)
    assert "401 Unauthorized" in str(refused.value)
    assert "Invalid credentials: …" in str(refused.value)
    assert "HF_TOKEN" in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_dry_run_lists_what_would_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.publishing.hub.send", lambda *_: 1 / 0)
    store = FakeSweep(tmp_path / "r", datasets=("livec",), repeats=2).write()
    ended = run_cli("publish", store.root, "--hub", "ann/results", "--dry-run", "--no-labels")
    assert ended.returncode == 0, ended.text
    listed = re.findall(r"^ +([\d,]+)  (\S+)$", ended.stdout, re.MULTILINE)
    sizes = {name: int(size.replace(",", "")) for size, name in listed}
    assert {"data/runs.parquet", "data/predictions.parquet", "index.html"} <= set(sizes)
    assert min(sizes.values()) > 0
    assert "nothing was sent" in ended.stdout
    assert not any(name.startswith(("thumbnails", ".")) for name in sizes)


@pytest.mark.parametrize("repo", ["results", "a/b/c", "../x", "ann/"])
def test_what_cannot_name_a_repository_is_refused(tmp_path: Path, repo: str) -> None:
    FakeSweep(tmp_path / "r", datasets=("livec",), repeats=2).write()
    ended = run_cli("publish", tmp_path / "r", "--hub", repo, "--dry-run")
    assert (ended.returncode, "expected OWNER/NAME" in ended.stderr) == (2, True), ended.text
    assert Store(tmp_path / "r").names()


def test_a_report_that_lacks_a_protocol_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise IndexError("no such row")

    store = FakeSweep(tmp_path / "r", datasets=("livec",), repeats=2).write()
    monkeypatch.setattr("bench.reports.sound._tried", broken)
    ended = run_cli("publish", store.root, "--hub", "ann/results", "--dry-run")
    assert ended.returncode == 1, ended.text
    assert "not to be published: few_shot: IndexError: no such row" in ended.stderr
