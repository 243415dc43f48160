"""Folders as people have them: many formats, links, and what systems and editors leave there."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import datasets
from bench.data.images.files import image_files, suffixes
from tests.conftest import Bench, run_cli
from tests.data.datasets import layouts
from tests.fake_results import FakeSweep

FORMATS = ("a.gif", "b.jfif", "c.jpe", "d.avif", "e.jp2", "f.ppm", "g.JPG", "h.tga", "i.webp")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of many formats among what other programs leave beside them."""
    folder, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for place in (folder, elsewhere, folder / ".ipynb_checkpoints", folder / "d.jpg"):
        place.mkdir()
    pixels = Image.fromarray(np.full((20, 30, 3), 99, np.uint8))
    kinds = {".jfif": "JPEG", ".jpe": "JPEG", ".jpg": "JPEG"}
    for name in FORMATS:
        pixels.save(folder / name, kinds.get(Path(name).suffix.lower()))
    pixels.save(folder / "d.jpg" / "inside.png")
    pixels.save(elsewhere / "linked.png")
    pixels.save(folder / ".ipynb_checkpoints" / "a-checkpoint.png")
    for name in ("._a.jpg", "Thumbs.db", "notes.txt"):
        (folder / name).write_bytes(b"x")
    (folder / "deep").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder / "d.jpg")
    (elsewhere / "back").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    return folder


FOUND = [*FORMATS, "d.jpg/inside.png", "deep/linked.png"]


def test_every_image_of_a_folder_is_scored_once(bench: Bench, photos: Path) -> None:
    result = bench("predict", photos, "--method", "toy_luminance", "--out", "s.csv")
    assert result.returncode == 0, result.stderr
    with (bench.folder / "s.csv").open() as file:
        scored = [str(Path(row["image"]).relative_to(photos)) for row in csv.DictReader(file)]
    assert sorted(scored) == sorted(FOUND)
    assert "2 hidden images, 1 file that is not an image (.txt)" in result.stdout


def test_a_folder_without_images_says_what_is_there(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "x.heic").write_bytes(b"x")
    result = bench("predict", tmp_path / "raw", "--method", "toy_luminance")
    assert result.returncode == 3
    assert "1 file that is not an image (.heic)" in result.stderr


def test_a_pool_of_the_users_own_holds_the_same_images(bench: Bench, photos: Path) -> None:
    (photos.parent / "iqa-data.yaml").write_text(
        f"databases:\n  pool: {{root: {photos.name}, label: none}}\n"
    )
    result = run_cli("data", "status", "--data-root", photos.parent)
    (line,) = (line for line in result.stdout.splitlines() if line.strip().startswith("pool"))
    assert "11 of 11" in line
    assert datasets.load("pool", photos.parent).table["image"].tolist() == sorted(FOUND)


def test_what_pillow_cannot_decode_by_itself_is_no_image() -> None:
    assert {".gif", ".jfif", ".jpe", ".avif", ".jp2", ".ppm", ".tif", ".png"} <= suffixes()
    assert not {".pdf", ".eps", ".mpg", ".h5", ".txt", ".csv", ".mat"} & suffixes()


def test_links_that_lead_round_end(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        layouts.picture(tmp_path / name / f"{name}.png")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    # A link to nothing is listed: who asked for its score learns that it is broken.
    assert image_files(tmp_path).names == ("a/a.png", "b/b.png", "gone.png")


# -- results folders ------------------------------------------------------------------------------


def _apple_double(root: Path) -> None:
    """What macOS writes beside every file on a foreign disk."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")


@pytest.mark.parametrize(
    "command",
    [
        ("report", "{}", "--out", "report"),
        ("export", "{}", "runs.csv"),
        ("merge", "{}", "--into", "all"),
        ("validate", "{}"),
        ("compare", "{}"),
        ("list", "results", "--results", "{}"),
        ("upgrade", "{}"),
        ("baseline", "save", "v1", "--results", "{}"),
    ],
    ids=lambda command: command[0],
)
def test_sidecar_files_change_nothing(tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = []
    kinds: dict[str, Callable[[Path], None]] = {"plain": lambda _: None, "spoilt": _apple_double}
    for name, spoil in kinds.items():
        folder = tmp_path / name
        FakeSweep(folder / "r", datasets=("livec",)).write()
        spoil(folder / "r")
        ended.append(run_cli(*(part.format("r") for part in command), folder=folder))
    plain, spoilt = ended
    assert spoilt.returncode == plain.returncode, spoilt.text
    assert spoilt.stderr == plain.stderr
    assert spoilt.stdout == plain.stdout


# -- databases and methods ------------------------------------------------------------------------


def test_a_method_file_with_a_sidecar_is_found(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "._mine.py").write_bytes(b"\x00\x05\xff")
    result = bench("list", "methods", IQA_BENCH_METHODS=str(tmp_path / "own"))
    assert result.returncode == 0, result.stderr


def test_an_archives_leavings_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "__MACOSX" / "KonIQ-10k").mkdir(parents=True)
    assert datasets.locate("koniq10k", tmp_path) is None


def test_native_folders_with_sidecars(tmp_path: Path) -> None:
    layouts.pipal(tmp_path / "PIPAL")
    layouts.waterloo(tmp_path / "waterloo")
    sizes = [len(datasets.load(name, tmp_path)) for name in ("pipal", "waterloo")]
    _apple_double(tmp_path)
    assert [len(datasets.load(name, tmp_path)) for name in ("pipal", "waterloo")] == sizes


def test_copies_of_editors_do_not_hide_an_image(tmp_path: Path) -> None:
    layouts.pipal(tmp_path / "PIPAL")
    data = datasets.load("pipal", tmp_path)
    copy = tmp_path / "PIPAL" / "Distortion_1" / ".ipynb_checkpoints" / data.table["image"][0]
    layouts.picture(copy)
    result = run_cli("data", "verify", "pipal", "--data-root", tmp_path)
    assert "ok   images there" in result.stdout


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_letters_in_either_form_are_the_same_name(
    bench: Bench, tmp_path: Path, forms: tuple[str, str]
) -> None:
    on_disk, in_table = (unicodedata.normalize(form, "Zürich_é.png") for form in forms)
    layouts.picture(tmp_path / "mine" / on_disk)
    (tmp_path / "mine" / "scores.csv").write_text(f"image,score\n{in_table},1\n", "utf-8")
    (tmp_path / "iqa-data.yaml").write_text(
        "databases:\n  mine: {root: mine, table: scores.csv, range: [0, 5]}\n"
    )
    result = run_cli("data", "verify", "mine", "--data-root", tmp_path)
    assert result.returncode == 0, result.stdout
    assert datasets.load("mine", tmp_path).table["image"][0] == unicodedata.normalize(
        "NFC", in_table
    )
