"""`bench fit`: weights from all labels of a dataset, and what `bench predict` makes of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.api import Context
from bench.model.fitted_weights import read_note
from tests.conftest import Bench

UNTRAINED = [
    ("mpiqe", "backbone=tiny"),
    ("deiqt", "backbone=tiny"),
    ("coop", "backbone=tiny"),
    ("clipiqa_plus", "backbone=tiny"),
    ("ridge", "backbone=tiny"),
    ("svr", "backbone=tiny"),
    ("linear_probe", "backbone=tiny"),
    ("knn", "backbone=lite0"),
    ("finetune", "backbone=tiny"),
    ("pyiqa_trained:cnniqa", "epochs=1"),
    ("promptiqa", "backbone=tiny"),
    ("label_mean", None),
]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((24, 24, 3), 90, np.uint8)).save(path)
    return path


def labels(bench: Bench, name: str) -> list[float]:
    with (bench.data / name / "scores.csv").open() as file:
        return [float(row["score"]) for row in csv.DictReader(file)]


def score(path: Path) -> float:
    with path.open() as file:
        return float(next(csv.DictReader(file))["score"])


def test_weights_of_a_dataset_predict_and_say_where_they_come_from(
    bench: Bench, photo: Path
) -> None:
    weights = bench.folder / "mean.safetensors"
    fitted = bench("fit", "toy", "--method", "label_mean", "--out", weights, "--device", "cpu")
    assert fitted.returncode == 0, fitted.text
    assert "60 labelled images of toy" in fitted.stdout
    note = read_note(weights)
    assert note is not None
    assert (note.trained_on, note.images, note.fit.learn) == (("toy",), 60, "all")
    assert note.environment.packages["numpy"]
    result = bench("predict", photo, "--weights", weights, "--out", "s.csv", "--device", "cpu")
    assert result.returncode == 0, result.text
    assert "trained on toy" in result.stdout
    found = np.array(labels(bench, "toy"))
    scaled = (found - found.min()) / (found.max() - found.min())
    assert score(bench.folder / "s.csv") == pytest.approx(scaled.mean(), abs=1e-6)


def test_a_protocol_says_how_labels_are_scaled_and_which_datasets_are_joined(
    bench: Bench, photo: Path
) -> None:
    weights = bench.folder / "mean.safetensors"
    path = bench.protocol("train: [toy, toy2]\ntest: [toy]\nnormalise: none\n", "joint")
    fitted = bench("fit", path, "--method", "label_mean", "--out", weights, "--device", "cpu")
    assert fitted.returncode == 0, fitted.text
    bench("predict", photo, "--weights", weights, "--out", "s.csv", "--device", "cpu")
    both = [*labels(bench, "toy"), *labels(bench, "toy2")]
    assert score(bench.folder / "s.csv") == pytest.approx(np.mean(both), abs=1e-6)
    apart = bench.protocol("datasets: [toy, toy2]\n", "apart")
    refused = bench("fit", apart, "--method", "label_mean", "--out", weights)
    assert refused.returncode == 2
    assert "learns from toy, toy2, each apart; choose with --datasets" in refused.stderr


def test_a_regressor_keeps_its_settings_and_its_backbone(bench: Bench) -> None:
    weights = bench.folder / "ridge.safetensors"
    fitted = bench("fit", "toy", "--method", "ridge", "--set", "backbone=tiny", "--set",
                   "penalties=[1, 10]", "--out", weights, "--device", "cpu")  # fmt: skip
    assert fitted.returncode == 0, fitted.text
    arguments = ("predict", bench.data / "toy", "--weights", weights, "--out", "s.csv")
    result = bench(*arguments, "--device", "cpu")
    assert result.returncode == 0, result.text
    with (bench.folder / "s.csv").open() as file:
        found = [float(row["score"]) for row in csv.DictReader(file)]
    # It has seen these very labels.
    assert np.corrcoef(found, labels(bench, "toy"))[0, 1] > 0.8
    for more, expected in [
        (("--method", "svr"), "was fitted by ridge, not by svr"),
        (("--set", "penalties=[5]"), "was fitted with penalties=(1.0, 10.0)"),
        (("--set", "backbone=ViT-B-16:random"), "was fitted on tiny sha256:"),
    ]:
        refused = bench(*arguments, *more, "--device", "cpu")
        assert (refused.returncode, expected in refused.stderr) == (2, True), refused.text


@pytest.mark.parametrize(("method", "setting"), UNTRAINED)
def test_what_has_not_learnt_does_not_predict(
    bench: Bench, photo: Path, method: str, setting: str | None
) -> None:
    given = [] if setting is None else ["--set", setting]
    result = bench("predict", photo, "--method", method, *given, "--out", "s.csv")
    assert result.returncode == 2, result.text
    assert "needs fitted weights: `bench fit " in result.stderr
    assert not (bench.folder / "s.csv").exists()


def test_zero_shot_refuses_what_needs_labels(bench: Bench) -> None:
    path = bench.protocol("datasets: [toy]\nzero_shot: true\nrepeats: 1\n")
    result = bench.run(path, "--methods", "toy_luminance,label_mean")
    assert result.returncode == 2
    assert "label_mean needs labels to learn from" in result.stderr


def test_contamination_follows_the_file(bench: Bench) -> None:
    weights = bench.folder / "net.safetensors"
    sizes = ("epochs=1", "resize_mode=squash", "resize=40", "crop=32", "local_contrast=false")
    small = [part for size in sizes for part in ("--set", size)]
    method = ("--method", "pyiqa_trained:cnniqa")
    fitted = bench("fit", "toy", *method, *small, "--out", weights, "--device", "cpu")
    assert fitted.returncode == 0, fitted.text
    cls, settings = registry.settings_for("pyiqa_trained:cnniqa", {"weights": weights})
    assert cls(settings, Context()).all_trained_on() == ("toy",)
    path = bench.protocol("datasets: [toy]\nlabels: [10]\nrepeats: 1\n")
    result = bench("plan", path, "--methods", "pyiqa_trained:cnniqa", *small,
                   "--set", f"weights={weights}", "--exclude-contaminated")  # fmt: skip
    assert result.returncode == 2
    assert "every method has seen labels of every dataset" in result.stderr


def test_what_cannot_be_fitted_is_said_before_anything_runs(bench: Bench) -> None:
    for source, method, out, expected, code in [
        ("toi", "label_mean", "w", "unknown protocol or dataset 'toi'. Did you mean 'toy'?", 2),
        ("toy", "toy_luminance", "w", "learns nothing from labels", 2),
        ("toy", "label_meen", "w", "Did you mean 'label_mean'?", 2),
        ("toy", "label_mean", ".", "it is a folder", 2),
        ("livec", "label_mean", "w", "livec", 3),
        ("toy", "toy_linear", "w", "toy_linear cannot save what it has learnt", 2),
    ]:
        result = bench("fit", source, "--method", method, "--out", out, "--device", "cpu")
        assert (result.returncode, expected in result.stderr) == (code, True), result.text
        assert not (bench.folder / "w").exists()


def test_a_probe_on_lite0_is_fitted_and_predicts(bench: Bench, photo: Path) -> None:
    """What is fitted holds its backbone's identity, and needs no setting to predict again."""
    weights = bench.folder / "ridge.safetensors"
    settings = ("--set", "backbone=lite0", "--set", "resize=64")
    fitted = bench("fit", "toy", "--method", "ridge", *settings, "--out", weights)
    assert fitted.returncode == 0, fitted.text
    note = read_note(weights)
    assert note is not None
    assert note.fit.weights["name"] == "lite0"
    arguments = ("predict", photo, "--weights", weights, "--device", "cpu", "--out")
    for method in ((), ("--method", "ridge")):
        result = bench(*arguments, "s.csv", *method)
        assert result.returncode == 0, result.text
    dark = score(bench.folder / "s.csv")
    Image.fromarray(np.full((24, 24, 3), 220, np.uint8)).save(photo)
    assert bench(*arguments, "t.csv").returncode == 0
    assert score(bench.folder / "t.csv") > dark
