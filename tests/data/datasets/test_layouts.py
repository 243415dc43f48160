"""Each database's native layout becomes the right table, and its images are found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bench.api import ImagePolicy
from bench.data import datasets
from bench.data.datasets.base import COLUMNS, Dataset
from bench.data.images import open_images
from bench.data.splits import make_split
from bench.util.errors import DataError
from tests.data.datasets import layouts

NATIVE = {
    "livec": "ChallengeDB_release",
    "live": "databaserelease2",
    "csiq": "CSIQ",
    "tid2013": "tid2013",
    "kadid10k": "kadid10k",
    "koniq10k": "koniq10k",
    "livefb": "PaQ-2-PiQ",
    "spaq": "SPAQ",
    "pipal": "PIPAL",
    "bid": "BID",
    "agiqa3k": "AGIQA-3K",
    "aigciqa2023": "AIGCIQA2023",
    "gfiqa20k": "GFIQA-20k",
    "uwiqa": "UWIQA",
    "waterloo": "exploration_database_and_code",
    "uhdiqa": "UHD-IQA-database",
    "piq23": "PIQ23",
    "biq2021": "BIQ2021",
    "cid2013": "CID2013",
    "cgiqa6k": "CGIQA-6K",
    "aigiqa20k": "AIGCQA-30K-Image",
    "sriqa": "SRIQA-Bench",
}


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for name, folder in NATIVE.items():
        getattr(layouts, name)(root / folder)
    return root


@pytest.fixture(scope="module")
def load(data_root: Path):
    known: dict[str, Dataset] = {}

    def get(spec: str) -> Dataset:
        if spec not in known:
            known[spec] = datasets.load(spec, data_root)
        return known[spec]

    return get


def row(data: Dataset, image: str):
    return data.table.set_index("image").loc[image]


def test_every_database_has_a_layout_here():
    assert set(NATIVE) == {name for name in datasets.names([]) if not name.startswith("demo_")}


@pytest.mark.parametrize("name", NATIVE)
def test_the_table_is_whole_and_every_image_opens(name, load, tmp_path):
    data = load(name)
    assert tuple(data.table.columns) == (*COLUMNS, *data.info.attributes)
    few = data.table["image"].iloc[:40].tolist()
    images = open_images(data.root, few, ImagePolicy(), tmp_path)
    assert len(images) == len(few)


@pytest.mark.parametrize("name", NATIVE)
def test_what_is_said_of_it(name):
    info = datasets.info(name)
    assert info.citation
    assert info.homepage.startswith("https://")
    assert info.licence
    assert info.size > 0
    assert info.low < info.high
    assert info.label in ("mos", "dmos", "none")


@pytest.mark.parametrize("name", [n for n in NATIVE if datasets.info(n).references])
def test_references_stay_on_one_side(name, load):
    data = load(name)
    assert (data.table["reference"] != "").all()
    split = make_split(data, repeat=0)
    group = data.table["group"].to_numpy()
    assert not set(group[split.train]) & set(group[split.test])


def test_livec(load):
    data = load("livec")
    assert data.table["image"].tolist() == ["3.bmp", "10.JPG", "11.bmp"]
    assert data.table["score"].tolist() == [75, 85, 95]
    assert data.quality.tolist() == [75, 85, 95]
    assert (data.table["spread"] == 18).all()
    assert data.root.name == "Images"


def test_livec_with_training_images(load, tmp_path):
    data = load("livec@1169")
    assert data.table["image"].iloc[0] == "trainingImages/t1.bmp"
    assert len(data) == 10
    assert len(open_images(data.root, list(data.table["image"]), ImagePolicy(), tmp_path)) == 10


def test_live(load):
    data = load("live")
    truth = [line for line in layouts.live_truth() if not line[3]]
    assert len(data) == 779
    assert data.table["image"].tolist() == [line[0] for line in truth]
    assert data.table["reference"].tolist() == [line[2] for line in truth]
    assert data.table["score"].tolist() == [line[1] for line in truth]
    assert data.quality.tolist() == [-line[1] for line in truth]
    assert row(data, "wn/img3.bmp").distortion == "wn"
    assert (data.table["spread"] == 2.5).all()


def test_live_in_its_older_labels(load):
    new, old = load("live"), load("live@dmos")
    assert np.allclose(old.table["score"] * 2, new.table["score"])
    assert old.table["spread"].isna().all()
    assert datasets.info("live@dmos_new") == datasets.info("live")


def test_live_with_the_originals_left_out_of_two_files(tmp_path):
    root = tmp_path / "live"
    truth = layouts.live_truth()
    kept = [line for line in truth if not line[3]]
    dmos = np.array([[line[1] for line in truth]])
    layouts.mat(
        root / "dmos_realigned.mat", dmos_new=dmos, dmos_std=dmos, orgs=np.zeros((1, 779), np.uint8)
    )
    folders = [folder for folder, _ in layouts.LIVE_FOLDERS]
    listed = sorted(kept, key=lambda line: (folders.index(line[0].split("/")[0]), line[0]))
    names = layouts.cells([line[2] for line in listed])
    layouts.mat(root / "refnames_all.mat", refnames_all=names)
    data = datasets.load("live", tmp_path)
    assert data.table["reference"].tolist() == [line[2] for line in kept]


def test_csiq(load):
    data = load("csiq")
    assert len(data) == 24
    assert data.table["image"].iloc[0] == "1600.AWGN.1.png"
    one = row(data, "aerial_city.jpeg2000.2.png")
    assert (one.reference, one.distortion, one.level) == ("aerial_city", "jpeg2000", 2)
    assert one.score == pytest.approx(0.23)
    assert data.quality[0] == -data.table["score"].iloc[0]


def test_csiq_from_the_text_list_is_the_same(load, tmp_path):
    sheet = load("csiq")
    lines = [f"{line.image} {line.score:.6f}" for line in sheet.table.itertuples()]
    layouts.text(tmp_path / "csiq" / "csiq_label.txt", *lines)
    assert datasets.load("csiq", tmp_path).digest == sheet.digest


def test_tid2013(load):
    data = load("tid2013")
    one = row(data, "I02_24_5.bmp")
    assert (one.reference, one.level, one.score) == ("I02", 5, 3)
    assert one.distortion == "24 sparse sampling and reconstruction"
    assert data.table["group"].nunique() == 2
    assert data.info.spread_kind == "error"


def test_kadid_is_not_negated(load):
    data = load("kadid10k")
    assert data.info.label == "mos"
    assert data.quality.tolist() == data.table["score"].tolist()
    one = row(data, "I02_25_03.png")
    assert (one.reference, one.distortion) == ("I02.png", "25 contrast change")
    assert (one.spread, data.info.spread_kind) == (0.496, "variance")


def test_koniq(load):
    data = load("koniq10k")
    assert data.table["score"].tolist() == pytest.approx([2, 2.6, 3.2, 3.8])
    assert data.table["official"].tolist() == ["train", "train", "val", "test"]
    assert data.root.name == "1024x768"
    assert (data.table["raters"] == 105).all()
    assert make_split(data, repeat=0, scheme="official").test.tolist() == [3]


@pytest.mark.parametrize("version", ["zscore", "100"])
def test_koniq_in_other_scales(load, version):
    data = load(f"koniq10k@{version}")
    assert data.table["score"].tolist() == [30, 48, 66, 84]
    assert data.quality_range == (0, 100)
    assert data.table["spread"].isna().all()


def test_koniq_without_the_official_split(tmp_path):
    layouts.koniq10k(tmp_path / "koniq-10k")
    (tmp_path / "koniq-10k" / "koniq10k_distributions_sets.csv").unlink()
    assert set(datasets.load("koniq10k", tmp_path).table["official"]) == {""}


def test_livefb(load):
    data = load("livefb")
    assert data.table["official"].tolist() == ["train", "train", "val", "", "test"]
    assert data.table["score"].tolist() == [60, 61, 62, 63, 64]


def test_livefb_without_the_padded_table(tmp_path):
    layouts.livefb(tmp_path / "flive")
    (tmp_path / "flive" / "labels=640_padded.csv").unlink()
    official = datasets.load("livefb", tmp_path).table["official"].tolist()
    assert official == ["train"] * 4 + ["test"]


def test_spaq(load):
    data = load("spaq")
    assert data.table["image"].iloc[0] == "00001.jpg"
    assert (data.table["scene"] == "cityscape|night").all()


def test_pipal(load):
    data = load("pipal")
    one = row(data, "A0002_06_01.bmp")
    assert (one.reference, one.distortion, one.score) == (
        "A0002",
        "traditional distortions (likely)",
        1431.5,
    )
    assert row(data, "A0002_00_01.bmp").distortion == "traditional SR (likely)"


def test_bid(load):
    data = load("bid")
    assert data.table["image"].tolist()[-1] == "DatabaseImage0590.JPG"
    assert data.table["spread"].tolist() == pytest.approx([0.5, np.sqrt(0.5), 0])
    assert data.table["raters"].tolist() == [3, 2, 2]


def test_agiqa_groups_by_prompt(load):
    data = load("agiqa3k")
    assert data.table["group"].tolist() == ["a tray of sushi, red"] * 2 + ["statue of a man"]
    assert data.table["distortion"].tolist() == ["AttnGAN", "glide", "sd1.5"]
    assert load("agiqa3k@align").table["score"].tolist() == [2, 2, 2]


def test_aigciqa_groups_by_prompt(load):
    data = load("aigciqa2023")
    table = data.table
    assert table["group"].nunique() == 100
    same = table["group"] == table["group"].iloc[0]
    rows = [block * 400 + i for block in range(6) for i in range(4)]
    assert np.flatnonzero(same).tolist() == rows
    assert load("aigciqa2023@authenticity").table["score"].max() == 72


def test_aigciqa2023_of_the_hub(load, tmp_path):
    """`allimg.zip` and a JSON file with an object for each question about an image."""
    folder = tmp_path / "AIGCIQA2023"
    (folder / "allimg").mkdir(parents=True)
    authors = load("aigciqa2023").table
    items = [
        {"img": f"{row}.png", "prompt": "a cat", "question": ask, "moz1": one, "moz2": 1, "moz3": 3}
        for row, one in enumerate(authors["score"])
        for ask in ("is it a cat?", "is it black?")
    ]
    (folder / "AIGIQA2023.json").write_text(json.dumps(items[::-1]))
    assert datasets.load("aigciqa2023", tmp_path).table.equals(authors)
    other = datasets.load("aigciqa2023@correspondence", tmp_path)
    assert set(other.table["score"]) == {3.0}
    for broken, says in (
        (items[2:], "KeyError: '0.png'"),
        ([*items, {**items[0], "moz1": 0.5}], "'0.png' has two values of 'moz1'"),
        ([{"image": "0.png"}], "expected a list of objects with 'img'"),
    ):
        (folder / "AIGIQA2023.json").write_text(json.dumps(broken))
        with pytest.raises(DataError, match=re.escape(says)):
            datasets.load("aigciqa2023", tmp_path)


def test_uwiqa_names(load):
    assert load("uwiqa").table["image"].tolist() == ["0001.png", "0002.png", "0890.png"]


def test_waterloo_has_no_scores(load):
    data = load("waterloo")
    assert len(data) == 2 * 21
    assert data.table["score"].isna().all()
    assert data.table["image"].iloc[3] == "distorted_images/1/1/00002.bmp"
    assert data.table["level"].iloc[-1] == 5


@pytest.mark.parametrize("name", NATIVE)
def test_an_empty_folder_says_what_was_looked_for(name, tmp_path):
    (tmp_path / NATIVE[name]).mkdir()
    with pytest.raises(datasets.DataError, match=r"none of .* is there .the folder holds nothing"):
        datasets.load(name, tmp_path)


@pytest.mark.parametrize("name", NATIVE)
def test_another_databases_files_are_refused(name, tmp_path):
    """The likeliest mistake: the right folder name round the wrong database."""
    other = "spaq" if name != "spaq" else "kadid10k"
    getattr(layouts, other)(tmp_path / NATIVE[name])
    with pytest.raises(datasets.DataError, match=r"none of|no column|not a name"):
        datasets.load(name, tmp_path)


def parts(data: Dataset) -> list[str]:
    return data.table["official"].tolist()


def test_uhdiqa(load):
    data = load("uhdiqa")
    assert parts(data) == ["train", "train", "val", "test"]
    assert data.table["score"].tolist() == pytest.approx([0.3, 0.4, 0.5, 0.6])


def test_piq23(load):
    data = load("piq23")
    assert data.table["image"].iloc[0] == "Overall/0_Indoor_Scene_0.jpg"
    assert data.table["group"].nunique() == 3
    assert (data.table["scene"] == data.table["group"]).all()
    assert set(data.table["group"][data.table["official"] == "test"]) == {"Outdoor_Scene_33"}
    assert (data.table["spread"] == 0.4).all()
    split = make_split(data, repeat=0)
    group = data.table["group"].to_numpy()
    assert not set(group[split.train]) & set(group[split.test])


def test_piq23s_attributes_are_label_versions(load):
    overall, exposure = load("piq23"), load("piq23@exposure")
    assert exposure.table["image"].iloc[0] == "Exposure/0_Indoor_Scene_0.jpg"
    assert exposure.table["score"].iloc[0] == pytest.approx(overall.table["score"].iloc[0] + 0.1)
    assert datasets.info("piq23@overall") == datasets.info("piq23")


def test_biq2021(load):
    data = load("biq2021")
    assert parts(data) == ["train"] * 3 + ["test"] * 2
    assert data.table["image"].iloc[3] == "ss01 (3).jpg"


def test_half_of_biq2021_is_not_biq2021(tmp_path):
    layouts.biq2021(tmp_path / "BIQ2021")
    (tmp_path / "BIQ2021" / "Train (Images and MOS).csv").unlink()
    with pytest.raises(DataError, match=r"none of Train \(Images and MOS\)\.csv is there"):
        datasets.load("biq2021", tmp_path)


def test_cid2013(load):
    realigned, own = load("cid2013"), load("cid2013@set")
    assert realigned.table["image"].iloc[0] == "IS_I_C02_D01.jpg"
    assert realigned.table["score"].tolist() == [56, 77, 56, 77]
    assert own.table["score"].tolist() == [50, 70, 50, 70]
    assert realigned.table["group"].tolist() == ["IS_I_C02"] * 2 + ["IS_VI_C02"] * 2


def test_cgiqa6k(load):
    data = load("cgiqa6k")
    assert data.table["score"].tolist() == pytest.approx([2.09, 3.09, 4.09])
    assert data.table["scene"].tolist() == ["game", "game", "movie"]


def test_aigiqa20k(load):
    data = load("aigiqa20k")
    assert data.table["image"].iloc[0] == "train/model0_train.png"
    assert parts(data) == ["train"] * 3 + ["val", "test"]
    assert data.table["group"].nunique() == 1


def test_a_part_of_aigiqa20k_without_scores_is_left_out(tmp_path):
    layouts.aigiqa20k(tmp_path / "AIGIQA-20K")
    layouts.sheet(tmp_path / "AIGIQA-20K" / "info_test.xlsx", [["name", "prompt"], ["a.png", "x"]])
    assert parts(datasets.load("aigiqa20k", tmp_path)) == ["train"] * 3 + ["val"]


def test_sriqa(load):
    data = load("sriqa")
    assert data.table["distortion"].tolist() == ["SwinIR", "Original"] * 2
    assert data.table["group"].tolist() == ["x1", "x1", "x2", "x2"]


def test_koniqplusplus(load):
    plain, plus = load("koniq10k"), load("koniq10k@plusplus")
    assert plus.table["score"].tolist() == [3, 3.25, 3.5, 3.75]
    assert plus.table["blur"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6])
    assert "blur" not in plain.table
    assert parts(plus) == parts(plain)


def test_spreads_of_spaq_and_gfiqa(load, tmp_path):
    assert load("spaq").table["spread"].tolist() == [10, 11, 12, 13]
    assert load("spaq").table["sharpness"].tolist() == [5] * 4
    assert load("gfiqa20k").table["spread"].tolist() == [0.01] * 4
    layouts.spaq(tmp_path / "SPAQ")
    (tmp_path / "SPAQ" / "Annotations" / "SPAQ_mos_std.txt").unlink()
    assert datasets.load("spaq", tmp_path).table["spread"].isna().all()
