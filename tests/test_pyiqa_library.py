"""Which files pyiqa's networks lack, without fetching or reading one."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyiqa")
import torch

from bench.methods.pyiqa_trained.networks import ARCHITECTURES
from bench.pyiqa_library import create, missing_imagenet_weights, missing_weights


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any weights."""
    from huggingface_hub import constants
    from pyiqa.utils import download_util

    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


def names(found: tuple[object, ...]) -> list[str]:
    return [str(getattr(one, "url", "")).rpartition("/")[2] for one in found]


@pytest.mark.parametrize(
    ("metric", "files"),
    [
        ("entropy", []),
        ("hyperiqa", ["HyperIQA-resnet50-koniq10k-c96c41b1.pth"]),  # ImageNet's are overwritten
        ("lpips", ["alexnet-owt-7be5be79.pth", "LPIPS_v0.1_alex-df73285e.pth"]),
        ("arniqa", ["ARNIQA.pth", "regressor_koniq10k.pth"]),
        ("pi", ["NRQM_model.mat", "niqe_modelparameters.mat"]),
        ("qualiclip", ["RN50.pt", "QualiCLIP.pth"]),
    ],
)
def test_all_files_of_a_metric(metric: str, files: list[str], tmp_path: Path) -> None:
    assert names(missing_weights(metric)) == files
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_that_is_there_is_not_listed(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "LPIPS_v0.1_alex-df73285e.pth")
    assert names(missing_weights("lpips")) == ["alexnet-owt-7be5be79.pth"]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("dbcnn", ["vgg16-397923af.pth", "DBCNN_scnn-7ea73d75.pth"]),
        ("hyperiqa", ["model.safetensors"]),
    ],
)
def test_imagenet_weights_of_a_network(name: str, files: list[str]) -> None:
    known = ARCHITECTURES[name]
    found = missing_imagenet_weights(known.kind, **known.options)
    assert names(found) == files
    if name == "hyperiqa":
        assert found[0].repository == "timm/resnet50.a1_in1k"


def test_networks_are_whole_again_afterwards() -> None:
    """What stands in for loading is gone: a missing file is an error as before."""
    missing_weights("lpips")
    layer = torch.nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match="Missing key"):
        layer.load_state_dict({})
    with pytest.raises(FileNotFoundError):
        torch.load("nowhere.pth")
    assert create("entropy", "cpu") is not None
