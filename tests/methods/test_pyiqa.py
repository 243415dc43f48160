"""pyiqa's metrics: direction, batches, seeds, missing weights, what they were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import datasets, registry
from bench.api import Context
from bench.errors import BenchError, UsageError
from bench.images import ArrayImages
from methods import _contamination, _pyiqa_library
from methods.pyiqa import BATCHED, PyiqaMetric, PyiqaSettings

SIDE = 96
SMALL_NETWORKS = (
    "cnniqa",
    "wadiqam_nr",
    "paq2piq",
    "metaiqa",
    "topiq_nr",
    "nima-vgg16-ava",
    "dbcnn",
)


def images(count: int = 4, side: int = SIDE) -> ArrayImages:
    rng = np.random.default_rng(0)
    ramp = np.linspace(30, 220, side)[None, :, None]
    return ArrayImages(
        [
            np.clip(ramp + rng.normal(0, 5 + 25 * i, (side, side, 3)), 0, 255).astype(np.uint8)
            for i in range(count)
        ]
    )


def method(metric: str, batch_size: int = 64) -> PyiqaMetric:
    return PyiqaMetric(PyiqaSettings(metric=metric), Context(batch_size=batch_size))


def test_lower_is_better_is_turned_round() -> None:
    found = method("piqe").predict(images())
    own = _pyiqa_library.create("piqe", "cpu")
    pixels = torch.from_numpy(images()[2]).permute(2, 0, 1)[None].float() / 255
    assert own.lower_better
    assert found[2] == pytest.approx(-float(own(pixels)))
    assert registry.load("piqe")(registry.load("piqe").Settings(), Context()).predict(
        images()
    ) == pytest.approx(found)


def test_every_metric_but_those_of_sets_is_offered() -> None:
    import pyiqa

    everything = set(pyiqa.list_models(metric_mode="NR"))
    assert set(_pyiqa_library.metric_names()) == everything - set(_pyiqa_library.NOT_OF_ONE_IMAGE)
    assert everything >= BATCHED
    with pytest.raises(UsageError, match="no score for one image"):
        method("fid").predict(images())
    with pytest.raises(UsageError, match="Did you mean 'piqe'"):
        method("piqee").predict(images())


@pytest.mark.parametrize("metric", SMALL_NETWORKS)
def test_a_batch_scores_as_its_images_do(metric: str) -> None:
    assert metric in BATCHED
    torch.manual_seed(0)
    network = _pyiqa_library.create(metric, "cpu", pretrained=None)
    results = []
    for size in (3, 1):
        scorer = method(metric, size)
        scorer._metric = network
        results.append(scorer.predict(images(3)))
    assert results[0] == pytest.approx(results[1], rel=1e-4, abs=1e-6)
    assert len(set(results[0])) == 3


class Dice:
    """A metric that draws at inference, from everywhere."""

    lower_better = False

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.rand(1) + float(np.random.rand()) + pixels.mean()  # noqa: NPY002


def test_draws_belong_to_the_image_and_leave_no_trace() -> None:
    scorer = method("maniqa")
    scorer._metric = Dice()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = torch.rand(1)
    forwards = scorer.predict(images())
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)
    backwards = scorer.predict(images().subset([3, 2, 1, 0]))
    assert np.array_equal(forwards, backwards[::-1])
    assert len(set(forwards)) == 4


def test_images_of_several_sizes_are_scored_in_their_order() -> None:
    mixed = ArrayImages([*images(2), *images(2, 64), *images(1)])
    alone = [method("piqe").predict(ArrayImages([image]))[0] for image in mixed]
    assert method("piqe").predict(mixed) == pytest.approx(alone)


@pytest.mark.parametrize("metric", ["cnniqa", "hyperiqa", "clipiqa", "niqe"])
def test_missing_weights_are_named(
    metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, where pyiqa looks, and where to get it; ImageNet weights are not asked for."""
    from pyiqa.utils import download_util

    def fail(url: str, *_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(download_util, "download_url_to_file", fail)
    monkeypatch.setattr("pyiqa.archs.clip_model._download", fail)
    files = {
        "cnniqa": "CNNIQA_koniq10k",
        "hyperiqa": "HyperIQA-resnet50-koniq10k",
        "clipiqa": "RN50",
        "niqe": "niqe_modelparameters",
    }
    with pytest.raises(BenchError) as caught:
        method(metric).predict(images())
    text = str(caught.value)
    assert f"pyiqa:{metric}" in text
    assert files[metric] in text
    assert "by hand from https://" in text


def test_an_image_that_cannot_be_scored_is_named() -> None:
    class Picky(Dice):
        def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
            raise AssertionError("Short side is less than 224")

    scorer = method("liqe")
    scorer._metric = Picky()
    with pytest.raises(BenchError, match=r"cannot score '0' \(96 x 96\): Short side"):
        scorer.predict(images())


def test_what_each_metric_was_trained_on_has_a_source() -> None:
    table = _contamination.table()
    assert set(_pyiqa_library.metric_names()) <= set(table)
    known = set(datasets.names())
    for name, entry in table.items():
        assert entry["source"], name
        labels = entry["labels"]
        assert isinstance(labels, list)
        assert set(labels) <= known, name
    assert method("liqe_mix").trained_on() == (
        "live",
        "csiq",
        "bid",
        "livec",
        "koniq10k",
        "kadid10k",
    )
    assert method("niqe").trained_on() == ()
    assert registry.load("brisque")(
        registry.load("brisque").Settings(), Context()
    ).trained_on() == ("live",)
