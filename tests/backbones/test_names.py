"""Names and identities, all without torch."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import backbones
from bench.backbones import (
    BackboneError,
    architectures,
    identity,
    list_backbones,
    require_text,
    resolve,
    resolve_vit,
)
from bench.backbones.architectures import OPENAI_MODELS
from bench.util.errors import BenchError, UsageError
from tests.conftest import run_cli


def test_names_and_identities_do_not_import_torch() -> None:
    code = (
        "import sys; from bench.backbones import identity, list_backbones, resolve; "
        "[identity(resolve(item.name).name) for item in list_backbones()]; "
        "heavy = {'torch', 'open_clip', 'pandas', 'scipy'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_listed_names_resolve_to_themselves() -> None:
    names = [item.name for item in list_backbones()]
    assert {"tiny", "ViT-B-16:openai"} <= set(names)
    assert [resolve(name).name for name in names] == names


def test_vit_means_quickgelu() -> None:
    for name in ("ViT-B-16:openai", "ViT-B-16:random", "ViT-B-16:some/where.pt"):
        info = resolve(name)
        assert info.model == "ViT-B-16-quickgelu"
        assert info.quick_gelu
        assert (info.image_size, info.embed_dim) == (224, 512)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("tinny", "'tiny'"),
        ("ViT-B-16", "'ViT-B-16:"),
        ("vit-b-16:openai", "'ViT-B-16:openai'"),
        ("ViT-B-16:opnai", "'ViT-B-16:openai'"),
        ("RN50:opnai", "'RN50:openai'"),
        ("ViT-B-17:openai", "'ViT-B-16:openai'"),
        ("ViT-B-16-SigLIP:openai", "'ViT-B-16-SigLIP:webli'"),
    ],
)
def test_wrong_names_name_the_right_one(wrong: str, right: str) -> None:
    with pytest.raises(ValueError, match="unknown backbone") as caught:
        resolve(wrong)
    assert right in str(caught.value)
    assert isinstance(caught.value, BenchError)


def test_identity_of_a_file_is_its_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pt", tmp_path / "elsewhere.safetensors"
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")
    expected = {"name": "ViT-B-16", "weights": f"sha256:{hashlib.sha256(b'weights').hexdigest()}"}
    assert identity(f"ViT-B-16:{first}") == expected
    assert identity(f"ViT-B-16:{second}") == expected
    first.write_bytes(b"others!")
    os.utime(first, ns=(1, 1))
    assert identity(f"ViT-B-16:{first}") != expected


def test_sizes_and_normalisation_are_open_clips() -> None:
    import open_clip

    pairs = open_clip.list_pretrained()
    assert len(pairs) > 100
    for model, tag in pairs:
        if "-quickgelu" in model:  # the tag implies it
            continue
        info = resolve(f"{model}:{tag}")
        config = open_clip.get_model_config(info.model)
        expected = open_clip.get_pretrained_cfg(model, tag)
        assert info.image_size == config["vision_cfg"]["image_size"]
        assert info.embed_dim == config["embed_dim"]
        assert (info.mean, info.std) == (tuple(expected["mean"]), tuple(expected["std"]))
        assert info.quick_gelu == expected.get("quick_gelu", False)
        assert open_clip.get_pretrained_cfg(info.model, tag) == expected


def test_openais_models_are_those_with_its_tag() -> None:
    import open_clip

    tagged = set(open_clip.list_pretrained_models_by_tag("openai"))
    assert {name for name in tagged if "quickgelu" not in name} == OPENAI_MODELS


def test_every_architecture_has_a_family_and_resolves() -> None:
    families = architectures.families()
    listed = {name for models in families.values() for name in models}
    assert listed == {name for name in architectures.names() if not name.endswith("-quickgelu")}
    assert {"ViT-L-14", "ViT-bigG-14"} <= set(families["clip"])
    assert {"ViT-L-14-CLIPA", "roberta-ViT-B-32"} <= set(families["vit"])
    assert {"RN50"} <= set(families["resnet"])
    assert {"ViT-B-16-SigLIP", "convnext_base_w"} <= set(families["timm"])
    for name in listed:
        assert resolve(f"{name}:random").embed_dim > 0
    for name in families["clip"]:
        assert resolve_vit(f"{name}:random", text=True).layers > 0


@pytest.mark.parametrize(
    ("name", "size", "patch", "layers", "width"),
    [
        ("ViT-L-14:openai", 224, 14, 24, 1024),
        ("ViT-L-14-336:openai", 336, 14, 24, 1024),
        ("ViT-B-16:laion2b_s34b_b88k", 224, 16, 12, 768),
        ("ViT-B-32:laion2b_s34b_b79k", 224, 32, 12, 768),
        ("tiny", 112, 14, 6, 128),
    ],
)
def test_sizes_of_vision_transformers(
    name: str, size: int, patch: int, layers: int, width: int
) -> None:
    info = resolve_vit(name, text=True)
    assert (info.image_size, info.patch_size) == (size, patch)
    assert (info.layers, info.width) == (layers, width)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ViT-B-16-SigLIP:webli", "its image tower is timm's vit_base_patch16_siglip_224"),
        ("RN50:openai", "its image tower is a ResNet"),
        ("ViT-L-14-CLIPA:datacomp1b", "final_ln_after_pool, no_ln_pre, pool_type"),
    ],
)
def test_towers_that_cannot_be_taken_apart_are_refused(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=r"open_clip's own vision transformers") as caught:
        resolve_vit(name)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ViT-B-16-SigLIP:webli", "hf_tokenizer_name"),
        ("xlm-roberta-base-ViT-B-32:random", "hf_model_name"),
        ("coca_ViT-B-32:random", "multimodal_cfg"),
    ],
)
def test_text_towers_that_take_no_context_are_refused(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match="takes no learned text context") as caught:
        require_text(name)
    assert reason in str(caught.value)
    require_text("RN50:openai")


def test_a_file_may_name_the_tag_whose_weights_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"weights")
    plain, tagged = (resolve(f"ViT-B-16:{text}{file}") for text in ("", "laion2b_s34b_b88k:"))
    assert (plain.model, tagged.model) == ("ViT-B-16-quickgelu", "ViT-B-16")
    assert plain.file == tagged.file == file
    assert identity(plain.name)["name"] == "ViT-B-16"
    assert identity(tagged.name)["name"] == "ViT-B-16:laion2b_s34b_b88k"
    assert resolve("ViT-B-16:C:/weights/w.pt").file == Path("C:/weights/w.pt")


def test_identity_of_tags_and_random_weights() -> None:
    assert identity("ViT-B-16:openai") == {"name": "ViT-B-16", "weights": "tag:openai"}
    assert identity("ViT-B-16:random") == {"name": "ViT-B-16", "weights": "random:0"}


def test_digest_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.pt"
    file.write_bytes(b"weights")
    first = identity(f"ViT-B-16:{file}")
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert identity(f"ViT-B-16:{file}") == first


def test_missing_file_says_where_and_what_to_do(tmp_path: Path) -> None:
    name = f"ViT-B-16:{tmp_path / 'none.pt'}"
    for act in (identity, backbones.load):
        with pytest.raises(BackboneError, match=r"none\.pt.*checkpoint"):
            act(name)
    assert issubclass(BackboneError, RuntimeError)


def test_weights_are_small() -> None:
    assert backbones.TINY_WEIGHTS.stat().st_size <= 12_000_000


def test_describe_says_what_open_clips_configuration_says() -> None:
    large = run_cli("describe", "ViT-L-14-336:openai").text
    assert "sees      336 x 336 pixels" in large
    assert "mean      0.4815 0.4578 0.4082" in large
    assert "patches   14 x 14, in 24 layers of width 1024" in large
    siglip = run_cli("describe", "ViT-B-16-SigLIP:webli").text
    assert "mean      0.5 0.5 0.5" in siglip
    assert "not for   visual prompts: its image tower is timm's" in siglip
    assert "patches" not in siglip
