"""Lists of images by others: as published splits, as databases, and written by us."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data import datasets
from bench.data.data_cache import DataCache
from bench.data.splits import Split, make_split
from bench.model.records import RunSpec, SplitRule, Task
from bench.store import Store
from bench.util.errors import DataError, UsageError
from tests.conftest import Bench, run_cli
from tests.data.datasets import layouts
from tests.fake_results import failed


def listed(path: Path, images: Sequence[str], **more: Any) -> None:
    """A list as DeQA-Score, Q-Align and Compare2Score write them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    items = [{"id": f"{i}->1", "image": i, "gt_score": 1.5, **more} for i in images]
    path.write_text(json.dumps(items, indent=4))


def sides(split: Split, spec: str, root: Path) -> dict[str, list[str]]:
    names = datasets.load(spec, root).table["image"].to_numpy()
    return {side: sorted(names[getattr(split, side)]) for side in ("train", "val", "test")}


def read(root: Path, spec: str, folder: Path, repeat: int = 0) -> dict[str, list[str]]:
    data = datasets.load(spec, root)
    split = make_split(data, repeat=repeat, scheme="theirs", folder=folder)
    return sides(split, spec, root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    layouts.livec(tmp_path / "ChallengeDB_release")
    layouts.koniq10k(tmp_path / "koniq10k")
    layouts.piq23(tmp_path / "PIQ23")
    return tmp_path


def test_q_aligns_numbered_lists(root: Path) -> None:
    folder = root / "lists" / "ft"
    listed(folder / "livec" / "train_split_1.json", ["livec/3.bmp", "livec/10.JPG"])
    listed(folder / "livec" / "test_split_1.json", ["livec/11.bmp"])
    listed(folder / "livec" / "train_split_2.json", ["livec/11.bmp", "livec/10.JPG"])
    listed(folder / "livec" / "test_split_2.json", ["livec/3.bmp"])
    listed(folder / "koniq" / "train_split_1.json", ["koniq/none.jpg"])
    assert read(root, "livec", folder)["test"] == ["11.bmp"]
    assert read(root, "livec", folder, 1) == {"train": ["10.JPG", "11.bmp"], "val": [],
                                              "test": ["3.bmp"]}  # fmt: skip
    with pytest.raises(UsageError, match="has 2 splits of livec; repeat 2 is not there"):
        read(root, "livec", folder, 2)


def test_compare2scores_test_sides(root: Path) -> None:
    folder = root / "lists" / "test_jsons"
    for number, image in ((1, "3.bmp"), (10, "10.JPG"), (2, "11.bmp")):
        listed(folder / str(number) / "clive_test.json", [f"clive/{image}"], std=0.5)
        listed(folder / str(number) / "live_test.json", ["live/jp2k/img1.bmp"])
    (folder / "training_jsons").mkdir()
    assert read(root, "livec", folder) == {"train": ["10.JPG", "11.bmp"], "val": [],
                                           "test": ["3.bmp"]}  # fmt: skip
    assert [read(root, "livec", folder, k)["test"] for k in (1, 2)] == [["11.bmp"], ["10.JPG"]]


def test_deqas_metas(root: Path) -> None:
    metas = root / "lists" / "KONIQ" / "metas"
    images = [f"KONIQ/images/{name}" for name in layouts.KONIQ]
    listed(metas / "train_koniq_7k.json", images[:2], std=0.4, level_probs=[0, 0, 1, 0, 0])
    listed(metas / "test_koniq_2k.json", images[3:], std=0.4)
    (metas / "mos.json").write_text(json.dumps({layouts.KONIQ[0]: {"mos": "3", "std": "1"}}))
    (metas / "split.json").write_text(json.dumps({"train": [], "test": []}))
    found = read(root, "koniq10k", root / "lists", repeat=4)  # one split, whatever the repeat
    assert found == {
        "train": sorted(layouts.KONIQ[:2]),
        "val": [],
        "test": sorted(layouts.KONIQ[3:]),
    }
    with pytest.raises(DataError, match=r"no list of livec below it; a list is called like 'livec"):
        read(root, "livec", root / "lists")


def test_piq23s_device_split(root: Path) -> None:
    folder = root / "PIQ23" / "Test split" / "Device Split"
    found = read(root, "piq23", folder)
    assert found["test"] == sorted(f"Overall/2_{scene}.jpg" for scene, _ in layouts.PIQ_SCENES)
    with pytest.raises(DataError, match="no list of piq23@details"):
        read(root, "piq23@details", folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.csv", "image,score,split\n3.bmp,1,training\n10.jpg,2,Test\n11.bmp,3,val\n"),
        ("s.csv", "Set;Img_Path\ntrain;x\\3.bmp\ntest;x\\10.JPG\nvalidation;x\\11.BMP\n"),
        (
            "s.jsonl",
            '{"image": "3.bmp", "split": "train"}\n{"image": "10.JPG", "split": "test"}\n'
            '{"image": "11.bmp", "split": "valid"}\n',
        ),
    ],
)
def test_any_table_with_images_and_parts(root: Path, name: str, content: str) -> None:
    (root / name).write_text(content)
    found = read(root, "livec", root / name)
    assert found == {"train": ["3.bmp"], "val": ["11.bmp"], "test": ["10.JPG"]}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"livec_train.json": ["t1.bmp", "t2.bmp", "3.bmp"]},
            r"2 of 3 images \('t1\.bmp', 't2\.bmp'\) are not images of livec; perhaps of livec@1",
        ),
        ({"livec_train.json": ["3.bmp"], "b/livec_train.json": ["10.JPG"]}, "could both be its"),
        ({"livec_train.json": ["3.bmp", "3.bmp"]}, "lists the same image twice"),
        ({"livec_train.json": ["3.bmp"], "livec_test.json": ["3.bmp"]}, "same image twice"),
        ({"livec_val.json": ["3.bmp"]}, "neither a training nor a test side of livec"),
        ({"livec.json": ["3.bmp"]}, r"no column of parts \(train, val, test\), called part or"),
    ],
)
def test_lists_that_cannot_be_used(
    root: Path, files: Mapping[str, Sequence[str]], message: str
) -> None:
    for name, images in files.items():
        listed(root / "lists" / name, images)
    with pytest.raises(DataError, match=message):
        read(root, "livec", root / "lists")


def test_livecs_training_images_are_found_by_their_file_names(root: Path) -> None:
    listed(root / "lists" / "livec_train.json", ["livec/t1.bmp", "livec/3.bmp"])
    found = read(root, "livec@1169", root / "lists")
    assert found["train"] == ["3.bmp", "trainingImages/t1.bmp"]


def test_a_database_whose_name_holds_a_part(tmp_path: Path) -> None:
    root = tmp_path / "root"
    layouts.pictures(root, ["a.png", "b.png", "c.png"])
    layouts.table(root / "t.csv", [["image", "score"], ["a.png", 1], ["b.png", 2], ["c.png", 3]])
    (root / "iqa-data.yaml").write_text(
        "databases:\n  box_test: {root: ., table: t.csv, range: [0, 5]}\n"
    )
    rows = [["image", "part"], ["a.png", "train"], ["b.png", "train"], ["c.png", "test"]]
    layouts.table(root / "lists" / "box_test-00.csv", rows)
    data = datasets.load("box_test", root)
    split = make_split(data, repeat=0, scheme="file", folder=root / "lists")
    assert (split.train.tolist(), split.test.tolist()) == ([0, 1], [2])


# -- through the command line ---------------------------------------------------------------------

PROTOCOL = "datasets: [toy]\nratios: [0.6]\nrepeats: 2\nsplit: {}\n"


def config(bench: Bench, splits: str) -> Path:
    folder = bench.folder / "config"
    folder.mkdir(exist_ok=True)
    (folder / "iqa-data.yaml").write_text(f"splits:\n  {splits}\n")
    return folder


def exported(bench: Bench, scheme: str, *roots: object) -> list[str]:
    """The split files that `bench splits export` writes under a scheme."""
    out = bench.folder / f"splits-{scheme}"
    places = [part for root in (bench.data, *roots) for part in ("--data-root", root)]
    ended = bench("splits", "export", "toy", "--out", out, "--repeats", 2, "--scheme", scheme,
                  *places)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return [path.read_text() for path in sorted(out.glob("*.csv"))]


def ran(bench: Bench) -> None:
    """A results folder with two runs of `toy`, as far as lists of its splits need it."""
    cache, rule, task = DataCache([bench.data]), SplitRule(), Task(train="toy", test="toy")
    for repeat in (0, 1):
        spec = RunSpec.of(
            task,
            test_digest=cache.tested(task, rule, repeat)[1],
            split=rule,
            split_digests=cache.sources(task, rule, repeat)[1],
            repeat=repeat,
            method="constant",
            method_version="1",
            code="c0de",
            settings={},
        )
        Store(bench.results).write(failed(spec, "not run"))


def test_our_own_lists_are_read_again(bench: Bench) -> None:
    """Export the splits in DeQA's form, and split by them: the sides are the same."""
    ran(bench)
    ended = bench("export", bench.results, "metas", "--format", "manifest")
    assert ended.returncode == 0, ended.stderr
    assert "metas: 4 lists of images" in ended.stdout
    items = json.loads((bench.folder / "metas" / "all" / "toy" / "test_split_1.json").read_text())
    assert len(items) == 12
    assert set(items[0]) == {"id", "image", "gt_score", "gt_score_norm"}
    assert items[0]["image"].startswith("toy/")
    norms = [item["gt_score_norm"] for item in items]
    assert 1 <= min(norms) < max(norms) <= 5
    place = config(bench, f"ours: {bench.folder / 'metas'}")
    assert exported(bench, "ours", place) == exported(bench, "random")


def test_the_lists_of_changed_data_are_not_written(bench: Bench, tmp_path: Path) -> None:
    ran(bench)
    lines = (bench.data / "toy" / "scores.csv").read_text().splitlines(keepends=True)
    (tmp_path / "other" / "toy").mkdir(parents=True)
    (tmp_path / "other" / "toy" / "scores.csv").write_text("".join(lines[:-7]))
    (tmp_path / "other" / "iqa-data.yaml").write_text(
        "databases:\n  toy: {root: toy, table: scores.csv, range: [1, 5]}\n"
    )
    ended = bench("export", bench.results, "metas", "--format", "manifest",
                  "--data-root", tmp_path / "other")  # fmt: skip
    assert ended.returncode == 3
    assert "is not the one that was run" in ended.stderr
    assert not (bench.folder / "metas").exists()


def test_a_split_by_lists_is_planned_by_name(bench: Bench) -> None:
    for number in (1, 2):
        names = [f"toy/{n:03}.png" for n in range(20 * number, 20 * number + 20)]
        listed(bench.folder / "lists" / "toy" / f"test_split_{number}.json", names)
    place = config(bench, f"theirs: {bench.folder / 'lists'}")
    roots = ("--data-root", bench.data, "--data-root", place)
    protocol = bench.protocol(PROTOCOL.format("theirs"))
    ended = bench("plan", protocol, "--methods", "constant", *roots)
    assert ended.returncode == 0, ended.text
    for wrong, says in (("theis", "unknown split scheme 'theis'"), ("ofisial", "'official'")):
        ended = bench("plan", bench.protocol(PROTOCOL.format(wrong)), "--methods", "constant",
                      *roots)  # fmt: skip
        assert ended.returncode == 2
        assert says in ended.stderr


@pytest.mark.parametrize(
    ("splits", "code", "says"),
    [
        ("random: x", 2, "'random' is a rule and has no files"),
        ("theirs: nowhere", 3, "nowhere: no such file or folder"),
    ],
)
def test_wrong_places_of_lists(bench: Bench, splits: str, code: int, says: str) -> None:
    place = config(bench, splits)
    protocol = bench.protocol(PROTOCOL.format("theirs"))
    ended = bench.run(protocol, "--methods", "constant", "--data-root", bench.data,
                      "--data-root", place)  # fmt: skip
    assert ended.returncode == code
    assert says in ended.stderr
    assert not list(bench.results.rglob("records/*/*/*.json"))


@pytest.fixture
def metas(tmp_path: Path) -> Path:
    """A database that consists of two lists, as DeQA's do."""
    root = tmp_path / "root"
    names = [f"BOX/images/{n}.png" for n in range(30)]
    layouts.pictures(root, names)
    scores = np.linspace(1, 4.8, 30)
    for part, rows in (("train", range(20)), ("test", range(20, 30))):
        items = [
            {"image": names[n], "gt_score": f"{scores[n]:.2f} ", "std": 0.5, "level_probs": [0, 1]}
            for n in rows
        ]
        (root / f"{part}_box.json").write_text(json.dumps(items))
    (root / "iqa-data.yaml").write_text(
        "databases:\n  box:\n    root: .\n    table: {train: train_box.json, test: test_box.json}\n"
        "    score: gt_score\n    spread: std\n    range: [1, 5]\n"
    )
    return root


def test_lists_as_a_database(metas: Path) -> None:
    data = datasets.load("box", metas)
    assert data.table["official"].value_counts().to_dict() == {"train": 20, "test": 10}
    assert data.table["score"].iloc[29] == 4.8
    assert (data.table["spread"] == 0.5).all()
    result = run_cli("data", "verify", "box", "--data-root", metas)
    assert result.returncode == 0, result.stdout


def test_nothing_runs_where_images_of_a_list_are_missing(bench: Bench, metas: Path) -> None:
    for number in (3, 25):
        (metas / "BOX" / "images" / f"{number}.png").unlink()
    protocol = bench.protocol("datasets: [box]\nsplit: official\nrepeats: 1\n")
    ended = bench.run(protocol, "--methods", "toy_luminance", "--data-root", metas)
    assert ended.returncode == 3
    assert "box: 2 of 30 image files are missing" in ended.stderr
    assert "BOX/images/3.png" in ended.stderr
    assert not list(bench.results.rglob("records/*/*/*.json"))
