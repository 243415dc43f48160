"""A server that speaks OpenAI's protocol and misbehaves when told to."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
from PIL import Image

from tests.loopback_server import LoopbackServer

MODEL = "eye-1"
LEVELS = {"excellent": 5, "good": 4, "fair": 3, "poor": 2, "bad": 1}
TOKENS = (100, 10)
"""Tokens that a request and its answer count as."""


def brightness(link: str) -> float:
    """Mean of an image in 0-1."""
    data = base64.b64decode(link.partition("base64,")[2])
    return float(np.asarray(Image.open(io.BytesIO(data)).convert("L")).mean() / 255)


def by_levels(images: list[float]) -> dict[str, Any]:
    """Brighter is better; the word's log-probability falls with its distance."""
    wanted = 1 + 4 * images[0]
    return _tokens({f" {word}": -abs(value - wanted) for word, value in LEVELS.items()})


def by_number(images: list[float]) -> dict[str, Any]:
    """An answer in tags, after some thought."""
    text = f"<think>It has 3 flaws.</think><answer>{1 + 4 * images[0]:.4f}</answer>"
    return {"message": {"role": "assistant", "content": text}, "logprobs": None}


def by_comparison(images: list[float]) -> dict[str, Any]:
    """Which of two is brighter."""
    words = {"superior": 1.0, "better": 0.75, "similar": 0.5, "worse": 0.25, "inferior": 0.0}
    chance = 1 / (1 + np.exp(-6 * (images[0] - images[1])))
    return _tokens({word: -20 * (value - chance) ** 2 for word, value in words.items()})


def _tokens(found: dict[str, float]) -> dict[str, Any]:
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in found.items()]
    first = max(top, key=lambda item: item["logprob"])
    content = [{**first, "top_logprobs": top}]
    return {
        "message": {"role": "assistant", "content": first["token"]},
        "logprobs": {"content": content, "refusal": None},
    }


@dataclass
class Loopback:
    """What the server answers, what goes wrong, and what it was asked."""

    answer: Callable[[list[float]], dict[str, Any]] = by_levels
    faults: list[str] = field(default_factory=list)
    """Taken one a request, from the front; then all goes well."""
    always: str = ""
    """A fault of every request."""
    model: str = MODEL
    wait: float = 0.0
    """Seconds that every answer takes."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests."""
    keys: set[str] = field(default_factory=set)
    """Keys that came."""
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, body: dict[str, Any]) -> str:
        with self.lock:
            self.asked.append(body)
            return self.always or (self.faults.pop(0) if self.faults else "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.loopback.keys.add(key)
        fault = self.loopback.next_fault(body)
        time.sleep(self.loopback.wait)
        getattr(self, f"_{fault or 'well'}")(body, key)

    def _well(self, body: dict[str, Any], key: str) -> None:
        self._send(200, self._reply(body))

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        parts = next(m for m in body["messages"] if m["role"] == "user")["content"]
        images = [brightness(part["image_url"]["url"]) for part in parts if "image_url" in part]
        choice = {"index": 0, "finish_reason": "stop", **self.loopback.answer(images)}
        usage = dict(zip(("prompt_tokens", "completion_tokens"), TOKENS, strict=True))
        return {
            "id": "x", "object": "chat.completion", "created": 0, "model": self.loopback.model,
            "choices": [choice], "usage": {**usage, "total_tokens": sum(TOKENS)},
        }  # fmt: skip

    def _send(self, status: int, value: Any, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(data)

    def _busy(self, body: dict[str, Any], key: str) -> None:
        self._send(429, {"error": {"message": "slow down"}}, Retry_After="0")

    def _broken(self, body: dict[str, Any], key: str) -> None:
        self._send(500, {"error": {"message": "oops"}}, Retry_After="0")

    def _dropped(self, body: dict[str, Any], key: str) -> None:
        self.close_connection = True
        self.connection.close()

    def _truncated(self, body: dict[str, Any], key: str) -> None:
        data = json.dumps(self._reply(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True

    def _malformed(self, body: dict[str, Any], key: str) -> None:
        self._send(200, b'{"choices": [')

    def _empty(self, body: dict[str, Any], key: str) -> None:
        self._send(200, {**self._reply(body), "choices": []})

    def _no_logprobs(self, body: dict[str, Any], key: str) -> None:
        reply = self._reply(body)
        reply["choices"][0]["logprobs"] = None
        self._send(200, reply)

    def _few_logprobs(self, body: dict[str, Any], key: str) -> None:
        reply = self._reply(body)
        content = reply["choices"][0]["logprobs"]["content"][0]
        content["top_logprobs"] = content["top_logprobs"][:3]
        self._send(200, reply)

    def _echo(self, body: dict[str, Any], key: str) -> None:
        self._send(401, {"error": {"message": f"the key {key} is not valid"}})

    def _elsewhere(self, body: dict[str, Any], key: str) -> None:
        self._send(307, {}, Location=f"{self.loopback.url}/other/chat/completions")


@contextmanager
def serving(loopback: Loopback) -> Iterator[Loopback]:
    """Serve on a free port of this machine while the block lasts."""
    handler = type("Handler", (_Handler,), {"loopback": loopback})
    server = LoopbackServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    loopback.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()
