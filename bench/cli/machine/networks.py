"""What `bench speed` measures of networks: full-size CLIP and PromptIQA with random weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.cli.machine.timing import Effort, Timing, timed

if TYPE_CHECKING:
    from bench.methods.promptiqa.encoder import EncoderInfo
    from bench.methods.promptiqa.model import ModelSize, PromptIQANet

BACKBONE, NAME = "ViT-B-16:random", "CLIP ViT-B/16"


def ceiling(effort: Effort) -> Timing:
    """The fastest product of two square bfloat16 matrices."""
    size, times = effort.matmul, 20
    left, right = (
        torch.randn(size, size, device=effort.device, dtype=torch.bfloat16) for _ in range(2)
    )

    def multiply() -> int:
        for _ in range(times):
            torch.mm(left, right)
        return times

    rate, seconds = timed(multiply, effort)
    name = f"matrix product {size:,} x {size:,}"
    return Timing(name, rate * 2 * size**3 / 1e12, "TFLOP/s, the ceiling", seconds)


def clip(effort: Effort, backbone: str = BACKBONE) -> Iterator[Timing]:
    """CLIP ViT-B/16's image tower: features of frozen weights, then a step that trains them all.

    On a GPU inference comes in every form of `forms`.
    """
    from bench.backbones import load

    loaded = load(backbone, "cpu")
    # The image tower alone: the text tower's memory is not needed.
    tower, side = loaded.model.visual.to(effort.device), loaded.info.image_size
    if effort.gpu:
        yield from forms(tower, _pixels(effort, effort.inference, side), effort)
    else:
        infer = _inference(tower, _pixels(effort, effort.inference, side), effort)
        yield _measured(f"{NAME} inference", infer, effort, effort.inference)
    yield _fine_tuning(tower, _pixels(effort, effort.training, side), effort)


def forms(
    tower: nn.Module, pixels: Tensor, effort: Effort, compiler: str = "inductor"
) -> Iterator[Timing]:
    """Inference in float32 and in bfloat16: as it is, channels-last, compiled, as a CUDA graph.

    A graph needs a GPU. A compiler that fails, on a machine without what it needs, is left out.
    """
    name = f"{NAME} inference"
    plain = _inference(tower, pixels, effort, torch.float32)
    yield _measured(f"{name}, fp32", plain, effort, len(pixels))
    half = _inference(tower, pixels, effort, torch.bfloat16)
    yield _measured(f"{name}, bf16", half, effort, len(pixels))
    tower.to(memory_format=torch.channels_last)
    yield _measured(f"{name}, bf16, channels-last", half, effort, len(pixels))
    compiled = torch.compile(tower, backend=compiler)
    fused = _inference(compiled, pixels, effort, torch.bfloat16)
    with contextlib.suppress(torch._dynamo.exc.BackendCompilerFailed):
        yield _measured(f"{name}, bf16, compiled", fused, effort, len(pixels), count=half)
    if effort.gpu:
        replay = _graph(tower, pixels, effort)
        yield _measured(f"{name}, bf16, as a CUDA graph", replay, effort, len(pixels), count=half)


def _inference(
    tower: Callable[[Tensor], Tensor],
    pixels: Tensor,
    effort: Effort,
    precision: torch.dtype | None = None,
) -> Callable[[], int]:
    """One batch, in the arithmetic that the device is measured in unless another is named."""
    kind = torch.device(effort.device).type

    def infer() -> int:
        arithmetic: contextlib.AbstractContextManager[Any] = _precision(effort)
        if precision is not None:
            half = precision == torch.bfloat16
            arithmetic = torch.autocast(kind, torch.bfloat16, enabled=half)
        with torch.no_grad(), arithmetic:
            tower(_normal(pixels, effort))
        return len(pixels)

    return infer


def promptiqa(effort: Effort) -> Iterator[Timing]:
    """PromptIQA at full size (ViT-B/8, 785 tokens): images and pairs through the whole network."""
    from bench.methods.promptiqa.model import ModelSize

    net, info = random_network(ModelSize())
    net.to(effort.device)
    count = max(1, effort.inference // 8)
    shape = (count, 3, info.image_size, info.image_size)
    images, pairs = (torch.rand(shape, device=effort.device) for _ in range(2))
    scores = torch.linspace(0, 1, count, device=effort.device)

    def forward() -> int:
        with torch.no_grad(), _precision(effort):
            net(images, pairs, scores)
        return 2 * count

    yield _measured("PromptIQA forward", forward, effort, 2 * count)


def random_network(size: ModelSize) -> tuple[PromptIQANet, EncoderInfo]:
    """A network of ViT-B/8 and `size`, gammas set so that all of it takes part."""
    from bench.methods.promptiqa.encoder import HALF, EncoderInfo, TapTransformer
    from bench.methods.promptiqa.model import PromptIQANet

    pixels = size.grid * 8
    torch.manual_seed(0)
    net = PromptIQANet(TapTransformer(pixels, 8, size.tap_width, 12, 12), size)
    for name, value in net.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(value, 0.5)
    return net.eval().requires_grad_(False), EncoderInfo(pixels, size.grid, 768, HALF, HALF)


TASKS: tuple[Callable[[Effort], Iterator[Timing]], ...] = (clip, promptiqa)


def _fine_tuning(tower: nn.Module, pixels: Tensor, effort: Effort) -> Timing:
    tower.requires_grad_(True)
    optimizer = torch.optim.AdamW(tower.parameters(), lr=1e-6)

    def step() -> int:
        optimizer.zero_grad(set_to_none=True)
        with _precision(effort):
            loss = tower(_normal(pixels, effort)).float().square().mean()
        loss.backward()
        optimizer.step()
        return len(pixels)

    return _measured(f"{NAME} fine-tuning", step, effort, len(pixels))


def _measured(
    name: str,
    work: Callable[[], int],
    effort: Effort,
    items: int,
    count: Callable[[], int] | None = None,
) -> Timing:
    """`count` is what its arithmetic is counted of, where that is not the work itself."""
    counter = FlopCounterMode(display=False)
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not look into it
    with counter:
        (count or work)()
    torch.backends.mha.set_fastpath_enabled(fused)
    work()  # the graph, and the fused attention, for the first time
    rate, seconds = timed(work, effort, warm_up=False)
    return Timing(name, rate, "images/s", seconds, counter.get_total_flops() / items / 1e9)


def _pixels(effort: Effort, count: int, side: int) -> Tensor:
    """(count, side, side, 3) uint8 on the CPU, as images are kept; pinned for a GPU."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randint(0, 256, (count, side, side, 3), generator=generator, dtype=torch.uint8)
    return found.pin_memory() if effort.gpu else found


def _normal(pixels: Tensor, effort: Effort) -> Tensor:
    """(B, 3, side, side) about -2 to 2 on the device; the copy is part of what is measured.

    The permuted view is channels-last, which is how convolutions on a GPU like it.
    """
    moved = pixels.to(effort.device, non_blocking=True)
    return (moved.permute(0, 3, 1, 2).float() - 128) / 64


def _precision(effort: Effort) -> contextlib.AbstractContextManager[Any]:
    if effort.gpu:
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def _graph(tower: nn.Module, pixels: Tensor, effort: Effort) -> Callable[[], int]:
    """The tower's forward pass as `--cuda-graphs` has it: captured once, then replayed.

    Pixels travel in every replay, as they do without the graph.
    """
    from bench.methods.kit.graphs import capture

    with _precision(effort):
        captured = capture(tower, _normal(pixels, effort))

    def replay() -> int:
        captured(_normal(pixels, effort))
        return len(pixels)

    return replay
