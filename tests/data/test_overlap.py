"""Pictures that two databases share: found by content, and never on two sides of a fit."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bench.data import datasets, overlap
from bench.data.data_cache import DataCache
from bench.model.records import SplitRule, Task
from bench.protocol import Protocol
from bench.util.errors import DataError, UsageError
from tests.conftest import run_cli

REFERENCES, OTHERS, COPIES = 10, 10, 3
CONFIG = """
databases:
  left: {root: left, table: scores.csv, reference: original, range: [1, 5], images: pictures}
  right: {root: right, table: scores.csv, reference: original, range: [1, 5], images: pictures}
"""


def scene(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A made-up photograph, (width, height): soft blobs of colour, and edges."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)).copy()
    for _ in range(6):
        x, y = int(rng.integers(0, size[0] - 16)), int(rng.integers(0, size[1] - 12))
        picture[y : y + 12, x : x + 16] = rng.integers(0, 256, 3)
    return Image.fromarray(picture)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two databases with references, of which `right` cuts its last ones out of `left`'s.

    left:  references 0-9 with three distorted images each.
    right: 5 and 6 as they are, 7 resized, 8 cut, and ten of its own.
    """
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    write(data / "left", {f"l{index}": scene(index) for index in range(REFERENCES)})
    shared = {
        "r5": scene(5),
        "r6": scene(6),
        "r7": scene(7).resize((144, 96), Image.Resampling.BICUBIC),
        "r8": scene(8).crop((12, 8, 84, 56)),
    }
    own = {f"r{index}": scene(index) for index in range(50, 50 + OTHERS)}
    write(data / "right", {**shared, **own})
    (data / "iqa-data.yaml").write_text(CONFIG)
    return data


def write(folder: Path, references: dict[str, Image.Image]) -> None:
    (folder / "pictures").mkdir(parents=True)
    lines = ["image,original,score"]
    for name, clean in references.items():
        clean.save(folder / "pictures" / f"{name}.png")
        for level in range(1, COPIES + 1):
            blurred = clean.filter(ImageFilter.GaussianBlur(0.3 * level))
            blurred.save(folder / "pictures" / f"{name}_{level}.png")
            lines.append(f"{name}_{level}.png,{name}.png,{5 - level}")
    (folder / "scores.csv").write_text("\n".join(lines))


LINKS = {("l5", "r5"), ("l6", "r6"), ("l7", "r7"), ("l8", "r8")}


def test_shared_pictures_are_named_and_no_others(root: Path) -> None:
    (found,) = overlap.find(["left", "right"], root).values()
    kinds = {item.first_group[:2]: item.kind for item in found}
    assert kinds == {"l5": "exact", "l6": "exact", "l7": "near", "l8": "crop"}
    assert {(item.first_group[:2], item.second_group[:2]) for item in found} == LINKS
    left, right = (datasets.load(name, root) for name in ("left", "right"))
    assert overlap.known(left, right) == found
    backwards = overlap.known(right, left)
    assert [(item.second, item.first) for item in backwards] == [
        (item.first, item.second) for item in found
    ]


def test_the_command_prints_and_writes_them(root: Path, tmp_path: Path) -> None:
    done = run_cli(
        "data", "overlap", "left", "right", "--data-root", root, "--csv", tmp_path / "o.csv"
    )
    assert done.returncode == 0, done.stderr
    assert "left, right: 1 crop, 2 exact, 1 near" in done.stdout
    assert "l7" in done.stdout
    rows = list(csv.DictReader(io.StringIO((tmp_path / "o.csv").read_text())))
    assert {(row["first_group"][:2], row["second_group"][:2]) for row in rows} == LINKS
    assert {row["first_database"] for row in rows} == {"left"}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["left"], "two databases or more"),
        (["left", "left@ssim"], "not left with itself"),
        (["left", "rigth"], "Did you mean 'right'"),
        (["left", "livec"], "1 database not found"),
    ],
)
def test_what_cannot_be_compared_is_named(root: Path, names: list[str], reason: str) -> None:
    done = run_cli("data", "overlap", *names, "--data-root", root)
    assert done.returncode in (2, 3)
    assert reason in done.stderr


def test_a_list_of_other_images_is_not_used(root: Path) -> None:
    left, right = (datasets.load(name, root) for name in ("left", "right"))
    with pytest.raises(DataError, match="bench data overlap left right"):
        overlap.known(left, right)
    overlap.find(["right", "left"], root)
    table = root / "left" / "scores.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]))
    with pytest.raises(DataError, match="other names now"):
        overlap.known(datasets.load("left", root), right)


@dataclass(frozen=True)
class Fit:
    """What a fit learns from, and what its tests are, as groups of each database."""

    learnt: dict[str, set[str]]
    tested: dict[str, set[str]]

    @classmethod
    def of(cls, root: Path, repeat: int, exclude: bool, **keys: object) -> Fit:
        protocol = Protocol.model_validate(
            {"name": "p", "train": ["left", "right"], "test": ["left", "right"], **keys}
            | {"exclude_overlap": exclude}
        )
        (tasks,) = protocol.trainings_of_tasks()
        rule, cache = protocol.split_rule(tasks), DataCache([root])
        sides, _ = cache.sources(tasks[0], rule, repeat)
        tests = {task.test: cache.tested(task, rule, repeat)[0] for task in tasks}
        return cls(
            {
                side.dataset.info.name: set(side.dataset.units[[*side.train, *side.val]])
                for side in sides
            },
            {name: set(cache.dataset(name).units[rows]) for name, rows in tests.items()},
        )

    def crossing(self) -> set[tuple[str, str]]:
        """Links of which one end is learnt from and the other is tested."""
        return {
            (one, other)
            for one, other in LINKS
            if (
                f"{one}.png" in self.learnt.get("left", ())
                and f"{other}.png" in self.tested["right"]
            )
            or (
                f"{other}.png" in self.learnt.get("right", ())
                and f"{one}.png" in self.tested["left"]
            )
        }


def test_references_never_cross_sides_between_pooled_databases(root: Path) -> None:
    overlap.find(["left", "right"], root)
    crossed = 0
    for repeat in range(6):
        plain, apart = (Fit.of(root, repeat, exclude) for exclude in (False, True))
        crossed += len(plain.crossing())
        assert not apart.crossing()
        assert apart.tested == plain.tested  # test sides are those of every other protocol
        for name, groups in apart.learnt.items():
            assert groups <= plain.learnt[name]
            assert len(plain.learnt[name] - groups) <= len(LINKS)
    assert crossed


def test_a_whole_test_set_leaves_out_all_that_it_shares(root: Path) -> None:
    overlap.find(["left", "right"], root)
    fit = Fit.of(root, 0, True, train=["left"])
    assert not fit.learnt["left"] & {f"{one}.png" for one, _ in LINKS}
    budget = Fit.of(root, 0, True, train=["left"], labels=[9])
    assert not budget.crossing()
    cache, protocol = (
        DataCache([root]),
        Protocol(name="p", train=("left",), test=("right",), labels=(9,), exclude_overlap=True),
    )
    (tasks,) = protocol.trainings_of_tasks()
    sides, _ = cache.sources(tasks[0], protocol.split_rule(tasks), 0)
    assert len(sides[0].train) == 9  # a budget is drawn from what may be learnt


def test_a_corpus_leaves_out_what_tests_share(root: Path) -> None:
    overlap.find(["left", "right"], root)
    cache = DataCache([root])
    tasks = (Task(train="", test="left", side="whole", zero_shot=True),)
    rule = SplitRule(apart_from=("left:whole",))
    rows = cache.corpus_rows("right", tasks, rule, 0, alone=True, split_alike=False)
    groups = set(cache.dataset("right").units[rows])
    assert groups == {f"r{index}.png" for index in range(50, 50 + OTHERS)}
    whole = cache.corpus_rows("right", tasks, SplitRule(), 0, alone=True, split_alike=False)
    assert len(whole) == (OTHERS + len(LINKS)) * COPIES
    digests = [
        cache.corpus_digests(["right"], tasks, one, 0)["right"] for one in (rule, SplitRule())
    ]
    assert digests[0] != digests[1]


def test_a_protocol_without_a_list_is_refused(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "apart.yaml"
    file.write_text("train: [left]\ntest: [right]\nexclude_overlap: true\nmethods: [label_mean]\n")
    where = ("--data-root", root, "--results", tmp_path / "results")
    refused = run_cli("plan", file, *where)
    assert refused.returncode == 3
    assert "bench data overlap left right" in refused.stderr
    assert run_cli("data", "overlap", "right", "left", "--data-root", root).returncode == 0
    assert run_cli("run", file, *where, "--repeats", "1", "--device", "cpu").returncode == 0
    checked = run_cli("validate", tmp_path / "results", "--data-root", root)
    assert checked.returncode == 0, checked.text


def test_the_name_of_a_run_without_it_stays() -> None:
    assert "apart_from" not in SplitRule().model_dump()
    assert SplitRule.model_validate(SplitRule(apart_from=("a:own",)).model_dump()).apart_from


def test_grmps_sequence_cannot_leave_images_out(root: Path) -> None:
    overlap.find(["left", "right"], root)
    with pytest.raises(UsageError, match="draws its labels itself"):
        Fit.of(root, 0, True, train=["left"], labels=[9], split="grmp")
