"""Every database in its authors' own layout, in small, as the tests write it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
from PIL import Image
from scipy.io import savemat

LIVE_FOLDERS = (("jp2k", 227), ("jpeg", 233), ("wn", 174), ("gblur", 174), ("fastfading", 174))


def picture(path: Path, seed: int = 0) -> None:
    """One small image; its format follows the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def pictures(folder: Path, names: Iterable[str]) -> None:
    for seed, name in enumerate(names):
        picture(folder / name, seed)


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def table(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as out:
        csv.writer(out).writerows(rows)


def sheet(path: Path, rows: Sequence[Sequence[Any]], title: str = "Sheet1") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    page.title = title
    for row in rows:
        page.append(list(row))
    book.save(path)


def cells(names: Sequence[str], row: bool = False) -> np.ndarray:
    """A MATLAB cell array of strings, as a column unless `row`."""
    out = np.empty((1, len(names)) if row else (len(names), 1), dtype=object)
    out.flat[:] = list(names)
    return out


def mat(path: Path, **variables: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables, format="5")


def livec(root: Path) -> None:
    names = [f"t{i}.bmp" for i in range(1, 8)] + ["3.bmp", "10.JPG", "11.bmp"]
    mat(root / "Data" / "AllImages_release.mat", AllImages_release=cells(names))
    mat(root / "Data" / "AllMOS_release.mat", AllMOS_release=np.linspace(5, 95, 10)[None])
    mat(root / "Data" / "AllStdDev_release.mat", AllStdDev_release=np.full((1, 10), 18.0))
    pictures(root / "Images" / "trainingImages", names[:7])
    pictures(root / "Images", [*names[7:9], "11.BMP"])


def live_truth() -> list[tuple[str, float, str, bool]]:
    """(file, dmos, reference, is original) of the 982 files of a made-up LIVE."""
    rows = []
    for kind, count in LIVE_FOLDERS:
        originals = 58 if count > 200 else 29
        for number in range(1, count + 1):
            copy = number > count - originals
            dmos = 0.0 if copy else 1 + 100 * number / count
            rows.append((f"{kind}/img{number}.bmp", dmos, f"ref{number % 29:02d}.bmp", copy))
    return rows


def live(root: Path) -> None:
    truth = live_truth()
    dmos = np.array([[row[1] for row in truth]])
    orgs = np.array([[row[3] for row in truth]], dtype=np.uint8)
    spread = np.full_like(dmos, 2.5)
    mat(root / "dmos_realigned.mat", dmos_new=dmos, dmos_std=spread, orgs=orgs)
    mat(root / "dmos.mat", dmos=dmos / 2, orgs=orgs)
    mat(root / "refnames_all.mat", refnames_all=cells([row[2] for row in truth], row=True))
    pictures(root, [row[0] for row in truth if not row[3]])


def csiq(root: Path) -> None:
    rows: list[list[Any]] = [[None] * 9] * 3
    rows += [[None] * 3 + ["image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"]]
    for reference in (1600, "aerial_city"):
        kinds = ("noise", "jpeg", "jpeg 2000", "fnoise", "blur", "contrast")
        for index, kind in enumerate(kinds, start=1):
            for level in (1, 2):
                values = [reference, index, kind, level, 0.05, level / 10 + index / 100]
                rows.append([None] * 3 + values)
    sheet(root / "csiq.DMOS.xlsx", rows, "all_by_image")
    suffixes = {
        "awgn": "AWGN",
        "jpeg": "JPEG",
        "jpeg2000": "jpeg2000",
        "fnoise": "fnoise",
        "blur": "BLUR",
        "contrast": "contrast",
    }
    for folder, suffix in suffixes.items():
        for reference in ("1600", "aerial_city"):
            names = [f"{reference}.{suffix}.{level}.png" for level in (1, 2)]
            pictures(root / "dst_imgs" / folder, names)
            picture(root / "src_imgs" / f"{reference}.png")


def tid2013(root: Path) -> None:
    names = ["I01_01_1.bmp", "i01_01_2.bmp", "I02_24_5.bmp", "i02_08_3.bmp"]
    lines = [f"{5 - i:.5f} {name}" for i, name in enumerate(names)]
    text(root / "mos_with_names.txt", *lines)
    text(root / "mos_std.txt", "0.13013", "0.16008", "0.15186", "0.11")
    pictures(root / "distorted_images", [name.swapcase() for name in names])
    pictures(root / "reference_images", ["I01.BMP", "i02.bmp"])


def kadid10k(root: Path) -> None:
    rows: list[list[Any]] = [["dist_img", "ref_img", "dmos", "var"]]
    for reference in ("I01", "I02"):
        for kind, level in ((1, 1), (1, 5), (25, 3)):
            name = f"{reference}_{kind:02d}_{level:02d}.png"
            rows.append([name, f"{reference}.png", 5 - 0.7 * level, 0.496])
            picture(root / "images" / name)
        picture(root / "images" / f"{reference}.png")
    table(root / "dmos.csv", rows)


KONIQ = ("10004473376.jpg", "10007357496.jpg", "10007903636.jpg", "10009096245.jpg")


def koniq10k(root: Path) -> None:
    head = ["image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD"]
    first, second = [[*head, "MOS_zscore"]], [[*head, "set"]]
    for i, name in enumerate(KONIQ):
        part = ("training", "training", "validation", "test")[i]
        first.append([name, *map(str, (0, 0, 25, 73, 7, 105, 2 + i * 0.6, 0.53, 30 + 18 * i))])
        second.append([name, *map(str, (0, 0, 0.24, 0.69, 0.07, 105, 30 + 18 * i, 0.53)), part])
    table(root / "koniq10k_scores_and_distributions.csv", first)
    table(root / "koniq10k_distributions_sets.csv", second)
    head = ["filename", "qmos", "sd", "votes", "artifacts", "blur", "contrast", "colors", "other"]
    third = [[name, 3 + i / 4, 0.5, 40, 0.1, 0.2 * i, 0, 0, 0.05] for i, name in enumerate(KONIQ)]
    table(root / "koniqplusplus.csv", [[*head, "degraded.amount"], *([*row, 0] for row in third)])
    pictures(root / "1024x768", KONIQ)
    pictures(root / "512x384", KONIQ)


def livefb(root: Path) -> None:
    names = [f"blur_dataset/motion{i:04d}.jpg" for i in range(3)]
    names += ["voc_emotic_ava/AVA__129332.jpg", "EE371R/img7.jpg"]
    rows = [["name", "mos"], *([name, 60 + i] for i, name in enumerate(names))]
    table(root / "labels_image.csv", rows)
    test = [["mos_patch_1", "mos_image", "name_image"], [50.0, 64.0, names[4]]]
    table(root / "labels640.csv", test)
    valid = [[names[0], False], [names[1], False], [names[2], True]]
    table(root / "labels=640_padded.csv", [["name_image", "is_valid"], *valid])
    pictures(root / "database", names)


def spaq(root: Path) -> None:
    names = [f"{i:05d}.jpg" for i in range(1, 5)]
    head = ["Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness"]
    rows = [head, *([name, 20.5 * i, 1, 2, 3, 4, 5] for i, name in enumerate(names))]
    sheet(root / "Annotations" / "MOS and Image attribute scores.xlsx", rows)
    lines = [f"{name} {20.5 * i} {10 + i}" for i, name in enumerate(names)]
    text(root / "Annotations" / "SPAQ_mos_std.txt", *lines)
    head = ["Image name", "Animal", "Cityscape", "Human", "Indoor scene", "Landscape"]
    head += ["Night scene", "Plant", "Still-life", "Others"]
    scenes = [[name, 0, 0.5, 0, 0, 0, 0.5, 0, 0, 0] for name in names]
    sheet(root / "Annotations" / "Scene category labels.xlsx", [head, *scenes])
    pictures(root / "TestImage", names)


def pipal(root: Path) -> None:
    for i, reference in enumerate(("A0001", "A0002")):
        names = [f"{reference}_{kind:02d}_{part:02d}.bmp" for kind in (0, 6) for part in (0, 1)]
        lines = [f"{name},{1400.5 + 10 * j + i}" for j, name in enumerate(names)]
        text(root / "Train_Label" / f"{reference}.txt", *lines)
        pictures(root / "Distortion_1", names[:2])
        pictures(root / "Distortion_4", names[2:])
        picture(root / "Train_Ref" / f"{reference}.bmp")


def bid(root: Path) -> None:
    head = ["Image Number", "Average Subjective Grade", "Number of Grades"]
    head += ["Grade #1", "Grade #2", "Grade #3"]
    rows = [head, [1, 4.5, 3, 4.0, 4.5, 5.0], [3, 1.5, 2, 1.0, 2.0, None], [590, 3, 2, 3, 3, None]]
    sheet(root / "DatabaseGrades.xlsx", rows, "Plan1")
    names = [f"DatabaseImage{number:04d}.JPG" for number in (1, 3, 590)]
    pictures(root / "ImageDatabase", names)


def agiqa3k(root: Path) -> None:
    head = ["name", "prompt", "adj1", "adj2", "style"]
    head += ["mos_quality", "std_quality", "mos_align", "std_align"]
    rows = [head]
    for i, name in enumerate(("AttnGAN_normal_000", "glide_lowstep_000", "sd1.5_highcorr_001")):
        prompt = "a tray of sushi, red" if i < 2 else "statue of a man"
        row = [f"{name}.jpg", prompt, "", "", "", *map(str, (1.5 + i, 0.4, 2.0, 0.7))]
        rows.append(row)
        picture(root / f"{name}.jpg", i)
    table(root / "data.csv", rows)


def aigciqa2023(root: Path) -> None:
    for number in (1, 2, 3):
        scores = np.linspace(25, 70 + number, 2400)[:, None]
        mat(root / "DATA" / "MOS" / f"mosz{number}.mat", MOSz=scores)
    pictures(root / "Image" / "allimg", [f"{i}.png" for i in range(2400)])


def gfiqa20k(root: Path) -> None:
    names = [f"{i:05d}.png" for i in range(4)]
    rows = [["img_name", "mos", "var"], *([n, 0.2 * i, 0.01] for i, n in enumerate(names))]
    table(root / "mos_val_rating.csv", rows)
    pictures(root / "image", names)


def uwiqa(root: Path) -> None:
    sheet(root / "IQA_Value.xlsx", [["number", "MOS"], [1, 0.2], [2, 0.9], [890, 0.5]])
    pictures(root / "img", ["0001.png", "0002.png", "0890.png"])


def waterloo(root: Path) -> None:
    names = ["00001.bmp", "00002.bmp"]
    pictures(root / "pristine_images", names)
    for kind in range(1, 5):
        for level in range(1, 6):
            pictures(root / "distorted_images" / str(kind) / str(level), names)


def uhdiqa(root: Path) -> None:
    rows = [["image_name", "quality_mos", "set", "subset", "orig_width"]]
    for i, part in enumerate(("training", "training", "validation", "test")):
        rows.append([f"{i:04d}.jpg", str(0.3 + i / 10), part, "", "6000"])
        picture(root / part / f"{i:04d}.jpg", i)
    table(root / "uhd-iqa-metadata.csv", rows)


PIQ_SCENES = (
    ("Indoor_Scene_0", "Train"),
    ("Outdoor_Scene_33", "Test"),
    ("Night_Scene_22", "Train"),
)


def piq23(root: Path) -> None:
    head = ["IMAGE PATH", "JOD", "JOD STD", "CI LOW", "CI HIGH", "CI RANGE", "QUALITY LEVEL"]
    head += [
        "CLUSTER",
        "TOTAL COMPARISONS",
        "IMAGE",
        "SCENE",
        "ATTRIBUTE",
        "SCENE IDX",
        "CONDITION",
    ]
    for part in ("Details", "Overall", "Exposure"):
        rows: list[list[Any]] = [head]
        for number, (scene, _) in enumerate(PIQ_SCENES):
            for i in range(3):
                name, jod = f"{i}_{scene}.jpg", i - 1.5 + len(part) / 10
                row = [f"{part}\\{name}", jod, 0.4, jod - 1, jod + 1, 2, i, -1.0, 120.0, name]
                rows.append([*row, scene, part, number, scene.split("_")[0]])
                picture(root / part / name, i)
        table(root / f"Scores_{part}.csv", rows)
    split = [[scene, part, 3] for scene, part in PIQ_SCENES]
    table(root / "Test split" / "Scene Split.csv", [["SCENE", "SPLIT", "NB IMAGES"], *split])
    lists = {"Train": ("0", "1"), "Test": ("2",)}
    for side, numbers in lists.items():
        listed = [["IMAGE PATH", "JOD", "SPLIT"]]
        listed += [
            [f"Overall\\{number}_{scene}.jpg", "0.5", side]
            for scene, _ in PIQ_SCENES
            for number in numbers
        ]
        file = f"DeviceSplit_{side}_Scores_Overall.csv"
        table(root / "Test split" / "Device Split" / file, listed)


def biq2021(root: Path) -> None:
    names = [f"ss0{1 + i % 3} ({i}).jpg" for i in range(5)]
    rows = [[name, 0.15 * i] for i, name in enumerate(names)]
    table(root / "Train (Images and MOS).csv", [["Image Name", "MOS"], *rows[:3]])
    table(root / "Test (Images and MOS).csv", [["Image Name", "MOS"], *rows[3:]])
    pictures(root / "Images", names)


def cid2013(root: Path) -> None:
    rows: list[list[Any]] = [["Source_ID", "Image set specific  MOS", "Realigned MOS"]]
    for roman, folder in (("I", "IS1"), ("VI", "IS6")):
        for camera in (1, 2):
            name = f"IS_{roman}_C02_D{camera:02d}"
            rows.append([name, 30 + 20 * camera, 35 + 21 * camera])
            picture(root / folder / "co2" / f"{name}.jpg", camera)
    sheet(root / "CID2013 data - version 12112014.xlsx", rows, "CID2013 MOS")


def cgiqa6k(root: Path) -> None:
    names = ["game_0000.jpg", "game_0627.jpg", "movie_2325.jpg"]
    table(root / "mos.csv", [["Image", "MOS"], *([n, f"{2.09 + i} "] for i, n in enumerate(names))])
    pictures(root / "database", names)


def aigiqa20k(root: Path) -> None:
    head = ["name", "prompt", "mos"]
    for part, count in (("train", 3), ("val", 1), ("test", 1)):
        names = [f"model{i}_{part}.png" for i in range(count)]
        rows = [[name, "A red fox " if i else "a red fox", 1.5 + i] for i, name in enumerate(names)]
        sheet(root / f"info_{part}.xlsx", [head, *rows])
        pictures(root / part, names)


def sriqa(root: Path) -> None:
    for number in (1, 2):
        picture(root / "LRImages" / f"x{number}_Original.png")
        lines = [f"x{number}_SwinIRx4.png,100.0", f"x{number}_Original.png,0.0"]
        text(root / "MOS" / f"x{number}.txt", *lines)
        picture(root / "images" / "SwinIR" / f"x{number}_SwinIRx4.png", number)
        picture(root / "images" / "Original" / f"x{number}_Original.png", 10 + number)
