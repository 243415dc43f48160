"""Names, data roots, configuration, label versions; what is missing and where it was looked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.api import ImagePolicy
from bench.data import datasets
from bench.data.images import open_images
from bench.data.splits import make_split
from bench.util.errors import DataError, UsageError
from tests.data.datasets import layouts


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    monkeypatch.delenv("IQA_DATA", raising=False)
    monkeypatch.delenv("IQA_DATA_CONFIG", raising=False)
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))


def test_importing_and_listing_is_light():
    code = (
        "import sys, bench.data.datasets as d; d.names(); d.info('livec'); "
        "d.missing(['livec'], []); "
        "print([m for m in ('pandas', 'scipy', 'torch', 'PIL', 'openpyxl') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_all_databases_and_the_demo_sets_are_there():
    assert len(datasets.names()) == 22 + 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("livecc", "unknown dataset 'livecc'. Did you mean 'livec'"),
        ("KonIQ-10k", "Did you mean 'koniq10k'"),
        ("livec@1170", "unknown label version of livec '1170'. Did you mean '1169'"),
        ("live@", "unknown label version of live ''"),
    ],
)
def test_unknown_names(spec, message):
    with pytest.raises(UsageError, match=message):
        datasets.info(spec)


@pytest.mark.parametrize(
    ("spec", "canonical"),
    [("livec@1162", "livec"), ("live@dmos_new", "live"), ("koniq10k@zscore", "koniq10k@zscore")],
)
def test_label_versions(spec, canonical):
    assert datasets.info(spec).spec == canonical


def test_versions_have_their_own_range():
    assert (datasets.info("koniq10k").high, datasets.info("koniq10k@zscore").high) == (5, 100)
    assert datasets.info("livec@1169").size == 1169


@pytest.mark.parametrize(
    "where",
    [
        "ChallengeDB_release",
        "livec",
        "LIVEC",
        "livec/ChallengeDB_release",
        "iqa/challengedb-release",
        "iqa/LIVEC/unpacked",
        "",
    ],
)
def test_a_database_is_found_wherever_it_was_unpacked(tmp_path, where):
    root = tmp_path / "livec-data" if where else tmp_path / "clive"
    layouts.livec(root / where)
    assert datasets.locate("livec", root) == root / where
    assert len(datasets.load("livec", root)) == 3


def test_the_folder_with_the_annotations_wins(tmp_path):
    (tmp_path / "a" / "livec").mkdir(parents=True)
    layouts.livec(tmp_path / "b" / "livec")
    assert datasets.locate("livec", tmp_path) == tmp_path / "b" / "livec"
    assert datasets.locate("livec", [tmp_path / "a", tmp_path / "b"]) == tmp_path / "b" / "livec"


def test_data_roots_from_the_environment(tmp_path, monkeypatch):
    layouts.livec(tmp_path / "two" / "livec")
    monkeypatch.setenv("IQA_DATA", os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")]))
    assert datasets.locate("livec") == tmp_path / "two" / "livec"
    assert datasets.locate("livec", tmp_path / "one") is None


def test_missing_databases_are_listed_in_one_message(tmp_path):
    layouts.livec(tmp_path / "livec")
    absent = datasets.missing(["livec", "koniq10k", "demo_authentic", "live@dmos"], tmp_path)
    assert [one.spec for one in absent] == ["koniq10k", "live@dmos"]
    text = datasets.describe_missing(absent)
    assert "2 databases not found" in text
    for part in ("koniq10k (KonIQ-10k)", str(tmp_path), "https://", "--data-root", "iqa-data.yaml"):
        assert part in text
    with pytest.raises(DataError, match="1 database not found"):
        datasets.load("koniq10k", tmp_path)


def test_no_data_root_at_all():
    with pytest.raises(DataError, match=r"any data root \(none is given\)"):
        datasets.load("koniq10k")


def test_a_folder_per_database(tmp_path):
    layouts.koniq10k(tmp_path / "elsewhere" / "x")
    (tmp_path / "iqa-data.yaml").write_text(
        "folders:\n  koniq10k: {root: elsewhere/x, images: 512x384}\n"
    )
    data = datasets.load("koniq10k", tmp_path)
    assert data.root == tmp_path / "elsewhere" / "x" / "512x384"


def test_a_named_folder_that_is_not_there_is_not_guessed(tmp_path):
    layouts.livec(tmp_path / "livec")
    (tmp_path / "iqa-data.yaml").write_text("folders:\n  livec: nowhere\n")
    assert datasets.locate("livec", tmp_path) is None
    assert datasets.missing(["livec"], tmp_path)[0].looked == (str(tmp_path / "nowhere"),)


def test_configuration_from_the_environment_comes_first(tmp_path, monkeypatch):
    layouts.livec(tmp_path / "far" / "livec")
    (tmp_path / "mine.yaml").write_text("folders: {livec: far/livec}\n")
    monkeypatch.setenv("IQA_DATA_CONFIG", str(tmp_path / "mine.yaml"))
    assert datasets.locate("livec") == tmp_path / "far" / "livec"
    monkeypatch.setenv("IQA_DATA_CONFIG", str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match="which is not a file"):
        datasets.locate("livec")


OWN = """
databases:
  holiday:
    root: photos
    table: scores.csv
    image: file
    score: impairment
    reference: original
    label: dmos
    range: [0, 100]
    images: pictures
"""


def test_a_database_of_the_users_own(tmp_path):
    (tmp_path / "iqa-data.yaml").write_text(OWN)
    rows = [["file", "impairment", "original"]]
    rows += [[f"{i}.png", str(10 * i), f"r{i // 2}"] for i in range(10)]
    layouts.table(tmp_path / "photos" / "scores.csv", rows)
    layouts.pictures(tmp_path / "photos" / "pictures", [row[0] for row in rows[1:]])
    assert "holiday" in datasets.names(tmp_path)
    data = datasets.load("holiday", tmp_path)
    assert data.quality[3] == -30
    assert data.quality_range == (-100, 0)
    assert data.info.kind == "user"
    split = make_split(data, repeat=0)
    group = data.table["group"].to_numpy()
    assert not set(group[split.train]) & set(group[split.test])
    images = open_images(data.root, list(data.table["image"]), ImagePolicy(), tmp_path / "cache")
    assert len(images) == 10
    with pytest.raises(UsageError, match="unknown dataset 'holiday'"):
        datasets.info("holiday")


def test_published_split_files_are_found(tmp_path, monkeypatch):
    assert datasets.split_folder("liqe", tmp_path) is None
    (tmp_path / "splits" / "ARNIQA").mkdir(parents=True)
    assert datasets.split_folder("arniqa", tmp_path) == tmp_path / "splits" / "ARNIQA"
    (tmp_path / "iqa-data.yaml").write_text("splits: {arniqa: other}\n")
    assert datasets.split_folder("arniqa", tmp_path) == tmp_path / "other"
    (tmp_path / "iqa-data.yaml").write_text("splits: {random: other}\n")
    with pytest.raises(UsageError, match=r"iqa-data\.yaml:1: 'splits'.*'random' is a rule"):
        datasets.split_folder("arniqa", tmp_path)


def test_a_demo_set_is_rendered_once(tmp_path, monkeypatch):
    calls = []

    def render(name: str, folder: Path) -> None:
        calls.append(name)
        layouts.pictures(folder / "images", ["a.png", "b.png"])
        rows = [["image", "score", "spread", "raters", "reference", "distortion", "level", "scene"]]
        rows += [[f"images/{n}.png", "3.5", "0.4", "20", "", "haze", "", "plant"] for n in "ab"]
        layouts.table(folder / "table.csv", rows)

    monkeypatch.setattr("bench.data.demo.render.render_dataset", render)
    assert datasets.locate("demo_authentic") is None
    data = datasets.load("demo_authentic")
    assert datasets.load("demo_authentic").digest == data.digest
    assert calls == ["demo_authentic"]
    assert data.info.demo
    assert data.table["raters"].tolist() == [20, 20]
    assert data.root.is_relative_to(tmp_path / "cache" / "demo")
    assert datasets.locate("demo_authentic") == data.root


def test_an_interrupted_rendering_is_not_taken_for_a_set(monkeypatch):
    def stop(name: str, folder: Path) -> None:
        layouts.pictures(folder / "images", ["a.png"])
        layouts.table(folder / "table.csv", [["image"]])
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.data.demo.render.render_dataset", stop)
    with pytest.raises(KeyboardInterrupt):
        datasets.load("demo_synthetic")
    assert datasets.locate("demo_synthetic") is None
