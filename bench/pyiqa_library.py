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

from bench.pyiqa_stand_ins import stand_ins
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
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
"""In the order in which timm asks for them."""
TORCHVISION_BACKBONES = ("resnet18", "resnet34", "resnet50", "vgg16")


class Attempt(NamedTuple):
    """One download that was tried."""

    url: str
    path: Path
    """Where the file belongs; for the Hugging Face hub, the folder of its repository."""
    repository: str = ""
    """On the Hugging Face hub."""
    sure: bool = True
    """Whether it is needed; of what a library asks the hub for, some files are optional."""

    @property
    def here(self) -> bool:
        """Whether it is on this machine, or perhaps not needed."""
        return self.path.exists() or not self.sure


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


def create_on_cpu(name: str) -> Any:
    """As `create`, to fetch its weights."""
    return create(name, "cpu")


def missing_weights(name: str) -> tuple[Attempt, ...]:
    """The files that a metric, of whatever mode, lacks on this machine; () where it lacks none.

    Downloads nothing. Raises `UsageError` for a wrong name, and `BenchError` for a metric that
    fails for another reason.
    """
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    found = options(name) if name not in DEFAULT_CONFIGS else DEFAULT_CONFIGS[name]
    whole = str(found["metric_opts"]["type"]) in WHOLE_CHECKPOINTS

    def build(attempts: list[Attempt]) -> None:
        _build(name, "cpu", attempts, without_backbone=whole, listing=True)

    return _missing_of(f"pyiqa:{name}", build)


def missing_imagenet_weights(kind: str, **settings: Any) -> tuple[Attempt, ...]:
    """The ImageNet weights that `architecture` would fetch; as `missing_weights` otherwise."""
    from pyiqa.archs import build_network

    def build(attempts: list[Attempt]) -> None:
        with _downloads_into(attempts, listing=True):
            build_network({"type": kind, **settings})

    return _missing_of(f"pyiqa's {kind}", build)


def _missing_of(title: str, build: Callable[[list[Attempt]], None]) -> tuple[Attempt, ...]:
    """What is missing where `build` builds a network without reading weights.

    Some read what no stand-in can be given for; then what follows is not known yet.
    """
    attempts: list[Attempt] = []
    try:
        build(attempts)
    except Exception as error:
        lost = _lost(attempts)
        if not lost:
            raise _missing(title, attempts, error) from error
    else:
        # The hub's files that nobody missed are here, or are optional.
        lost = [attempt for attempt in attempts if not attempt.here]
    return tuple({attempt.url: attempt for attempt in lost}.values())


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
    listing: bool = False,
    **changes: Any,
) -> Any:
    import pyiqa
    import torch

    with ExitStack() as stack:
        stack.enter_context(_downloads_into(attempts, listing))
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
def _downloads_into(attempts: list[Attempt], listing: bool = False) -> Iterator[None]:
    """Notes every download that is tried, the failing one last.

    `listing` lets none begin: networks are built without the weights that are not here.
    """
    import torch.hub
    from huggingface_hub import constants, file_download
    from pyiqa.utils import download_util

    def noted(download: Callable[..., Any]) -> Callable[..., Any]:
        def run(url: str, target: str, *args: Any, **settings: Any) -> Any:
            attempts.append(Attempt(url, Path(target)))
            return None if listing else download(url, target, *args, **settings)

        return run

    address = file_download.hf_hub_url

    def noted_hub(repo_id: str, filename: str, **settings: Any) -> str:
        url = str(address(repo_id, filename, **settings))
        attempts.append(Attempt(url, _hub_folder(repo_id), repo_id, sure=False))
        return url

    with ExitStack() as stack:
        for module in (download_util, torch.hub):
            download = noted(module.download_url_to_file)
            stack.enter_context(mock.patch.object(module, "download_url_to_file", download))
        stack.enter_context(mock.patch.object(file_download, "hf_hub_url", noted_hub))
        for module in _clip_modules():
            download = _noted_clip(module._download, attempts, listing)
            stack.enter_context(mock.patch.object(module, "_download", download))
        if listing:
            stack.enter_context(mock.patch.object(constants, "HF_HUB_OFFLINE", True))
            stack.enter_context(stand_ins(_clip_modules(), _timm_into(attempts)))
        yield


def _hub_folder(repository: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def _timm_into(attempts: list[Attempt]) -> Callable[..., Any]:
    """timm's `create_model`, which notes pretrained weights that are not here and goes on."""
    import timm
    from huggingface_hub import hf_hub_url, try_to_load_from_cache

    create_model = timm.create_model

    def build(name: str, *args: Any, pretrained: bool = False, **settings: Any) -> Any:
        config = timm.get_pretrained_cfg(name) if pretrained else None
        repository = (config and config.hf_hub_id) or ""
        found = [try_to_load_from_cache(repository, file) for file in TIMM_FILES if repository]
        if repository and not any(isinstance(path, str) for path in found):
            url = hf_hub_url(repository, TIMM_FILES[0])
            attempts.append(Attempt(url, _hub_folder(repository) / TIMM_FILES[0], repository))
            pretrained = False
        return create_model(name, *args, **{**settings, "pretrained": pretrained})

    return build


def _clip_modules() -> list[Any]:
    """The modules that fetch OpenAI's CLIP: pyiqa's copies and the package `clip`, where there."""
    found: list[Any] = []
    for name in ("pyiqa.archs.clip_model", "pyiqa.archs.afineclip_model", "clip.clip"):
        with suppress(ImportError):
            found.append(importlib.import_module(name))
    return found


def _noted_clip(
    download: Callable[..., Any], attempts: list[Attempt], listing: bool
) -> Callable[..., Any]:
    def run(url: str, root: str) -> Any:
        path = Path(root) / url.rpartition("/")[2]
        attempts.append(Attempt(url, path))
        return str(path) if listing else download(url, root)

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
    url, path, repository, _ = lost[-1]
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
