"""What `bench data` and `bench splits` print, as tables."""

from __future__ import annotations

import pytest

from bench.api import ImagePolicy
from bench.data import datasets, housekeeping
from bench.data.splits import make_split
from bench.util.errors import DataError, UsageError
from tests.conftest import run_cli
from tests.data.datasets import layouts


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in ("IQA_DATA", "IQA_DATA_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IQA_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path):
    layouts.livec(tmp_path / "data" / "livec")
    layouts.koniq10k(tmp_path / "data" / "koniq10k")
    return tmp_path / "data"


def line(name, root):
    return next(one for one in housekeeping.status(root) if one.name == name)


def test_status_lists_everything(root):
    table = housekeeping.status(root)
    assert [one.name for one in table] == datasets.names(root)
    states = {one.name: one.state for one in table}
    assert states["spaq"] == "missing"
    assert states["demo_authentic"] == "not rendered"


def test_status_of_a_set_smaller_than_published(root):
    one = line("livec", root)
    assert (one.state, one.samples, one.images) == ("incomplete", 3, 3)
    assert one.problem == "3 samples, published are 1162"


def test_status_of_a_set_with_missing_images(root):
    (root / "livec" / "Images" / "3.bmp").unlink()
    assert line("livec", root).problem == "1 image files are missing"


def test_status_of_annotations_alone(root):
    for file in (root / "livec" / "Images").rglob("*.*"):
        if file.is_file():
            file.unlink()
    assert line("livec", root).state == "annotations only"


def test_status_of_a_broken_set(root):
    (root / "livec" / "Data" / "AllMOS_release.mat").write_bytes(b"x")
    one = line("livec", root)
    assert one.state == "broken"
    assert "not a readable MATLAB file" in one.problem


def checks(spec, root):
    return {check.what: check for check in housekeeping.verify(spec, root).checks}


def test_verify_compares_with_what_was_published(root):
    found = checks("livec", root)
    assert not found["count as published"].good
    assert not found["score range as published"].good
    assert found["images there"].good
    assert found["images decodable"].detail == "3 decoded"


def test_verify_names_bad_images(root):
    folder = root / "livec" / "Images"
    (folder / "3.bmp").unlink()
    (folder / "10.JPG").write_bytes((folder / "10.JPG").read_bytes()[:100])
    found = checks("livec", root)
    assert found["images there"].detail == "1 of 3 images cannot be used: 3.bmp (missing)"
    assert "10.JPG (" in found["images decodable"].detail
    assert not found["images decodable"].good


def test_verify_names_pictures_that_are_there_twice(root):
    layouts.picture(root / "livec" / "Images" / "3.bmp", 5)
    layouts.picture(root / "livec" / "Images" / "11.BMP", 5)
    copies = checks("livec", root)["pictures under two names"]
    assert copies.good
    assert copies.detail == (
        "1: 11.bmp = 3.bmp; a split can tear 1 of them apart ([11.bmp, 3.bmp]): "
        "--write-duplicates lists them, or list them under 'duplicates: livec:' in iqa-data.yaml"
    )
    (root / "iqa-data.yaml").write_text("duplicates: {livec: [[11.bmp, 3.bmp]]}")
    assert checks("livec", root)["pictures under two names"].detail == "1: 11.bmp = 3.bmp"
    data = datasets.load("livec", root)
    assert data.duplicates == (("246.bmp", "333.bmp"), ("11.bmp", "3.bmp"))
    assert len(set(data.units)) == len(data) - 1


def test_verify_writes_the_list_that_splits_honour(root):
    for name in ("3.bmp", "11.BMP"):
        layouts.picture(root / "livec" / "Images" / name, 5)
    (root / "iqa-data.yaml").write_text("folders: {}  # mine")

    def parts(repeat):
        data = datasets.load("livec", root)
        split = make_split(data, repeat=repeat, test_fraction=0.4)
        tested = {"3.bmp", "11.bmp"} & set(data.names[split.test].tolist())
        return len(tested), split.digest(data)

    before = [parts(repeat) for repeat in range(20)]
    first = run_cli("data", "verify", "livec", "--data-root", root, "--write-duplicates")
    assert f"{root / 'iqa-duplicates.yaml'}: 1 more" in first.text
    assert "livec:\n  - [11.bmp, 3.bmp]\n" in (root / "iqa-duplicates.yaml").read_text()
    assert (root / "iqa-data.yaml").read_text() == "folders: {}  # mine"
    after = [parts(repeat) for repeat in range(20)]
    assert 1 in {tested for tested, _ in before}
    assert {tested for tested, _ in after} == {0, 2}
    # A split that tore them apart has another name from then on, and so have its runs.
    torn = [repeat for repeat, (tested, _) in enumerate(before) if tested == 1]
    assert all(before[repeat][1] != after[repeat][1] for repeat in torn)
    again = run_cli("data", "verify", "livec", "--data-root", root, "--write-duplicates")
    assert "nothing to write" in again.text


def test_where_the_list_goes_is_looked_at_before_images_are(root, monkeypatch):
    monkeypatch.setattr(housekeeping, "verify", lambda *_: pytest.fail("images are decoded"))
    verify = ("data", "verify", "livec", "--write-duplicates")
    assert "no data root to write to" in run_cli(*verify).stderr
    (root / "iqa-duplicates.yaml").mkdir()
    done = run_cli(*verify, "--data-root", root)
    assert (done.returncode, "it is a folder" in done.stderr) == (2, True)


def test_lists_of_several_files_and_databases_add_up(root):
    datasets.list_duplicates("livec", [("10.JPG", "3.bmp")], root)
    path = datasets.list_duplicates("livec@1169", [("10.JPG", "11.bmp")], root)
    datasets.list_duplicates("livec", [("10.JPG", "11.bmp")], root)
    assert path.read_text().count("- [") == 2
    known = datasets.load("livec", root).duplicates
    assert known[1:] == (("10.JPG", "3.bmp"), ("10.JPG", "11.bmp"))
    with pytest.raises(UsageError, match="no data root"):
        datasets.list_duplicates("livec", [("a", "b")], ())
    for other in ("duplicates: {livec: 3}", "splits: {mine: splits.csv}\nduplicates: {}"):
        path.write_text(other)
        with pytest.raises(UsageError, match="iqa-duplicates"):
            datasets.list_duplicates("livec", [("10.JPG", "3.bmp")], root)


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("livec: [[11.bmp, 4.bmp]]", r"duplicates: livec has no image '4\.bmp'"),
        ("live: [[a.bmp, b]]\n  livecc: [[a, b]]", r"duplicates: unknown dataset 'livecc'"),
        ("livec: [[11.bmp, 11.bmp]]", "names of two images at least"),
    ],
)
def test_a_list_of_equal_pictures_has_to_be_of_this_database(root, listed, reason):
    (root / "iqa-data.yaml").write_text(f"duplicates:\n  {listed}\n")
    with pytest.raises(UsageError, match=reason):
        datasets.load("livec", root)


def test_one_list_serves_versions_with_other_images(root):
    images = root / "livec" / "Images"
    for name in ("3.bmp", "11.BMP", "trainingImages/t1.bmp", "trainingImages/t2.bmp"):
        layouts.picture(images / name, 90)
    found = run_cli("data", "verify", "livec@1169", "--data-root", root, "--write-duplicates")
    assert "trainingImages/t1.bmp" in (root / "iqa-duplicates.yaml").read_text(), found.text
    for spec, alone in (("livec", 1), ("livec@1169", 6)):
        data = datasets.load(spec, root)
        units = dict(zip(data.names.tolist(), data.units.tolist(), strict=True))
        assert units["3.bmp"] == units["11.bmp"] == "11.bmp"
        assert len(set(units.values())) == alone + 1
        assert (
            "nothing to write"
            in run_cli("data", "verify", spec, "--data-root", root, "--write-duplicates").text
        )
    assert units["trainingImages/t1.bmp"] == "11.bmp"
    path = root / "iqa-duplicates.yaml"
    path.write_text("duplicates: {livec: [[3.bmp, trainingImages/t8.bmp]]}")
    for spec in ("livec", "livec@1169"):
        with pytest.raises(UsageError, match=r"no image 'trainingImages/t8\.bmp'\. Did you mean"):
            datasets.load(spec, root)


def test_names_of_equal_pictures_may_be_composed_otherwise(tmp_path):
    rows = [["image", "score"], ["Zu\u0308rich.png", 1], ["b.png", 2], ["c.png", 3]]
    layouts.table(tmp_path / "mine" / "s.csv", rows)
    (tmp_path / "iqa-data.yaml").write_text(
        "databases: {mine: {root: mine, table: s.csv, range: [1, 5]}}\n"
        "duplicates: {mine: [[Zu\u0308rich.png, b.png]]}\n"
    )
    assert len(set(datasets.load("mine", tmp_path).units)) == 2


def test_lists_of_databases_that_are_not_configured_stop_nothing(root):
    (root / "mine").mkdir()
    (root / "iqa-duplicates.yaml").write_text("duplicates: {holiday: [[a.png, b.png]]}")
    for command in (["data", "status"], ["data", "verify", "livec"]):
        done = run_cli(*command, "--data-root", root)
        assert (done.returncode == 0) == (command[1] == "status")  # three images of 1,162
        assert "iqa-duplicates.yaml: the equal pictures of 'holiday' are ignored" in done.stderr
    assert "holiday" in (root / "iqa-duplicates.yaml").read_text()
    assert run_cli("data", "verify", "livecc", "--data-root", root).returncode == 2


def test_verify_reports_bad_annotations_and_missing_sets(root):
    (root / "livec" / "Data" / "AllMOS_release.mat").unlink()
    result = housekeeping.verify("livec", root)
    assert [check.what for check in result.checks] == ["annotations readable"]
    # Nothing was compared, so that nothing is said of equal pictures.
    told = run_cli("data", "verify", "livec", "--data-root", root, "--write-duplicates")
    assert "equal pictures" not in told.text
    assert not result.good
    absent = housekeeping.verify("spaq", root)
    assert absent.root is None
    assert "get it from" in absent.checks[0].detail
    with pytest.raises(UsageError):
        housekeeping.verify("spak", root)


def test_verify_a_good_database_of_the_users_own(tmp_path):
    layouts.table(tmp_path / "mine" / "s.csv", [["image", "score"], ["a.png", 1], ["b.png", 2]])
    layouts.pictures(tmp_path / "mine", ["a.png", "b.png"])
    (tmp_path / "iqa-data.yaml").write_text(
        "databases: {mine: {root: mine, table: s.csv, range: [1, 5]}}"
    )
    seen = []
    result = housekeeping.verify("mine", tmp_path, lambda *step: seen.append(step))
    assert result.good
    assert seen == [(1, 2), (2, 2)]
    assert line("mine", tmp_path).state == "complete"


def test_prepare_fills_the_cache_that_runs_use(root, tmp_path):
    done = housekeeping.prepare("koniq10k", ImagePolicy("squash", 4), root)
    assert (done.images, done.folder.parent) == (4, tmp_path / "cache" / "images")
    assert done.bytes > 4 * 4 * 4 * 3
    again = housekeeping.prepare("koniq10k", ImagePolicy("squash", 4), root)
    assert (again.folder, again.digest) == (done.folder, done.digest)
    (root / "koniq10k" / "1024x768" / layouts.KONIQ[0]).unlink()
    (root / "koniq10k" / "512x384" / layouts.KONIQ[0]).unlink()
    with pytest.raises(DataError, match="1 of 4 images"):
        housekeeping.prepare("koniq10k", ImagePolicy("squash", 4), root)


def test_exported_splits_are_read_back(root, tmp_path):
    out = housekeeping.export_splits("koniq10k", range(3), tmp_path / "splits", root, seed=4)
    assert [one.path.name for one in out] == [f"koniq10k-{k:02d}.csv" for k in range(3)]
    assert (out[0].train, out[0].val, out[0].test) == (3, 0, 1)
    data = datasets.load("koniq10k", root)
    back = make_split(data, repeat=0, scheme="file", folder=out[2].path)
    assert back.digest(data) == out[2].digest
    for one in out:
        again = make_split(data, repeat=one.repeat, scheme="file", folder=tmp_path / "splits")
        assert again.digest(data) == one.digest


def test_published_splits_are_found_under_the_data_root(root, tmp_path):
    folder = root / "liqe" / "IQA_Database" / "koniq-10k" / "splits2" / "1"
    for part, names in (("train", [0, 1]), ("val", [2]), ("test", [3])):
        lines = [f"1024x768/{layouts.KONIQ[k]}\t3.2" for k in names]
        layouts.text(folder / f"koniq10k_{part}.txt", *lines)
    out = housekeeping.export_splits("koniq10k", [0], tmp_path / "out", root, scheme="liqe")
    assert (out[0].train, out[0].val, out[0].test) == (2, 1, 1)
