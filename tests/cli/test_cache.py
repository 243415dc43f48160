"""`bench cache`: what is kept on this machine, and how it is made smaller."""

from __future__ import annotations

from tests.conftest import Bench


def test_features_are_shared_by_methods_reported_and_pruned(bench: Bench) -> None:
    protocol = bench.protocol("datasets: [toy2]\nlabels: [10]\nrepeats: 2\n")
    settings = ("--set", "backbone=lite0", "--set", "resize=32")
    assert bench.run(protocol, "--methods", "ridge,knn", *settings).returncode == 0
    said = bench("cache")
    assert said.returncode == 0, said.text
    (line,) = [line for line in said.stdout.splitlines() if line.strip().startswith("lite0")]
    seen = int(line.split(" images")[0].split()[-1])
    assert 10 + 8 <= seen <= 40, "one shelf for both methods, each image at most once"
    assert "images" in said.stdout
    pruned = bench("cache", "--prune", "0")
    assert "removed" in pruned.stdout
    assert "lite0" not in pruned.stdout
