"""A site of its own for each test, and patience that suits a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.data.fetch import sources
from tests.data.fetch.site import Site, serving


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("IQA_DATA", "IQA_DATA_CONFIG", "HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(autouse=True)
def _sources_anew() -> Iterator[None]:
    """What a test listed as sources is forgotten after it."""
    yield
    sources.known.cache_clear()
