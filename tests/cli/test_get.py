"""`bench get`: what a command needs, listed and got; released checkpoints with what they saw."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import registry
from bench.api import Context
from bench.data import housekeeping
from bench.data.fetch import sources
from bench.methods.promptiqa.recipes import PAPER_SETS
from bench.model.fitted_weights import SeenNote, fitted_on
from bench.runs.plan.weights import ModelWeights, weights_of
from bench.util.errors import BenchError
from tests.conftest import Bench
from tests.data.fetch import world
from tests.data.fetch.site import Page, Site, serving

CHECKPOINT = "zzhowe/GRMP-IQA/resolve/main/clive_50_prompt_lda_5.0.pt"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    """A stand-in for the hub and for everything else."""
    for name in ("cnniqa", "hypernet", "liqe", "lpips", "qualiclip"):
        # pyiqa makes addresses at import: they are to be the hub's own for all tests.
        importlib.import_module(f"pyiqa.archs.{name}_arch")
    with serving() as found:
        world.stand_in_for_the_hub(monkeypatch, found.url(""), tmp_path)
        monkeypatch.setenv("NO_PROXY", "*")
        yield found
    sources.known.cache_clear()


def test_the_mission_command_is_listed_with_sizes(bench: Bench, site: Site) -> None:
    done = bench("get", "protocols/few_shot.yaml", "--methods", "grmp,promptiqa", "--dry-run")
    assert done.returncode == 3, "bid and uwiqa are not available"
    lines = done.stdout.splitlines()

    def row(name: str) -> str:
        return " ".join(next(line for line in lines if line.split()[:1] == [name]).split())

    assert "grmp, promptiqa: pre-training" in row("tid2013")
    assert row("tid2013").endswith("mirror: chaofengc/IQA-PyTorch-Datasets 1.23 GB")
    assert "grmp: learnt from, tested; promptiqa: learnt from, tested, pre-training" in row("csiq")
    assert row("ViT-B-16:openai").endswith(
        "grmp: weights timm/vit_base_patch16_clip_224.openai unknown"
    )
    assert row("timm:vit_base_patch8_224.augreg_in21k_ft_in1k").endswith("unknown")
    assert "13 to get, 60.4 GB and 2 of unknown size" in lines
    assert (
        "grmp pre-trains on tid2013, kadid10k; bench get --weights grmp and --set "
        "grmp.weights=FILE take the authors' checkpoint instead"
    ) in lines
    refused = [line for line in lines if line.startswith("not available: ")]
    assert [line.split()[2].rstrip(":") for line in refused] == ["bid", "uwiqa"]
    assert not any("IQA-PyTorch-Datasets" in one.path for one in site.asked)


def test_what_can_be_had_is_got(
    bench: Bench, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "making").mkdir()
    site.pages["small.tgz"] = Page(world.tgz(tmp_path / "making"))
    listed = (
        "databases:\n  small: {sources: [{from: home, evidenced: 2026-11-28, files: "
        f'[{{url: "{site.url("small.tgz")}", size: .1 MB}}]}}]}}\n  livec: {{apply: ask them}}\n'
    )
    world.install(monkeypatch, tmp_path / "listed", listed)
    site.pages["small.tgz"].content += bytes(90_000)  # what follows a gzip stream is not read
    path = bench.protocol("datasets: [small, livec, toy]\nlabels: [4]\nmethods: [toy_linear]\n")
    root = tmp_path / "iqa"
    roots = ("--data-root", root, "--data-root", bench.data)
    done = bench("get", path, "--to", root, "--yes", *roots)
    assert done.returncode == 3, done.text
    assert "toy" not in [line.split()[0] for line in done.stdout.splitlines() if line.split()]
    assert housekeeping.status_of("small", root).state == "complete"
    assert "not available: livec: ask them: https://" in done.stdout
    again = bench("get", path, "--datasets", "small", *roots, "--dry-run")
    assert (again.returncode, again.stdout.strip()) == (0, "Everything is there.")


def test_nothing_is_needed(bench: Bench, site: Site) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [4]\nmethods: [toy_linear, pyiqa:entropy]\n")
    done = bench("get", path)
    assert (done.returncode, done.stdout.strip()) == (0, "Everything is there.")
    assert site.asked == []


def test_a_metrics_weights_are_named_and_not_fetched_by_a_dry_run(
    bench: Bench, site: Site, tmp_path: Path
) -> None:
    path = bench.protocol("datasets: [toy]\nlabels: [4]\nmethods: [pyiqa:cnniqa]\n")
    done = bench("get", path, "--dry-run", TORCH_HOME=str(tmp_path / "torch"))
    assert done.returncode == 0, done.text
    (row,) = (line for line in done.stdout.splitlines() if "pyiqa:cnniqa: weights" in line)
    assert row.split()[0].startswith("CNNIQA_koniq10k")
    assert row.split()[-1] in ("unknown", "MB")


def test_every_file_of_every_network_is_listed(
    bench: Bench, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLIP and a metric's own, ImageNet's, those of labels by a metric, and tokenizers."""
    from pyiqa.utils import download_util

    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path / "pyiqa"))
    site.pages["timm/resnet50.a1_in1k/resolve/main/model.safetensors"] = Page(bytes(2_500))
    path = bench.protocol(
        "datasets: ['csiq@lpips']\nlabels: [10]\nmethods: ['pyiqa:qualiclip', 'pyiqa:liqe', "
        "'pyiqa_trained:hyperiqa', "
        "{method: clip_zeroshot, set: {backbone: 'ViT-B-16-SigLIP:webli'}}]\n"
    )
    done = bench("get", path, "--dry-run", TORCH_HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.text
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]

    def row(start: str) -> str:
        (found,) = (line for line in lines if line.startswith(start))
        return found.removeprefix(start)

    assert row("RN50.pt ").startswith("pyiqa:qualiclip: weights https://")
    assert row("QualiCLIP.pth ").startswith("pyiqa:qualiclip: weights https://")
    assert row("ViT-B-32.pt ").startswith("pyiqa:liqe: weights https://")
    assert row("liqe_koniq.pt ").startswith("pyiqa:liqe: weights https://")
    assert row("timm/resnet50.a1_in1k ").endswith("2.5 kB")
    assert row("timm/resnet50.a1_in1k ").startswith("pyiqa_trained:hyperiqa: weights http://")
    for name in ("alexnet-owt-7be5be79.pth ", "LPIPS_v0.1_alex-df73285e.pth "):
        assert "pyiqa:qualiclip, pyiqa:liqe, pyiqa_trained:hyperiqa, clip_zeroshot" in row(name)
    tokenizer = row("tokenizer of ViT-B-16-SigLIP:webli ")
    assert tokenizer == "clip_zeroshot: weights timm/ViT-B-16-SigLIP unknown"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_wrong_orders(bench: Bench, site: Site) -> None:
    for arguments, says in (
        (("get",), "give a protocol, or --weights METHOD"),
        (("get", "few_shot", "--weights", "grmp"), "give a protocol, or --weights METHOD"),
        (("get", "few_shotx"), "unknown protocol 'few_shotx'"),
        (
            ("get", "--weights", "grmpp", "--dry-run"),
            "unknown checkpoint 'grmpp'. Did you mean 'grmp'",
        ),
    ):
        done = bench(*arguments)
        assert (done.returncode, says in done.stderr) == (2, True), done.text


def test_a_checkpoint_comes_with_what_it_has_seen(bench: Bench, site: Site) -> None:
    site.pages[CHECKPOINT] = Page(b"weights " * 100)
    listed = bench("get", "--weights", "grmp", "--dry-run")
    assert (listed.returncode, site.asked) == (0, []), listed.text
    assert "grmp: zzhowe/GRMP-IQA, clive_50_prompt_lda_5.0.pt: one of" in listed.stdout
    done = bench("get", "--weights", "grmp")
    assert done.returncode == 0, done.text
    path = bench.folder / "cache" / "weights" / "grmp" / "clive_50_prompt_lda_5.0.pt"
    assert f"use it: --set grmp.weights={path}" in done.stdout
    assert "has seen labels of tid2013, kadid10k, livec: cells on them get a dagger" in done.stdout
    assert fitted_on(path) == ("tid2013", "kadid10k", "livec")
    assert json.loads(SeenNote.place(path).read_text())["bytes"] == 800
    again = bench("get", "--weights", "grmp")
    assert "grmp: there already" in again.stdout
    # The note speaks for the method, whatever the default of its setting is ...
    cls, settings = registry.settings_for("grmp", {"weights": path, "weights_trained_on": "spaq"})
    assert cls(settings, Context()).all_trained_on() == ("tid2013", "kadid10k", "livec")
    # ... and for this file alone.
    path.write_bytes(b"another")
    assert fitted_on(path) is None


def test_a_checkpoint_that_a_setting_names_is_part_of_what_is_needed(
    bench: Bench, site: Site, tmp_path: Path
) -> None:
    site.pages[CHECKPOINT] = Page(b"weights " * 100)
    path = bench.protocol("datasets: [toy]\nlabels: [4]\n")
    file = tmp_path / "mine" / "clive_50_prompt_lda_5.0.pt"
    options = ("--methods", "grmp", "--set", f"grmp.weights={file}", "--set", "backbone=tiny")
    done = bench("get", path, *options)
    assert done.returncode == 0, done.text
    assert file.read_bytes() == b"weights " * 100
    assert fitted_on(file) == ("tid2013", "kadid10k", "livec")


def test_listed_checkpoints_are_the_methods_own() -> None:
    for name, listed in sources.known().weights.items():
        cls = registry.load(name)
        assert cls.pretrained_setting == listed.setting
        assert listed.setting in cls.Settings.model_fields
        assert listed.seen
    assert set(sources.known().weights["promptiqa"].seen) == set(PAPER_SETS)


def test_backbones_are_fetched_where_their_libraries_look(site: Site) -> None:
    from bench.backbones.hub_files import hub_file

    clip, timm = hub_file("ViT-B-16:openai"), hub_file("timm:resnet18.a1_in1k")
    assert clip is not None
    assert timm is not None
    assert (clip.repository, clip.names[0]) == (
        "timm/vit_base_patch16_clip_224.openai",
        "open_clip_model.safetensors",
    )
    assert (timm.repository, timm.names[0]) == ("timm/resnet18.a1_in1k", "model.safetensors")
    assert clip.cached is None
    assert clip.size() is None
    for name in ("tiny", "lite0", "ViT-B-16:random", "ViT-B-16:/some/file.pt"):
        assert hub_file(name) is None
    assert weights_of([]) == {}


def test_a_model_that_runs_here_is_listed_and_not_taken_for_there(
    site: Site, tmp_path: Path
) -> None:
    item = ModelWeights("someone/model@abc")
    assert (item.title, item.where) == ("hub:someone/model@abc", "someone/model")
    assert not item.here
    assert item.size() is None
    with pytest.raises(BenchError, match="someone/model could not be fetched"):
        item.fetch()
