"""The one place that imports pyiqa: its metrics by name, its weights, and errors that help.

pyiqa is imported at first use only: its licence is non-commercial, and its import takes seconds.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from bench.util.errors import BenchError, UsageError, unknown

WEIGHTS_PAGE = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights"
NOT_OF_ONE_IMAGE: Mapping[str, str] = {
    "fid": "compares two sets of images",
    "sfid": "compares two sets of images",
    "fid_dinov2": "compares two sets of images",
    "inception_score": "judges a set of images",
    "clipscore": "needs a caption for every image",
}
"""Entries of pyiqa's NR list that give no score for one image alone."""
WHOLE_CHECKPOINTS = frozenset(
    {"HyperNet", "NIMA", "MANIQA", "TReS", "DBCNN", "CFANet", "UNIQUE", "PAQ2PIQ", "ARNIQA"}
)
"""Architectures whose checkpoint holds every tensor: ImageNet weights loaded before it are
overwritten, so they need not be on the machine."""
TORCHVISION_BACKBONES = ("resnet18", "resnet34", "resnet50", "vgg16")


class Attempt(NamedTuple):
    """One download that was tried."""

    url: str
    path: Path
    """Where the file belongs; for the Hugging Face hub, the folder of its repository."""
    repository: str = ""
    """On the Hugging Face hub."""


def metric_names() -> list[str]:
    """The no-reference metrics that score one image, by pyiqa's names."""
    import pyiqa

    known: list[str] = pyiqa.list_models(metric_mode="NR")
    return [name for name in known if name not in NOT_OF_ONE_IMAGE]


def options(name: str) -> dict[str, Any]:
    """pyiqa's own entry of a metric: `metric_opts`, `lower_better`, `score_range`.

    Raises `UsageError` for a name that is no no-reference metric, or scores no single image.
    """
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    if name in NOT_OF_ONE_IMAGE:
        raise UsageError(f"pyiqa:{name} {NOT_OF_ONE_IMAGE[name]}: it has no score for one image")
    if name not in metric_names():
        raise unknown("pyiqa metric", name, metric_names())
    return dict(DEFAULT_CONFIGS[name])


def full_reference(name: str) -> Any:
    """A full-reference metric on the CPU: (distorted, pristine), (B, 3, H, W) in 0–1, to (B, ...).

    Raises `BenchError` as `create` does.
    """
    return _created(name, f"pyiqa's {name}", "cpu")


def create(name: str, device: str, **changes: Any) -> Any:
    """A metric ready to score (B, 3, H, W) in 0–1. `changes` go to its architecture.

    Raises `UsageError` for a wrong name and `BenchError` for weights that cannot be had: it names
    the metric, the file, where pyiqa looks and how to place the file by hand.
    """
    whole = str(options(name)["metric_opts"]["type"]) in WHOLE_CHECKPOINTS
    return _created(name, f"pyiqa:{name}", device, without_backbone=whole, **changes)


def missing_weights(name: str) -> Attempt | None:
    """The first file that a metric lacks on this machine; None where it lacks none.

    Downloads nothing. Raises `UsageError` for a wrong name, and `BenchError` for a metric that
    fails for another reason.
    """
    whole = str(options(name)["metric_opts"]["type"]) in WHOLE_CHECKPOINTS
    attempts: list[Attempt] = []
    try:
        _build(name, "cpu", attempts, without_backbone=whole, offline=True)
    except Exception as error:
        lost = _lost(attempts)
        if not lost:
            raise _missing(f"pyiqa:{name}", attempts, error) from error
        return lost[-1]
    return None


def _created(
    name: str, title: str, device: str, without_backbone: bool = False, **changes: Any
) -> Any:
    attempts: list[Attempt] = []
    try:
        return _build(name, device, attempts, without_backbone, **changes)
    except Exception as error:  # download and unpickling errors come in many classes
        raise _missing(title, attempts, error) from error


def _build(
    name: str,
    device: str,
    attempts: list[Attempt],
    without_backbone: bool = False,
    offline: bool = False,
    **changes: Any,
) -> Any:
    import pyiqa
    import torch

    with ExitStack() as stack:
        stack.enter_context(_downloads_into(attempts, offline))
        if without_backbone:
            stack.enter_context(without_backbone_weights())
        return pyiqa.create_metric(name, device=torch.device(device), as_loss=False, **changes)


def architecture(kind: str, imagenet: bool, **settings: Any) -> Any:
    """An untrained network of pyiqa by its class name; its backbone random or from ImageNet.

    Raises `BenchError` as `create` does where ImageNet weights cannot be had.
    """
    from pyiqa.archs import build_network

    attempts: list[Attempt] = []
    with ExitStack() as stack:
        stack.enter_context(_downloads_into(attempts))
        if not imagenet:
            stack.enter_context(without_backbone_weights())
        try:
            return build_network({"type": kind, **settings})
        except Exception as error:
            raise _missing(f"pyiqa's {kind}", attempts, error) from error


@contextmanager
def without_backbone_weights() -> Iterator[None]:
    """pyiqa's constructors ask for ImageNet weights whatever they are told; here they get none."""
    import timm
    import torchvision
    from pyiqa.archs import dbcnn_arch

    with ExitStack() as stack:
        create_model = timm.create_model
        stack.enter_context(mock.patch.object(timm, "create_model", _untrained(create_model)))
        for name in TORCHVISION_BACKBONES:
            build = getattr(torchvision.models, name)
            stack.enter_context(
                mock.patch.object(torchvision.models, name, _without_weights(build))
            )
        load = dbcnn_arch.load_pretrained_network
        stack.enter_context(
            mock.patch.object(dbcnn_arch, "load_pretrained_network", _not_scnn(load))
        )
        yield


def _untrained(create_model: Callable[..., Any]) -> Callable[..., Any]:
    def build(name: str, *args: Any, **settings: Any) -> Any:
        return create_model(name, *args, **{**settings, "pretrained": False})

    return build


def _without_weights(build: Callable[..., Any]) -> Callable[..., Any]:
    def built(*args: Any, **settings: Any) -> Any:
        return build(**{k: v for k, v in settings.items() if k not in ("weights", "pretrained")})

    return built


def _not_scnn(load: Callable[..., Any]) -> Callable[..., Any]:
    def loaded(net: Any, path: str, *args: Any, **settings: Any) -> Any:
        if "scnn" not in str(path):
            load(net, path, *args, **settings)

    return loaded


@contextmanager
def _downloads_into(attempts: list[Attempt], offline: bool = False) -> Iterator[None]:
    """Notes every download that is tried, the failing one last; `offline` lets none begin."""
    import torch.hub
    from huggingface_hub import constants, file_download
    from pyiqa.utils import download_util

    def noted(download: Callable[..., Any]) -> Callable[..., Any]:
        def run(url: str, target: str, *args: Any, **settings: Any) -> Any:
            attempts.append(Attempt(url, Path(target)))
            _refuse(offline, url)
            return download(url, target, *args, **settings)

        return run

    address = file_download.hf_hub_url

    def noted_hub(repo_id: str, filename: str, **settings: Any) -> str:
        url = str(address(repo_id, filename, **settings))
        folder = Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}"
        attempts.append(Attempt(url, folder, repo_id))
        return url

    with ExitStack() as stack:
        for module in (download_util, torch.hub):
            download = noted(module.download_url_to_file)
            stack.enter_context(mock.patch.object(module, "download_url_to_file", download))
        stack.enter_context(mock.patch.object(file_download, "hf_hub_url", noted_hub))
        for module in _clip_modules():
            stack.enter_context(
                mock.patch.object(module, "_download", _noted_clip(module, attempts, offline))
            )
        if offline:
            stack.enter_context(mock.patch.object(constants, "HF_HUB_OFFLINE", True))
        yield


def _clip_modules() -> list[Any]:
    """The modules that fetch OpenAI's CLIP: pyiqa's copies and the package `clip`, where there."""
    found: list[Any] = []
    for name in ("pyiqa.archs.clip_model", "pyiqa.archs.afineclip_model", "clip.clip"):
        with suppress(ImportError):
            found.append(importlib.import_module(name))
    return found


def _refuse(offline: bool, url: str) -> None:
    if offline:
        raise FileNotFoundError(f"{url} is not on this machine")


def _noted_clip(module: Any, attempts: list[Attempt], offline: bool) -> Callable[..., Any]:
    download = module._download

    def run(url: str, root: str) -> Any:
        path = Path(root) / url.rpartition("/")[2]
        attempts.append(Attempt(url, path))
        _refuse(offline and not path.exists(), url)
        return download(url, root)

    return run


def _lost(attempts: list[Attempt]) -> list[Attempt]:
    """Those whose file is not here; of the hub's nothing is known but that it was asked."""
    return [attempt for attempt in attempts if attempt.repository or not attempt.path.exists()]


def _missing(what: str, attempts: list[Attempt], error: Exception) -> BenchError:
    reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if isinstance(error, ImportError):
        return BenchError(f"{what} needs a package that is not here ({error}); install it")
    lost = _lost(attempts)
    if not lost:
        return BenchError(
            f"{what} could not be built ({reason}). Its weights stand at {WEIGHTS_PAGE} or on the "
            "Hugging Face hub, and are looked for under TORCH_HOME and HF_HOME"
        )
    url, path, repository = lost[-1]
    home = "HF_HOME" if repository else "TORCH_HOME" if "hub" in path.parts else ""
    by_hand = (
        f"`hf download {repository}` on a machine with network, and copy that folder from there"
        if repository
        else f"get it by hand from {url} and put it there"
    )
    return BenchError(
        f"{what}: its weights are not on this machine. {url.rpartition('/')[2]} could not be "
        f"fetched ({reason}). pyiqa looks for it at {path}; {by_hand}"
        + (f", or set {home} to look elsewhere" if home else "")
    )
