"""Archives that mean harm are refused, whatever they are packed with; honest ones are unpacked."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import py7zr
import pytest

from bench.data.fetch.archives import is_archive
from bench.data.fetch.unpack import UnpackLimits, unpack
from bench.util.errors import DataError, StoreError

HONEST = {"db/scores.csv": b"image,score\na.png,1\n", "db/img/a.png": b"\x89PNG" * 50, "e.txt": b""}
PACKED = ("tar", "tgz", "tar.xz", "zip", "7z")


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data) if info.isfile() else 0
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def pack(folder: Path, kind: str, files: dict[str, bytes]) -> Path:
    path = folder / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    elif kind == "7z":
        with py7zr.SevenZipFile(path, "w") as archive7:
            for name, data in files.items():
                archive7.writestr(data, name)
    else:
        mode = {"tar": "w", "tgz": "w:gz", "tar.xz": "w:xz"}[kind]
        tar(path, *((member(name), data) for name, data in files.items()), mode=mode)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("kind", PACKED)
def test_an_honest_archive_is_unpacked(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path, kind, HONEST)
    told: list[int] = []
    assert is_archive(archive)
    assert unpack(archive, tmp_path / "out", progress=told.append) == 3
    assert tree(tmp_path / "out") == HONEST
    assert told[-1] == sum(map(len, HONEST.values()))


@pytest.mark.parametrize("kind", PACKED)
def test_a_damaged_archive_is_named(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path, kind, {"a.bin": bytes(range(256)) * 4000})
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=rf"'{archive}': not an archive that can be read"):
        unpack(archive, tmp_path / "out")


def test_what_is_no_archive(tmp_path: Path) -> None:
    for name, data in {"data.csv": b"a,b\n", "empty": b"", "t.json": b"{}"}.items():
        (tmp_path / name).write_bytes(data)
        assert not is_archive(tmp_path / name)
    sheet = pack(tmp_path, "zip", HONEST).rename(tmp_path / "scores.xlsx")
    assert not is_archive(sheet), "a workbook is a table, although it is packed"


CLIMBING = ("../evil", "a/../../evil", "a\\..\\..\\evil", "..")
ABSOLUTE = ("/tmp/evil", "C:/evil", "\\\\host\\evil", "c:evil")


@pytest.mark.parametrize("name", CLIMBING + ABSOLUTE)
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "root" / "out"
    inside.parent.mkdir()
    archives = [tar(tmp_path / "a.tar", (member("ok"), b"1"), (member(name), b"2"))]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("ok", b"1")
        info = zipfile.ZipInfo("x")
        info.filename = name
        packed.writestr(info, b"2")
    archives.append(tmp_path / "a.zip")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    for archive in archives:
        with pytest.raises(DataError, match=r"is refused: '.*' is a name that leads out"):
            unpack(archive, inside)
        shutil.rmtree(inside, ignore_errors=True)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["a\\..\\..\\evil", "C:/evil"])
def test_names_that_lead_out_of_a_7z(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path, "7z", {"ok": b"1", name: b"2"})
    with pytest.raises(DataError, match="is a name that leads out"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "a list of names is read before anything is written"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "a/../../../x"])
def test_links_that_lead_out(tmp_path: Path, kind: bytes, target: str) -> None:
    archive = tar(tmp_path / "a.tar", (member("a/link", kind, target), b""))
    with pytest.raises(DataError, match=r"is the target of the link 'a/link', one that leads out"):
        unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """The oldest trick: a link to a folder, then a file in it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tar(
        tmp_path / "a.tar",
        (member("d", tarfile.SYMTYPE, str(outside)), b""),
        (member("d/evil"), b"x"),
    )
    with pytest.raises(DataError, match="leads out"):
        unpack(archive, tmp_path / "out")
    inner = tar(
        tmp_path / "b.tar",
        (member("deep/e", tarfile.DIRTYPE), b""),
        (member("d", tarfile.SYMTYPE, "deep/e"), b""),
        (member("d/evil"), b"x"),
    )
    with pytest.raises(StoreError):
        unpack(inner, tmp_path / "out2")
    chained = tar(
        tmp_path / "c.tar",
        (member("deep/e", tarfile.DIRTYPE), b""),
        (member("b", tarfile.SYMTYPE, "deep/.."), b""),
        (member("deep/f", tarfile.SYMTYPE, "../b"), b""),
        (member("x", tarfile.SYMTYPE, "deep/f/../outside"), b""),
    )
    with pytest.raises(DataError, match="leads out"):
        unpack(chained, tmp_path / "out3")
    assert list(outside.iterdir()) == []


def test_links_inside_are_kept(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "a.tar",
        (member("db/a.png"), b"pixels"),
        (member("db/b.png", tarfile.LNKTYPE, "db/a.png"), b""),
        (member("db/c.png", tarfile.SYMTYPE, "a.png"), b""),
    )
    unpack(archive, tmp_path / "out")
    assert set(tree(tmp_path / "out").values()) == {b"pixels"}
    assert len(tree(tmp_path / "out")) == 3
    lost = tar(tmp_path / "b.tar", (member("b.png", tarfile.LNKTYPE, "no.png"), b""))
    with pytest.raises(DataError, match=r"a link to 'no\.png', which is not there"):
        unpack(lost, tmp_path / "out2")


def test_links_in_zip_and_7z_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        packed.writestr(info, "/etc/passwd")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as packed7:
        packed7.write(tmp_path / "link", "link")
    for name in ("a.zip", "a.7z"):
        with pytest.raises(DataError, match="'link' is a link"):
            unpack(tmp_path / name, tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices(tmp_path: Path, kind: bytes) -> None:
    archive = tar(tmp_path / "a.tar", (member("zero", kind), b""))
    with pytest.raises(DataError, match="'zero' is a device or the like"):
        unpack(archive, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        info = zipfile.ZipInfo("zero")
        info.external_attr = 0o020666 << 16
        packed.writestr(info, b"")
    with pytest.raises(DataError, match="'zero' is a device or the like"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", ["tgz", "zip", "7z"])
def test_a_bomb_by_ratio(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path, kind, {"zeros": bytes(4_000_000)})
    limits = UnpackLimits(harmless=100_000)
    with pytest.raises(DataError, match=r"unpacks to more than 100 times its .* a bomb"):
        unpack(archive, tmp_path / "out", limits)
    written = sum(map(len, tree(tmp_path / "out").values())) if (tmp_path / "out").exists() else 0
    assert written < 1_500_000
    assert unpack(archive, tmp_path / "fine") == 1, "4 MB do nobody harm"


def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    """A member that says it has ten bytes is read for ten, or noticed."""
    archive = pack(tmp_path, "zip", {"zeros": bytes(4_000_000)})
    data = archive.read_bytes().replace((4_000_000).to_bytes(4, "little"), b"\x0a\0\0\0")
    archive.write_bytes(data)
    with pytest.raises(DataError):
        unpack(archive, tmp_path / "out", UnpackLimits(harmless=100_000))
    assert sum(map(len, tree(tmp_path / "out").values())) < 100_000


@pytest.mark.parametrize("kind", PACKED)
def test_a_bomb_by_count(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path, kind, {f"{n}": b"" for n in range(30)})
    with pytest.raises(DataError, match="more than 20 files: a bomb"):
        unpack(archive, tmp_path / "out", UnpackLimits(members=20))


def test_a_password_is_named(tmp_path: Path) -> None:
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w", password="secret") as packed:
        packed.writestr(b"x" * 100, "x")
    with pytest.raises(DataError, match=r"not an archive that can be read: .*[Pp]assword"):
        unpack(tmp_path / "a.7z", tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar", "zip", "7z"])
def test_a_disk_that_is_too_small_is_known_before(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path, kind, HONEST)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 100))
    with pytest.raises(StoreError, match="are needed and 100 bytes are free"):
        unpack(archive, tmp_path / "out")
    assert not tree(tmp_path / "out")
