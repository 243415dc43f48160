"""Every protocol of the project can be tried without databases: one form of command for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import protocol as protocols
from bench import registry
from bench.api import OWN
from bench.cli import session
from bench.cli.options import Names, Options
from bench.data.demo import DEMO_SETS
from bench.model.records import Task
from bench.store import Store, artifacts
from bench.util.errors import UsageError
from tests.conftest import Bench

WITHOUT_BACKBONE = ("sanity",)
SHORT = {
    "grmp": ("meta_epochs=1", "epochs=1", "grmp.crops=1", "grmp.test_crops=1"),
    "mpiqe": ("epochs=1",),
    "promptiqa": ("epochs=1", "promptiqa.fusion_epochs=1"),
    "deiqt": ("epochs=1", "deiqt.warmup_epochs=0"),
    "coop": ("steps=60", "epoch_steps=60"),
}
"""Settings that make a method's training short, not good."""


@pytest.mark.parametrize("name", protocols.available())
def test_every_protocol_resolves_on_demo_data_with_tiny(name: str) -> None:
    assignments = [] if name in WITHOUT_BACKBONE else ["backbone=tiny"]
    options = Options(name, datasets=Names(("demo",)), assignments=assignments)
    chosen, variants = session.resolve(options, [])
    tasks = chosen.tasks()
    bases = {spec.partition("@")[0] for task in tasks for spec in (*task.sources, task.test)}
    assert tasks
    assert bases <= set(DEMO_SETS)
    assert chosen.split in ("random", "official", "grmp")  # no files list rendered images
    assert [row.title for row in variants] == [row.title for row in protocols.load(name).methods]
    needed = {corpus for row in variants for corpus in row.build().corpora()} - {OWN}
    assert {corpus.partition("@")[0] for corpus in needed} <= set(DEMO_SETS)
    for row in variants:
        # Nothing is fetched: neither CLIP's weights nor ImageNet's.
        assert row.weights().get("name", "tiny") == "tiny", row.title


def test_demo_means_pairs_where_a_protocol_has_pairs() -> None:
    options = Options("gmad", datasets=Names(("demo", "demo_synthetic:demo_authentic")))
    chosen, _ = session.resolve(options, [])
    where = {"train": "demo_synthetic", "test": "demo_authentic"}
    assert chosen.tasks() == [Task(**where, learn="all", side="whole")]


def test_a_split_that_is_asked_for_stays() -> None:
    options = Options("koniq_suite", datasets=Names(("demo",)), assignments=["split=liqe"])
    assert session.resolve(options, [])[0].split == "liqe"


def test_demo_replaces_what_a_suite_learns_from_and_stands_alone() -> None:
    with pytest.raises(UsageError, match="cannot be combined with another database"):
        session.resolve(Options("koniq_suite", datasets=Names(("demo", "livec"))), [])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Bench:
    """One folder for all protocols: sets are rendered once, and pre-trainings serve several."""
    return Bench(tmp_path_factory.mktemp("demo"), toy_data)


@pytest.mark.slow
@pytest.mark.parametrize("name", protocols.available())
def test_every_protocol_runs_on_demo_data(name: str, shared: Bench) -> None:
    methods = {registry.split_name(row.method)[0] for row in protocols.load(name).methods}
    short = {item for method in methods for item in SHORT.get(method, ())}
    if name not in WITHOUT_BACKBONE:
        short.add("backbone=tiny")
    changes = [part for item in sorted(short) for part in ("--set", item)]
    where = ["--device", "cpu", "--results", shared.folder / name]
    result = shared("run", name, "--datasets", "demo", "--repeats", 1, *where, *changes)
    assert result.returncode == 0, result.stdout + result.stderr
    records = list(Store(shared.folder / name).records())
    assert {record.status for record in records} == {"done"}
    for kind in protocols.load(name).keep:
        assert artifacts.path(Store(shared.folder / name), records[0].spec, kind).is_file()
