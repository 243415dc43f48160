"""When a frozen network leaves float32, with a stand-in for a GPU's arithmetic."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.api import Context
from bench.methods.kit import forms
from bench.methods.kit.forms import Form, Frozen, agreement
from bench.metrics import srcc
from tests.methods.test_graphs import OnGpu

EXACT = 0.0


@dataclass
class Gpu:
    """What a form does to the numbers, and which form is at work."""

    errors: dict[Form, float] = field(default_factory=dict)
    form: Form | None = None
    calls: list[Form | None] = field(default_factory=list)

    def forward(self, batch: Tensor) -> Tensor:
        self.calls.append(self.form)
        if self.form not in (None, *self.errors):
            raise RuntimeError("no such kernel")
        plain = batch.as_subclass(torch.Tensor)
        error = self.errors.get(self.form, EXACT) if self.form else EXACT
        return plain + error * torch.sin(37 * plain)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    made = Gpu()

    @contextlib.contextmanager
    def arithmetic(form: Form, device: object) -> Iterator[None]:
        made.form = form
        try:
            yield
        finally:
            made.form = None

    monkeypatch.setattr(forms, "arithmetic", arithmetic)
    return made


def batches(count: int, size: int = 32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(size, 5, generator=generator) for _ in range(count)]
    return [batch.as_subclass(OnGpu) for batch in drawn]


def run(gpu: Gpu, context: Context, count: int = 4) -> None:
    frozen = Frozen(gpu.forward, context)
    with torch.no_grad():
        for batch in batches(count):
            frozen(batch)


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ({"bf16": 1e-2, "tf32": 1e-6}, "tf32"),
        ({"bf16": 1e-6, "tf32": 1e-7}, "bf16"),
        ({"bf16": 1e-2, "tf32": 1e-2}, None),
        ({"bf16": 1e-2}, None),
    ],
)
def test_the_fastest_form_that_gives_the_same_scores_is_taken(
    errors: dict[Form, float], chosen: Form | None, gpu: Gpu
) -> None:
    gpu.errors, notes = errors, []
    run(gpu, Context("cuda", exact=False, note=notes.append))
    # 64 images are two batches; without its kernel a form is not tried again.
    second = [None, *errors]
    assert gpu.calls == [None, "bf16", "tf32", *second, chosen, chosen]
    (note,) = notes
    assert note.startswith(f"frozen network in {chosen or 'fp32'}; against fp32 on 64 images")
    assert "bf16" in note


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ({"compiled bf16": 1e-6, "bf16": 1e-6}, "compiled bf16"),
        ({"compiled bf16": 1e-2, "bf16": 1e-2, "compiled tf32": 1e-6}, "compiled tf32"),
        ({"bf16": 1e-2, "tf32": 1e-6}, "tf32"),
    ],
)
def test_compiled_forms_prove_themselves_where_they_are_asked_for(
    errors: dict[Form, float], chosen: Form, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda forward: compiled.append(forward) or forward)
    gpu.errors, notes = errors, []
    run(gpu, Context("cuda", exact=False, note=notes.append))
    assert not compiled
    run(gpu, Context("cuda", exact=False, compiled=True, note=notes.append))
    assert compiled == [gpu.forward]
    assert notes[1].startswith(f"frozen network in {chosen}; against fp32 on 64 images")


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = (torch.nn.Linear(5, 16), torch.nn.GELU(), torch.nn.LayerNorm(16))
    return torch.nn.Sequential(*layers).eval()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_compiled_network_gives_the_same_rows() -> None:
    notes: list[str] = []
    plain = network()
    frozen = Frozen(plain, Context(exact=False, compiled=True, note=notes.append))
    with torch.no_grad():
        for size in (32, 32, 32, 7):  # the last batch of images is smaller
            batch = torch.randn(size, 5)
            torch.testing.assert_close(frozen(batch), plain(batch))
    (note,) = notes
    assert note.startswith("frozen network in compiled; against fp32 on 64 images")


def test_without_a_compiler_float32_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(batch: Tensor) -> Tensor:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", lambda forward: fail)
    notes: list[str] = []
    plain = network()
    asked = Context(exact=False, compiled=True, note=notes.append)
    frozen, elsewhere = Frozen(plain, asked), Frozen(plain, asked)
    elsewhere.use("compiled")  # proved on another machine
    with torch.no_grad():
        for batch in torch.randn(3, 32, 5):
            assert torch.equal(frozen(batch), plain(batch))
            assert torch.equal(elsewhere(batch), plain(batch))
    assert notes == [
        "frozen network in fp32; against fp32 on 32 images, largest difference of a score: "
        "no other form could compute them",
        "frozen network in fp32, since compiled failed: no C++ compiler",
    ]


@pytest.mark.parametrize("count", [1, 4])
def test_nothing_is_tried_where_float32_is_asked_for_or_images_are_few(
    count: int, gpu: Gpu
) -> None:
    gpu.errors, notes = {"bf16": 0.0, "tf32": 0.0}, []
    run(gpu, Context("cuda", exact=count == 4, note=notes.append), count)
    assert not notes
    assert gpu.calls[:1] == [None]
    assert count == 1 or set(gpu.calls) == {None}


def test_on_a_cpu_it_is_the_forward_pass(gpu: Gpu) -> None:
    frozen = Frozen(gpu.forward, Context(exact=False))
    with torch.no_grad():
        for batch in batches(4):
            frozen(batch.as_subclass(torch.Tensor))
    assert gpu.calls == [None] * 4


def test_agreement_is_that_of_linear_scores() -> None:
    rng = np.random.default_rng(1)
    exact = rng.normal(size=(64, 1))
    other = exact + 0.01 * rng.normal(size=(64, 1))
    found = agreement(torch.tensor(exact), torch.tensor(other))
    # Of one column every head is a multiple, which leaves shares and ranks as they are.
    centred = np.abs(exact - other).max() / np.ptp(exact)
    assert found.worst == pytest.approx(centred)
    assert found.srcc == pytest.approx(srcc(exact[:, 0], other[:, 0]))
    assert not found.holds
    assert agreement(torch.tensor(exact), torch.tensor(exact)).holds


@pytest.mark.parametrize("form", forms.FORMS["cuda"])
def test_arithmetic_is_as_before_after_it(form: Form) -> None:
    def state() -> tuple[bool, bool]:
        return torch.is_autocast_enabled("cpu"), torch.backends.cuda.matmul.allow_tf32

    before = state()
    with forms.arithmetic(form, "cpu"):
        half = form.endswith("bf16")
        assert state() == ((True, before[1]) if half else (before[0], True))
    assert state() == before
