"""Warm processes (`tests/warm/`) do what cold ones do."""

from __future__ import annotations

from pathlib import Path

from bench.store import Store
from tests.conftest import Bench
from tests.warm.stand_in import cold

PROTOCOL = "datasets: [toy]\nlabels: [10]\nrepeats: 1\nmethods: [toy_linear]\n"


def test_a_warm_worker_computes_what_a_cold_one_does(tmp_path: Path, toy_data: Path) -> None:
    found = []
    for name, environment in (("warm", {}), ("cold", {"TORCH_HOME": str(tmp_path)})):
        folder = tmp_path / name
        folder.mkdir()
        bench = Bench(folder, toy_data)
        assert cold(bench.environment(**environment)) == (name == "cold")
        assert bench.run(bench.protocol(PROTOCOL), **environment).returncode == 0
        store = Store(bench.results)
        (record,) = store.records()
        found.append((record.metrics, record.digests, store.predictions(record.spec)))
    (*warm, predictions), (*others, others_predictions) = found
    assert warm == others
    assert predictions.equals(others_predictions)
