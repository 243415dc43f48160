"""Files that were damaged after they were written: named, set aside, and made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.data_cache import DataCache
from bench.model.jobs import Event, RunJob
from bench.protocol import Protocol
from bench.protocol.variants import choose
from bench.runs.execute import RunExecutor
from bench.runs.plan import Planner
from bench.store import Store
from tests.conftest import Bench


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more"], ids=["empty", "truncated"])
def test_damaged_scores_are_set_aside_and_computed_again(
    content: bytes, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    protocol = Protocol(name="damage", datasets=("toy",), labels=(10,), repeats=1)
    data_cache, store = DataCache([toy_data]), Store(tmp_path / "results")
    variants = choose(protocol, ["toy_luminance"], {})
    (spec,) = Planner(protocol, data_cache).plan(variants, store).runs.values()
    work = RunJob(spec=spec, settings=variants[0].raw)
    first = RunExecutor(store, data_cache).execute(work)
    (scores,) = (store.root / "scores").glob("*/*.parquet")
    whole = scores.read_bytes()

    scores.write_bytes(content)
    events: list[Event] = []
    second = RunExecutor(store, data_cache, emit=events.append).execute(work)
    assert second.status == "done", second.traceback
    assert second.metrics == first.metrics
    assert scores.read_bytes() == whole
    assert scores.with_name(f"{scores.name}.unreadable").read_bytes() == content
    (note,) = [event.title for event in events if event.kind == "note"]
    assert note.startswith(f"set aside: table '{scores}' cannot be read")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty", marks=pytest.mark.slow),
        pytest.param(b"PAR1 and no more", id="truncated"),
    ],
)
def test_cut_off_predictions_are_named_and_computed_again(content: bytes, bench: Bench) -> None:
    protocol = bench.protocol("title: T\ndatasets: [toy]\nlabels: [10]\nrepeats: 2\n")
    command = (protocol, "--methods", "label_mean")
    assert bench.run(*command).returncode == 0
    tables = sorted((bench.results / "records").glob("*/*/*.parquet"))
    damaged, whole = tables[0], [table.read_bytes() for table in tables]
    damaged.write_bytes(content)

    planned = bench("plan", *command, "--results", bench.results)
    assert "1 done, 0 failed, 1 to do" in planned.stdout
    again = bench.run(*command)
    assert again.returncode == 0, again.stderr
    assert f"{damaged}: predictions are cut off" in again.stdout + again.stderr
    assert damaged.with_name(f"{damaged.name}.unreadable").read_bytes() == content
    assert [table.read_bytes() for table in tables] == whole
    assert "cut off" not in bench.run(*command).stdout
