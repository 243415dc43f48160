"""Names and identities, all without torch."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import backbones
from bench.backbones import BackboneError, identity, list_backbones, resolve
from bench.util.errors import BenchError


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
        assert (info.image_size, info.patch_size, info.layers) == (224, 16, 12)
        assert (info.width, info.embed_dim) == (768, 512)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("tinny", "'tiny'"),
        ("ViT-B-16", "'ViT-B-16:"),
        ("vit-b-16:openai", "'ViT-B-16:openai'"),
        ("ViT-B-16:opnai", "'ViT-B-16:openai'"),
        ("RN50:openai", "ViT-B-16:openai"),
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
