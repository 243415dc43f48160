"""pyiqa's metrics: direction, batches, seeds, missing weights, what they were trained on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import pyiqa_library, registry
from bench.api import Context
from bench.data import datasets
from bench.methods.kit import training_data
from bench.methods.pyiqa import BATCHED, PyiqaMetric, PyiqaSettings
from bench.model.images import ArrayImages
from bench.protocol import Protocol
from bench.protocol.variants import choose
from bench.store import Store
from bench.util.errors import BenchError, UsageError
from tests.conftest import Bench

SIDE = 96
SMALL_NETWORKS = ("cnniqa", "wadiqam_nr", "paq2piq", "metaiqa")
LARGER_NETWORKS = ("topiq_nr", "nima-vgg16-ava", "dbcnn")


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
    own = pyiqa_library.create("piqe", "cpu")
    pixels = torch.from_numpy(images()[2]).permute(2, 0, 1)[None].float() / 255
    assert own.lower_better
    assert found[2] == pytest.approx(-float(own(pixels)))


def test_every_metric_but_those_of_sets_is_offered() -> None:
    import pyiqa

    everything = set(pyiqa.list_models(metric_mode="NR"))
    assert set(pyiqa_library.metric_names()) == everything - set(pyiqa_library.NOT_OF_ONE_IMAGE)
    assert everything >= BATCHED
    with pytest.raises(UsageError, match="compares two sets of images: it has no score for one"):
        registry.settings_for("pyiqa:fid", {})
    with pytest.raises(UsageError, match="Did you mean 'piqe'"):
        registry.settings_for("pyiqa:piqee", {})


def test_a_method_of_ones_own_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from bench.api import Method\n\nclass Mine(Method):\n    name = 'musiq'\n"
    )
    monkeypatch.setenv(registry.OWN_FOLDERS, str(tmp_path))
    registry.entries.cache_clear()
    try:
        assert registry.full_name("musiq") == "musiq"
        assert registry.entries()["musiq"].source == tmp_path / "mine.py"
        assert registry.full_name("niqe") == "pyiqa:niqe"
    finally:
        registry.entries.cache_clear()


class Stub(torch.nn.Module):
    """Stands in for every network of pyiqa: the mean of the pixels; keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[torch.Tensor] = []

    def forward(self, pixels: torch.Tensor, **_: Any) -> torch.Tensor:
        self.shown.append(pixels)
        return pixels.mean(dim=(1, 2, 3), dtype=torch.float64)[:, None]


LOWER_BETTER = {
    *("brisque", "brisque_matlab", "niqe", "niqe_matlab", "ilniqe", "piqe", "pi", "afine_nr")
}
"""By the metrics' papers: distances and distortion; all others are qualities."""


@pytest.mark.parametrize("metric", pyiqa_library.metric_names())
def test_every_metric_is_turned_upwards_and_shown_the_files_pixels(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyiqa's own wrapper and configuration of all metrics, around a network that is known."""
    made: list[Stub] = []

    def build(_: Any) -> Stub:
        made.append(Stub())
        return made[-1]

    monkeypatch.setattr("pyiqa.models.inference_model.build_network", build)
    scorer = method(metric)
    assert scorer.policy.resize == "none"
    found = scorer.predict(images(3))
    means = np.array([image.mean() / 255 for image in images(3)])
    assert found == pytest.approx(-means if metric in LOWER_BETTER else means, abs=1e-6)
    assert [len(pixels) for pixels in made[0].shown] == ([3] if metric in BATCHED else [1, 1, 1])
    shown = torch.cat(made[0].shown) * 255
    assert torch.equal(shown.round().byte().permute(0, 2, 3, 1), torch.from_numpy(stacked(3)))


def stacked(count: int) -> Any:
    return np.stack(list(images(count)))


def test_piqe_and_entropy_are_pyiqas_own_scores() -> None:
    """The metrics that need no weights, against the library called by hand."""
    import pyiqa

    pixels = torch.from_numpy(stacked(3)).permute(0, 3, 1, 2).float() / 255
    for metric, sign in (("piqe", -1), ("entropy", 1)):
        own = pyiqa.create_metric(metric, device=torch.device("cpu"))
        expected = [sign * float(own(one[None])) for one in pixels]
        assert method(metric).predict(images(3)) == pytest.approx(expected)
        assert len(set(expected)) == 3


def test_short_names_are_the_same_row() -> None:
    """`piqe` is `pyiqa:piqe`, so that what one has scored the other reads."""
    taken = {name for name, entry in registry.entries().items() if not entry.stands_for}
    assert not taken & set(PyiqaMetric.short_names)
    assert registry.full_name("clipiqa") == "clipiqa"
    for name in PyiqaMetric.short_names:
        assert registry.full_name(name) == f"pyiqa:{name}"
        cls, settings = registry.settings_for(name, {})
        assert (cls, settings.model_dump()) == (PyiqaMetric, {"metric": name})
        assert name in pyiqa_library.metric_names()
    rows = Protocol.model_validate({"title": "T", "datasets": ["livec"], "methods": ["pyiqa:niqe"]})
    assert [variant.title for variant in choose(rows, ["niqe"], {})] == ["pyiqa:niqe"]
    (short,), (full,) = choose(rows, ["piqe"], {}), choose(rows, ["pyiqa:piqe"], {})
    assert (short.title, full.title) == ("piqe", "pyiqa:piqe")
    assert (short.method, short.identity()) == (full.method, full.identity())


@pytest.mark.parametrize(
    "metric",
    [*SMALL_NETWORKS, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER_NETWORKS)],
)
def test_a_batch_scores_as_its_images_do(metric: str) -> None:
    assert metric in BATCHED
    torch.manual_seed(0)
    network = pyiqa_library.create(metric, "cpu", pretrained=None)
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


def test_a_hub_repository_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics on transformers' models ask the hub for many files: its repository is what counts."""
    from huggingface_hub import constants, file_download

    def fail(*_: Any, **__: Any) -> None:
        file_download.hf_hub_url("q-future/one-align", "config.json")
        raise OSError("no network")

    monkeypatch.setattr("pyiqa.models.inference_model.build_network", fail)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BenchError) as caught:
        method("qalign").predict(images())
    text = str(caught.value)
    for part in ("pyiqa:qalign", "config.json", "hf download q-future/one-align", "HF_HOME"):
        assert part in text
    assert str(tmp_path / "models--q-future--one-align") in text


def test_missing_weights_fail_one_method_and_the_others_go_on(bench: Bench) -> None:
    protocol = bench.protocol(
        "title: T\ndatasets: [toy]\nlabels: [10]\nrepeats: 2\nmethods: [niqe, toy_luminance]\n"
    )
    nowhere = "http://127.0.0.1:9"
    home = bench.folder / "home"
    result = bench.run(protocol, TORCH_HOME=str(home), https_proxy=nowhere, http_proxy=nowhere)
    assert result.returncode == 1, result.stdout + result.stderr
    found = {record.spec.method: record for record in Store(bench.results).records()}
    assert {name: record.status for name, record in found.items()} == {
        "pyiqa:niqe": "failed",
        "toy_luminance": "done",
    }
    error = found["pyiqa:niqe"].error or ""
    file = "niqe_modelparameters.mat"
    assert f"pyiqa:niqe: its weights are not on this machine. {file}" in error
    assert f"looks for it at {home / 'hub' / 'pyiqa' / file}" in error
    assert "by hand from https://huggingface.co/chaofengc/IQA-PyTorch-Weights" in error
    assert file in result.stdout


def test_an_image_that_cannot_be_scored_is_named() -> None:
    class Picky(Dice):
        def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
            raise AssertionError("Short side is less than 224")

    scorer = method("liqe")
    scorer._metric = Picky()
    with pytest.raises(BenchError, match=r"cannot score '0' \(96 x 96\): Short side"):
        scorer.predict(images())


def _bare(database: str) -> str:
    """A database's name without hyphens and case."""
    return re.sub("[^a-z0-9]", "", database.lower())


def test_what_each_metric_was_trained_on_has_a_source() -> None:
    table = training_data.table()
    assert set(pyiqa_library.metric_names()) <= set(table)
    known = set(datasets.names())
    for name, entry in table.items():
        assert entry["source"], name
        labels = entry["labels"]
        assert isinstance(labels, list)
        assert set(labels) <= known, name
        # What the project came to read since is no longer another database.
        others = entry.get("other", [])
        assert isinstance(others, list)
        assert not {_bare(other) for other in others} & {_bare(each) for each in known}, name
    six = ("live", "csiq", "bid", "livec", "koniq10k", "kadid10k")
    assert method("liqe_mix").trained_on() == tuple(f"{name}#liqe/1" for name in six)
    for name in ("qrealign", "qrealign-mini", "qrealign-lite", "qrealign-pro"):
        assert method(name).trained_on() == ("koniq10k", "spaq", "kadid10k", "aigiqa20k")
        assert training_data.pyiqa_known(name)
    assert method("afine_nr").trained_on() == ("kadid10k", "pipal", "tid2013")
    assert method("niqe").trained_on() == ()
    assert method("brisque").trained_on() == ("live",)
