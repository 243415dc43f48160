"""The authors' own annotation files, read whole; and LIVEC's images, end to end.

They are no part of the project. `IQA_DATA` names the folder that holds them.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bench.api import ImagePolicy
from bench.data import datasets, housekeeping
from bench.data.datasets.base import Dataset
from bench.data.images import open_images
from bench.data.splits import make_split
from bench.util.errors import UsageError

DATA = Path(os.environ.get("IQA_DATA", "") or "/nonexistent")
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="real databases: set IQA_DATA to the folder that holds them"
)

# spec: samples, lowest, highest score, groups, images with a spread
PUBLISHED = {
    "livec": (1162, 3.42, 92.4319, 1162, 1162),
    "livec@1169": (1169, 3.42, 92.4319, 1169, 1169),
    "live": (779, -2.6400, 111.7747, 29, 779),
    "csiq": (866, 0.0, 1.0, 30, 866),
    "tid2013": (3000, 0.24242, 7.21429, 25, 3000),
    "kadid10k": (10125, 1.0, 4.93, 81, 0),
    "koniq10k": (10073, 1.09615, 4.31, 10073, 10073),
    "koniq10k@zscore": (10073, 3.91168, 88.3884, 10073, 0),
    "koniq10k@100": (10073, 3.91168, 88.3884, 10073, 0),
    "livefb": (39810, 0.0, 94.33323, 39810, 0),
    "spaq": (11125, 2.0, 96.0, 11125, 0),
    "pipal": (23200, 916.7136, 1835.9856, 200, 0),
    "bid": (586, 0.163806, 4.919752, 586, 586),
    "agiqa3k": (2982, 0.0, 4.488741, 300, 2982),
    "aigciqa2023": (2400, 26.63, 72.1104, 100, 0),
}


# Dataset and split digests: if one changes, everybody's results have to be run again.
PINNED = {
    "livec": ("98a6c405913b5e78", "4cc0464c6dc07121"),
    "live": ("663e933cd1f0e99e", "bf765ad01ab35cc9"),
    "csiq": ("a935e682de5ab9a2", "3b36e8ee5309ded0"),
    "tid2013": ("ad6a544193e6180f", "0191536dbb27cde7"),
    "kadid10k": ("52c3fe5939ae7786", "5c7f05662825c538"),
    "koniq10k": ("b9d49200587a2836", "ec854173943e4fc6"),
    "agiqa3k": ("bdd3f629429cc24e", "61a45ecf1b1d6f3d"),
}


@cache
def load(spec: str) -> Dataset:
    if datasets.locate(spec, DATA) is None:
        pytest.skip(f"{spec} is not under IQA_DATA")
    return datasets.load(spec, DATA)


@pytest.mark.parametrize("spec", PUBLISHED)
def test_published_counts_and_ranges(spec):
    count, low, high, groups, spread = PUBLISHED[spec]
    data = load(spec)
    score = data.table["score"]
    assert len(data) == data.info.size == count
    assert (score.min(), score.max()) == pytest.approx((low, high), rel=1e-3, abs=1e-3)
    assert data.table["group"].nunique() == groups
    assert data.table["spread"].notna().sum() == spread


@pytest.mark.parametrize("name", PINNED)
def test_digests_stay_what_they_are(name):
    data = load(name)
    split = make_split(data, repeat=0)
    assert (data.digest[:16], split.digest(data)[:16]) == PINNED[name]


def test_koniqs_two_tables_agree():
    plain, zscore, scaled = (load(f"koniq10k{v}") for v in ("", "@zscore", "@100"))
    assert np.allclose(zscore.table["score"], scaled.table["score"], atol=1e-9)
    names = plain.table["image"].tolist()
    assert names == sorted(names)  # as GRMP-IQA's sequence counts them
    assert plain.table["official"].value_counts().to_dict() == {
        "train": 7058,
        "test": 2015,
        "val": 1000,
    }
    split = make_split(plain, repeat=0, scheme="official")
    assert [part.size for part in (split.train, split.val, split.test)] == [7058, 1000, 2015]


def test_livefbs_test_images_are_those_of_arniqa():
    data = load("livefb")
    folder = DATA / "annotations" / "arniqa"
    ours = make_split(data, repeat=0, scheme="official")
    theirs = make_split(data, repeat=0, scheme="arniqa", folder=folder)
    assert ours.test.tolist() == theirs.test.tolist()
    assert theirs.train.size == 30253


def test_spaqs_scenes():
    table = load("spaq").table
    assert table["scene"].iloc[2] == "landscape"
    assert table["scene"].iloc[0] == "cityscape|night|still_life"
    assert (table["scene"] != "").all()


def test_aigciqas_prompts_are_those_of_its_sheet():
    import openpyxl
    import pandas as pd

    folder = DATA / "annotations" / "aigciqa2023"
    data = load("aigciqa2023")
    listed = pd.read_csv(folder / "AIGCIQA2023.csv")
    pairs = {*zip(data.table["group"], listed["prompt"], strict=True)}
    assert len(pairs) == 100
    index = openpyxl.load_workbook(folder / "pic-index.xlsx").worksheets[0]
    assert [row[0] for row in index.values] == data.table["distortion"].tolist()


def test_lives_labels_and_references_agree_with_liqe():
    """Their label is the highest DMOS less the DMOS; no reference stands on both sides."""
    data = load("live")
    file = DATA / "annotations/liqe/IQA_Database/databaserelease2/splits2/live_all.txt"
    listed = dict(line.split("\t")[:2] for line in file.read_text().splitlines())
    scores = dict(zip(data.table["image"], data.table["score"], strict=True))
    assert set(listed) == set(scores)
    assert max(abs(111.774693 - float(listed[k]) - scores[k]) for k in listed) < 1e-5


@pytest.mark.parametrize("scheme", ["liqe", "arniqa"])
@pytest.mark.parametrize(
    "name", ["live", "csiq", "kadid10k", "livec", "koniq10k", "tid2013", "spaq", "bid"]
)
def test_ten_published_splits(scheme, name):
    """They fit image by image, and no content is on both sides: the order of rows is theirs."""
    if name in {"liqe": ("tid2013", "spaq"), "arniqa": ("bid",)}[scheme]:
        pytest.skip(f"{scheme} published no split of {name}")
    data, folder = load(name), DATA / "annotations" / scheme
    digests = set()
    for repeat in range(10):
        split = make_split(data, repeat=repeat, scheme=scheme, folder=folder)
        assert split.train.size + split.val.size + split.test.size == len(data)
        assert split.test.size / len(data) == pytest.approx(0.2, abs=0.015)
        digests.add(split.digest(data))
    assert len(digests) == 10


def test_metaiqas_list_of_livec_has_the_same_scores():
    import pandas as pd

    data = load("livec")
    listed = pd.read_csv(DATA / "annotations/metaiqa/LIVE_WILD/image_labeled_by_score.csv")
    scores = dict(zip(data.table["image"], data.table["score"], strict=True))
    assert max(abs(scores[row.image] - 100 * row.mos) for row in listed.itertuples()) < 0.01


def test_metaiqas_types_of_distortion_are_ours():
    import pandas as pd

    for name in ("tid2013", "kadid10k"):
        data = load(name)
        file = DATA / "annotations" / "metaiqa" / name / "image_labeled_by_per_noise.csv"
        types = dict(zip(data.table["image"].str.lower(), data.table["distortion"], strict=True))
        for row in pd.read_csv(file).itertuples():
            assert int(types[row.image.lower()][:2]) == row.noise


def test_grmps_sequence_applies_to_livec_with_its_training_images():
    data = load("livec@1169")
    split = make_split(data, repeat=9, scheme="grmp", labels=50)
    assert (split.train.size, split.test.size) == (50, 234)
    with pytest.raises(UsageError, match="livec@1169"):
        make_split(load("livec"), repeat=0, scheme="grmp", labels=50)


def test_livec_end_to_end(tmp_path):
    data = load("livec")
    images = open_images(data.root, list(data.table["image"]), ImagePolicy(), tmp_path)
    assert len(images) == 1162
    shapes = {image.shape for image in images}
    assert all(shape[2] == 3 for shape in shapes)
    small = open_images(data.root, list(data.table["image"]), ImagePolicy("squash", 32), tmp_path)
    assert small.batch(range(1162)).shape == (1162, 32, 32, 3)


def test_livec_verified():
    result = housekeeping.verify("livec", DATA)
    assert result.good, result.checks
    assert len(result.digest) == 64
