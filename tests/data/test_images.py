"""Decoding rules and the decode cache."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import pickle
import signal
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL import __version__ as pillow_version

from bench.api import ImagePolicy
from bench.data.images import images_digest, open_images
from bench.data.images.decode import decode, scaled, target_size
from bench.model.images import ArrayImages
from bench.util.errors import DataError, StoreError
from tests.golden import FOLDER, resize

KEEP = ImagePolicy()
CASE = FOLDER / "resize.json"


def photo(width: int = 24, height: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save_png(path: Path, seed: int = 0, width: int = 24, height: int = 16) -> np.ndarray:
    pixels = photo(width, height, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def write_png(path: Path, header: tuple[int, ...], rows: bytes) -> None:
    """A PNG that Pillow itself would not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *header))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(5):
        save_png(tmp_path / "set" / f"{seed}.png", seed)
    return tmp_path / "set"


NAMES = [f"{seed}.png" for seed in range(5)]


# -- the rules -----------------------------------------------------------------------------------


def test_gray_is_repeated(tmp_path):
    Image.new("L", (4, 4), 77).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png", KEEP) == 77).all()


def test_bilevel_becomes_black_and_white(tmp_path):
    Image.new("1", (4, 4), 1).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png", KEEP) == 255).all()


def test_sixteen_bit_gray_keeps_its_upper_byte(tmp_path):
    Image.fromarray(np.full((4, 4), 0x7F80, np.uint16)).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png", KEEP) == 0x7F).all()


def test_sixteen_bit_colour_keeps_its_upper_byte(tmp_path):
    row = b"\0" + struct.pack(">3H", 0x1180, 0x2280, 0x33FF) * 2
    write_png(tmp_path / "a.png", (2, 2, 16, 2, 0, 0, 0), row * 2)
    assert decode(tmp_path / "a.png", KEEP)[0, 0].tolist() == [0x11, 0x22, 0x33]


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red = decode(tmp_path / "a.jpg", KEEP)[4, 4]
    assert red[0] > 240
    assert red[1:].max() < 15


def test_palette_is_looked_up(tmp_path):
    Image.fromarray(photo()).quantize(16).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(decode(tmp_path / "a.png", KEEP), expected)


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (255, 10), (128, 132)])
def test_alpha_is_blended_over_white(tmp_path, alpha, expected):
    Image.new("RGBA", (4, 4), (10, 10, 10, alpha)).save(tmp_path / "a.png")
    assert abs(int(decode(tmp_path / "a.png", KEEP)[0, 0, 0]) - expected) <= 1


def test_a_transparent_palette_colour_is_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([9, 9, 9] * 256)
    image.save(tmp_path / "a.png", transparency=0)
    assert (decode(tmp_path / "a.png", KEEP) == 255).all()


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (24, 16), "white")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert decode(tmp_path / "a.jpg", KEEP).shape == (24, 16, 3)


def test_floating_point_pixels_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: floating-point"):
        decode(tmp_path / "a.tif", KEEP)


@pytest.mark.parametrize(
    ("policy", "size", "expected"),
    [
        (ImagePolicy(), (100, 50), (100, 50)),
        (ImagePolicy("squash", 32), (100, 50), (32, 32)),
        (ImagePolicy("short_side", 25), (100, 50), (50, 25)),
        (ImagePolicy("short_side", 60), (30, 45), (60, 90)),
    ],
)
def test_size_policies(policy, size, expected):
    assert target_size(size, policy) == expected


def test_resizing_is_bicubic(tmp_path):
    pixels = save_png(tmp_path / "a.png")
    expected = Image.fromarray(pixels).resize((8, 8), Image.Resampling.BICUBIC)
    assert np.array_equal(decode(tmp_path / "a.png", ImagePolicy("squash", 8)), expected)


@pytest.mark.parametrize("kernel", ["cv2", "skimage"])
def test_other_kernels_are_their_libraries_and_no_pillow(tmp_path, kernel):
    pixels = save_png(tmp_path / "a.png")
    found = decode(tmp_path / "a.png", ImagePolicy("squash", 8, kernel))
    if kernel == "cv2":
        cv2 = pytest.importorskip("cv2")
        expected = cv2.resize(pixels, (8, 8), interpolation=cv2.INTER_CUBIC)
    else:
        transform = pytest.importorskip("skimage.transform")
        expected = np.round(transform.resize(pixels, (8, 8)) * 255)
    assert np.array_equal(found, expected)
    assert found.dtype == np.uint8
    assert not np.array_equal(found, decode(tmp_path / "a.png", ImagePolicy("squash", 8)))


def test_the_bilinear_kernel_and_a_pair_are_torchvisions_resize(tmp_path):
    """What DEIQT and HyperIQA do to KonIQ-10k: their (512, 384) is a height and a width."""
    transforms = pytest.importorskip("torchvision.transforms")
    pixels = save_png(tmp_path / "a.png")
    expected = transforms.Resize((14, 9))(Image.fromarray(pixels))
    found = decode(tmp_path / "a.png", ImagePolicy("squash", (9, 14), "pillow_bilinear"))
    assert np.array_equal(found, expected)
    assert found.shape == (14, 9, 3)


def test_opencvs_values():
    wrong = [item for item in resize.check(json.loads(CASE.read_text())) if not item.ok]
    assert not wrong


def test_pillow_fails_opencvs_values(monkeypatch):
    case = json.loads(CASE.read_text())
    monkeypatch.setattr(resize, "scaled", lambda image, size, kernel: scaled(image, size, "pillow"))
    wrong = {item.entry.partition("/")[0] for item in resize.check(case) if not item.ok}
    assert wrong == {"0", "1", "2", "3", "5", "6"}  # case 4 keeps the size


def test_a_policy_is_written_as_before_there_were_kernels():
    assert str(ImagePolicy("squash", 244)) == "ImagePolicy(resize='squash', size=244)"
    assert str(ImagePolicy()) == "ImagePolicy(resize='none', size=None)"
    text = "ImagePolicy(resize='squash', size=244, kernel='cv2')"
    assert str(ImagePolicy("squash", 244, "cv2")) == text
    assert ImagePolicy(kernel="cv2") == ImagePolicy()


def test_a_databases_images_are_reduced_first(tmp_path):
    policy = ImagePolicy("squash", 8, "cv2", reduced=(("spaq", 20),))
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    small = Image.fromarray(pixels).resize((30, 20), Image.Resampling.BICUBIC)
    small.save(tmp_path / "b.png")
    plain = ImagePolicy("squash", 8, "cv2")
    assert policy.of("livec") == plain
    reduced, beside = policy.of("spaq"), decode(tmp_path / "b.png", plain)
    assert (decode(tmp_path / "a.png", reduced) == beside).all()
    assert (decode(tmp_path / "b.png", reduced) == beside).all()
    assert (decode(tmp_path / "a.png", policy) != beside).any()  # no database's
    assert str(reduced) == "ImagePolicy(resize='squash', size=8, kernel='cv2', first=20)"


def test_only_another_kernel_makes_another_cache(folder, tmp_path):
    def key(policy):
        return open_images(folder, NAMES, policy, tmp_path / "cache").folder.name

    files = [folder / name for name in NAMES]
    digest = hashlib.sha256(json.dumps([1, pillow_version, "squash", 8]).encode())
    for name, file in zip(NAMES, files, strict=True):
        status = file.stat()
        digest.update(json.dumps([name, status.st_size, status.st_mtime_ns]).encode())
    assert key(ImagePolicy("squash", 8)) == digest.hexdigest()[:32]
    assert key(ImagePolicy("squash", 8, "cv2")) != key(ImagePolicy("squash", 8))
    assert key(ImagePolicy("squash", 8, first=9)) != key(ImagePolicy("squash", 8))


# -- bad files -----------------------------------------------------------------------------------


def test_a_missing_file_is_named_and_counted(folder, tmp_path):
    with pytest.raises(DataError, match=r"2 of 7 images.*gone\.png \(missing\), too\.png"):
        open_images(folder, [*NAMES, "gone.png", "too.png"], KEEP, tmp_path / "cache")


def test_bad_files_are_all_named(folder, tmp_path):
    data = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(data[: len(data) // 2])
    (folder / "2.png").write_text("not pixels")
    (folder / "3.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        open_images(folder, NAMES, KEEP, tmp_path / "cache")
    assert "3 of 5" in str(caught.value)
    for part in ("1.png (truncated)", "2.png (not an image)", "3.png (empty file)"):
        assert part in str(caught.value)
    assert [p.name for p in (tmp_path / "cache").iterdir() if not p.name.endswith(".lock")] == []


def test_a_long_list_of_bad_files_is_cut(tmp_path):
    with pytest.raises(DataError, match=r"30 of 30 images .* and 25 more"):
        open_images(tmp_path, [f"{i}.png" for i in range(30)], KEEP, tmp_path / "cache")


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "png"])
def test_truncation_is_seen_though_another_package_allows_it(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    buffer = io.BytesIO()
    Image.fromarray(photo(64, 64)).save(buffer, {"jpg": "JPEG"}.get(suffix, suffix.upper()))
    (tmp_path / f"a.{suffix}").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(DataError, match="truncated"):
        decode(tmp_path / f"a.{suffix}", KEEP)


def test_a_bomb_is_refused_by_its_header(tmp_path):
    write_png(tmp_path / "bomb.png", (100_000, 100_000, 8, 2, 0, 0, 0), b"\0" * 8)
    with pytest.raises(DataError, match=r"bomb\.png \(too large"):
        open_images(tmp_path, ["bomb.png"], KEEP, tmp_path / "cache")


# -- where files are found -----------------------------------------------------------------------


def test_names_that_differ_in_case_are_found(tmp_path):
    pixels = save_png(tmp_path / "Set" / "I01_01_1.PNG")
    images = open_images(tmp_path, ["set/i01_01_1.png"], KEEP, tmp_path / "cache")
    assert images.names == ("set/i01_01_1.png",)
    assert np.array_equal(images[0], pixels)


def test_a_bare_name_is_found_in_a_subfolder_if_unique(tmp_path):
    root = tmp_path / "set"
    save_png(root / "part_2" / "a.png")
    assert len(open_images(root, ["a.png"], KEEP, tmp_path / "cache")) == 1
    save_png(root / "part_1" / "a.png")
    with pytest.raises(DataError, match=r"a\.png \(in several folders\)"):
        open_images(root, ["a.png"], KEEP, tmp_path / "cache")


def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    save_png(tmp_path / "disk" / "a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "part").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "set")
    assert len(open_images(tmp_path / "set", ["A.png"], KEEP, tmp_path / "cache")) == 1


def test_a_name_with_a_folder_is_not_looked_for_elsewhere(tmp_path):
    save_png(tmp_path / "pristine" / "a.png")
    with pytest.raises(DataError, match="missing"):
        open_images(tmp_path, ["distorted/a.png"], KEEP, tmp_path / "cache")


def test_two_names_for_one_file_are_refused(tmp_path):
    save_png(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"same file a\.png"):
        open_images(tmp_path, ["a.png", "./a.png"], KEEP, tmp_path / "cache")


# -- the cache -----------------------------------------------------------------------------------


def test_pixels_come_back(folder, tmp_path):
    images = open_images(folder, NAMES, KEEP, tmp_path / "cache")
    assert len(images) == 5
    for seed, image in enumerate(images):
        assert np.array_equal(image, photo(seed=seed))
        assert image.dtype == np.uint8
    assert images.batch([3, 1]).shape == (2, 16, 24, 3)
    assert np.array_equal(images.batch(np.array([3, 1]))[1], photo(seed=1))
    with pytest.raises(ValueError, match="read-only"):
        images[0][0, 0, 0] = 1


def test_images_of_different_sizes(tmp_path):
    save_png(tmp_path / "a.png")
    save_png(tmp_path / "b.png", 1, 30, 20)
    images = open_images(tmp_path, ["a.png", "b.png"], KEEP, tmp_path / "cache")
    assert [image.shape for image in images] == [(16, 24, 3), (20, 30, 3)]
    with pytest.raises(ValueError, match=r"'a\.png' is \(16, 24, 3\), 'b\.png'"):
        images.batch([0, 1])


def test_a_subset_keeps_order_and_names(folder, tmp_path):
    part = open_images(folder, NAMES, KEEP, tmp_path / "cache").subset([4, 0])
    assert part.names == ("4.png", "0.png")
    assert np.array_equal(part[0], photo(seed=4))
    assert np.array_equal(part.subset([1])[0], photo(seed=0))


def test_pickling_sends_no_pixels(folder, tmp_path):
    images = open_images(folder, NAMES, KEEP, tmp_path / "cache")
    images[0]
    data = pickle.dumps(images)
    assert len(data) < 2000
    assert np.array_equal(pickle.loads(data)[2], photo(seed=2))


def test_the_second_opening_decodes_nothing(folder, tmp_path, monkeypatch):
    open_images(folder, NAMES, KEEP, tmp_path / "cache")
    monkeypatch.setattr("bench.data.images.packing.decode", lambda *_: pytest.fail("decoded again"))
    assert len(open_images(folder, NAMES, KEEP, tmp_path / "cache")) == 5


def test_progress_counts_up(folder, tmp_path):
    seen: list[tuple[int, int]] = []
    open_images(folder, NAMES, KEEP, tmp_path / "cache", lambda *step: seen.append(step))
    assert seen == [(count, 5) for count in range(1, 6)]


def test_a_changed_source_file_is_noticed(folder, tmp_path):
    before = open_images(folder, NAMES, KEEP, tmp_path / "cache")
    save_png(folder / "2.png", seed=99)
    after = open_images(folder, NAMES, KEEP, tmp_path / "cache")
    assert np.array_equal(after[2], photo(seed=99))
    assert images_digest(before) != images_digest(after)


def test_policies_have_caches_of_their_own(folder, tmp_path):
    small = open_images(folder, NAMES, ImagePolicy("squash", 8), tmp_path / "cache")
    assert small[0].shape == (8, 8, 3)
    assert open_images(folder, NAMES, KEEP, tmp_path / "cache")[0].shape == (16, 24, 3)


@pytest.mark.parametrize("damage", ["pixels", "index", "gone"])
def test_a_damaged_cache_is_rebuilt(folder, tmp_path, damage):
    made = open_images(folder, NAMES, KEEP, tmp_path / "cache").folder
    if damage == "pixels":
        (made / "pixels.bin").write_bytes(b"short")
    elif damage == "index":
        (made / "index.json").write_text("{")
    else:
        (made / "pixels.bin").unlink()
    again = open_images(folder, NAMES, KEEP, tmp_path / "cache")
    assert np.array_equal(again[4], photo(seed=4))


def _open_in_child(folder: Path, cache: Path, out: Path) -> None:
    images = open_images(folder, NAMES, KEEP, cache)
    out.write_text(images_digest(images))


def _slow_build(folder: Path, cache: Path, started: Path) -> None:
    def stall(done: int, total: int) -> None:
        if done == 3:
            started.touch()
            time.sleep(60)

    open_images(folder, NAMES, KEEP, cache, stall)


def test_processes_may_build_at_once(folder, tmp_path):
    context = multiprocessing.get_context("spawn")
    outs = [tmp_path / f"out{i}" for i in range(3)]
    children = [
        context.Process(target=_open_in_child, args=(folder, tmp_path / "cache", out))
        for out in outs
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert len({out.read_text() for out in outs}) == 1


def test_a_killed_build_leaves_nothing_half_done(folder, tmp_path):
    started = tmp_path / "started"
    child = multiprocessing.get_context("spawn").Process(
        target=_slow_build, args=(folder, tmp_path / "cache", started)
    )
    child.start()
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(10)
    assert [p.suffix for p in (tmp_path / "cache").iterdir() if p.is_dir()] == [".partial"]
    images = open_images(folder, NAMES, KEEP, tmp_path / "cache")
    assert np.array_equal(images[4], photo(seed=4))
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_cache_that_cannot_be_written_says_so(folder, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.data.images.packing._flush", full)
    with pytest.raises(StoreError, match="No space left"):
        open_images(folder, NAMES, KEEP, tmp_path / "cache")
    assert not [p for p in (tmp_path / "cache").iterdir() if p.is_dir()]


def test_a_cache_that_is_a_file_says_so(folder, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        open_images(folder, NAMES, KEEP, tmp_path / "cache")


# -- images in memory ----------------------------------------------------------------------------


def test_array_images_are_the_same_protocol(folder, tmp_path):
    packed = open_images(folder, NAMES, KEEP, tmp_path / "cache")
    arrays = ArrayImages(list(packed), NAMES)
    assert images_digest(arrays) == images_digest(packed)
    assert arrays.subset([2]).names == ("2.png",)
    assert arrays.batch([0, 1]).shape == (2, 16, 24, 3)


@pytest.mark.parametrize("array", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)])
def test_array_images_refuse_other_arrays(array):
    with pytest.raises(ValueError, match="not uint8"):
        ArrayImages([array])


def test_the_index_is_plain_json(folder, tmp_path):
    made = open_images(folder, NAMES, KEEP, tmp_path / "cache").folder
    assert json.loads((made / "index.json").read_text())["bytes"] == 5 * 24 * 16 * 3
