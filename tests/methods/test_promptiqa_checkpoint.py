"""Checkpoints: what loads, and what a wrong file is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.util.errors import UsageError
from methods.promptiqa.checkpoint import fit_state, read_checkpoint
from methods.promptiqa.encoder import TapTransformer, quarters
from methods.promptiqa.model import PromptIQANet
from tests.golden import state_dict_shapes
from tests.methods.test_promptiqa_parts import small_net


def test_the_full_size_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        net = PromptIQANet(TapTransformer(224, 8, 768, 12, 12))
    ours = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert list(ours.items()) == list(state_dict_shapes("promptiqa").items())
    assert len(ours) == 505


def test_quarters() -> None:
    assert quarters(12) == [2, 5, 8, 11]
    assert quarters(6) == [1, 2, 4, 5]


def test_the_published_form_is_read(tmp_path: Path) -> None:
    state = small_net().state_dict()
    wrapped = {f"module.{name}": value for name, value in state.items()}
    torch.save({"state_dict": wrapped, "prompt_num": 10, "epoch": 3}, tmp_path / "best.pth.tar")
    torch.save(state, tmp_path / "bare.pt")
    read, count = read_checkpoint(tmp_path / "best.pth.tar")
    assert count == 10
    assert read.keys() == state.keys()
    assert read_checkpoint(tmp_path / "bare.pt")[1] is None
    other = small_net()
    with torch.no_grad():
        for value in other.parameters():
            value.zero_()
    fit_state(other, read, "best.pth.tar")
    assert all(torch.equal(other.state_dict()[name], value) for name, value in state.items())


def test_a_wrong_file_lists_what_does_not_fit() -> None:
    net = small_net()
    state = dict(net.state_dict())
    del state["norm.weight"]
    state["more"] = torch.zeros(1)
    state["mlp.0.bias"] = torch.zeros(5)
    with pytest.raises(UsageError) as error:
        fit_state(net, state, "x.pt")
    message = str(error.value)
    assert message.startswith("x.pt does not fit")
    assert "missing: norm.weight" in message
    assert "unexpected: more" in message
    assert "of another shape: mlp.0.bias (5,) instead of (8,)" in message


def test_long_lists_are_counted() -> None:
    net = small_net()
    with pytest.raises(UsageError, match=r"missing: .* and \d+ more"):
        fit_state(net, {}, "x.pt")


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        read_checkpoint(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(UsageError, match="not a PyTorch file"):
        read_checkpoint(tmp_path / "text.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UsageError, match="no state dict"):
        read_checkpoint(tmp_path / "list.pt")


class Harmful:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def test_code_in_a_checkpoint_is_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}, "x": Harmful()}, tmp_path / "bad.pt")
    with pytest.raises(UsageError, match="not a PyTorch file of plain tensors"):
        read_checkpoint(tmp_path / "bad.pt")
    assert "executed" not in capsys.readouterr().out
