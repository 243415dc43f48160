"""Answers of a model, each stored once and never requested again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.api import StoreError, replacing


@dataclass(frozen=True)
class Reply:
    """The reply to one request."""

    model: str
    """The model that the server reports."""
    text: str = ""
    """The answer's text."""
    tokens: Mapping[str, float] = field(default_factory=dict)
    """Log-probabilities of the first token, if requested."""
    finish: str = ""
    """Why the answer ended: 'stop', 'length', ..."""
    input_tokens: int = 0
    """Tokens of the request, as the server counts them."""
    output_tokens: int = 0
    """Tokens of the answer."""


def key_of(request: Mapping[str, Any]) -> str:
    """Name of a request by its content: everything that determines the answer, nothing else."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass
class ReplyStore:
    """Replies on disk, a file each, written whole; without a folder, in memory."""

    folder: Path | None
    _memory: dict[str, Reply] = field(default_factory=dict)

    def get(self, key: str) -> Reply | None:
        """The reply to a request; None if there is none yet.

        Raises `StoreError` for a file that is not a reply.
        """
        if self.folder is None:
            return self._memory.get(key)
        path = self._path(key)
        try:
            return Reply(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(f"'{path}' is not a stored reply ({error}); remove it") from None

    def put(self, key: str, reply: Reply) -> None:
        """Store a reply; the first one of a request stays."""
        if self.folder is None:
            self._memory.setdefault(key, reply)
            return
        path = self._path(key)
        if path.exists():
            return
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(reply)), encoding="utf-8")

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.json"
