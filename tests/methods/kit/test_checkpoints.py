"""Checkpoints: what is read, what is refused, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.api import BenchError
from bench.methods.kit import checkpoints
from bench.methods.kit.clip_tower import private_copy

Tensors = dict[str, Tensor]


def net() -> nn.Module:
    """A network with parameters, a buffer of floats and one of integers."""
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def equal(left: Tensors, right: Tensors) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "params", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_training_programs_save_is_read(
    tmp_path: Path, wrapper: str | None, prefix: str
) -> None:
    state = net().state_dict()
    named = {prefix + name: value for name, value in state.items()}
    content = named if wrapper is None else {wrapper: named, "epoch": 3, "arch": "x", "best": [1]}
    torch.save(content, tmp_path / "best.pth.tar")
    found = checkpoints.read(tmp_path / "best.pth.tar")
    assert equal(found.tensors, state)
    assert found.header == ({} if wrapper is None else {"epoch": 3, "arch": "x"})


def test_what_write_wrote_comes_back_with_its_header_under_any_name(tmp_path: Path) -> None:
    state = net().state_dict()
    for name in ("a.safetensors", "a.bin"):
        checkpoints.write(tmp_path / name, state, format="mine", backbone="tiny")
        found = checkpoints.read(tmp_path / name)
        assert equal(found.tensors, state)
        assert found.header == {"format": "mine", "backbone": "tiny"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.safetensors"]


def test_an_archive_as_openai_publishes_is_read(tmp_path: Path) -> None:
    model = net().eval()
    torch.jit.trace(model, torch.zeros(2, 3)).save(str(tmp_path / "model.pt"))  # type: ignore[no-untyped-call]
    found = checkpoints.read(tmp_path / "model.pt").tensors
    assert equal({name: found[name] for name in model.state_dict()}, model.state_dict())


class Harmful:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def test_files_that_are_no_checkpoint_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BenchError, match=r"there is no file .*none\.pt"):
        checkpoints.read(tmp_path / "none.pt")
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("not a checkpoint")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"state_dict": {"a": torch.zeros(1)}, "x": Harmful()}, tmp_path / "harmful.pt")
    for name in ("text.pt", "text.safetensors", "list.pt", "harmful.pt"):
        with pytest.raises(
            BenchError, match=f"{name}' is not a checkpoint that can be read: "
        ) as no:
            checkpoints.read(tmp_path / name)
        assert "weights_only" not in str(no.value)  # advice to execute what is in the file
    assert "executed" not in capsys.readouterr().out


def test_what_does_not_fit_is_listed_and_changes_nothing() -> None:
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tensors = {**before, "0.bias": torch.zeros(5), "more": torch.zeros(1)}
    tensors["0.weight"] = torch.ones(4, 3)
    del tensors["1.weight"]
    with pytest.raises(BenchError) as error:
        checkpoints.put(model, tensors, "'x.pt'")
    assert str(error.value) == (
        "'x.pt' does not fit this model: 1 missing (1.weight); 1 unexpected (more); "
        "1 mis-shaped (0.bias (5,) instead of (4,))"
    )
    assert equal(model.state_dict(), before)
    with pytest.raises(BenchError, match=r"7 missing \(0\.bias, .*, … 2 more\)"):
        checkpoints.put(model, {}, "x")


def test_values_go_where_the_present_ones_lie_in_their_precision() -> None:
    model, other = net(), net()
    half = {name: value.half() for name, value in other.state_dict().items()}
    places = {name: value.data_ptr() for name, value in model.state_dict().items()}
    checkpoints.put(model, half, "x")
    found = model.state_dict()
    assert {name: value.data_ptr() for name, value in found.items()} == places
    assert found["0.weight"].dtype == torch.float32
    assert found["1.num_batches_tracked"].dtype == torch.int64
    assert torch.equal(found["0.weight"], half["0.weight"].float())


def test_a_part_is_taken_where_only_a_part_is_required() -> None:
    model = net()
    kept = model.state_dict()["0.weight"].clone()
    checkpoints.put(model, {"0.bias": torch.ones(4)}, "x", required=["0.bias"])
    assert torch.equal(model.state_dict()["0.bias"], torch.ones(4))
    assert torch.equal(model.state_dict()["0.weight"], kept)


def test_own_leaves_what_is_shared_alone() -> None:
    shared = net()
    model = private_copy(shared)
    before = {name: value.clone() for name, value in shared.state_dict().items()}
    tensors = {**before, "0.weight": torch.ones(4, 3), "1.running_mean": torch.ones(4)}
    checkpoints.put(model, tensors, "x", own=True)
    assert equal(shared.state_dict(), before)
    assert equal(model.state_dict(), tensors)
    assert model[0].bias is shared[0].bias  # type: ignore[index]


def test_a_network_without_memory_takes_the_tensors_of_the_file() -> None:
    with torch.device("meta"):
        empty = net()
    state = net().state_dict()
    checkpoints.put(empty, state, "x")
    assert equal(empty.state_dict(), state)
