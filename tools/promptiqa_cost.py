"""What PromptIQA's feature reuse saves, and its forward pass against a plain writing of it.

`python -m tools.promptiqa_cost` scores 200 images with 10 repeats x 5 prompt sizes x 2
ways of choosing the prompt, with and without kept features, and compares the scores.
`--forward full` times the full-size forward pass (1.3 GB of weights, drawn at random).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.api import Context, LabelledSet
from bench.cli.machine.networks import random_network
from bench.methods.promptiqa.layers import MAL, AttentionBlock, PositionAttention
from bench.methods.promptiqa.method import PromptIQA
from bench.methods.promptiqa.model import ModelSize, PromptIQANet
from bench.methods.promptiqa.network import Network
from bench.methods.promptiqa.settings import PromptIQASettings
from bench.model.images import ArrayImages
from tools import command_line

SIZES = (3, 5, 7, 8, 10)
STRATEGIES = ("interval", "random")
TOLERANCE = 1e-5
REDUCED = ModelSize(grid=7, kernels=(3, 3, 1), pools=(1, 1, 1))
"""The full-size network on images of 56 pixels."""


# -- the graph as the text describes it ------------------------------------------------------------


def plain_position_attention(layer: PositionAttention, x: Tensor) -> Tensor:
    """(B, C, P) -> (B, C, P), by 1x1 convolutions of maps."""
    side = int(x.shape[-1] ** 0.5)
    plane = x.view(*x.shape[:2], side, side)
    q, k, v = (conv(plane).flatten(2) for conv in (layer.qConv, layer.kConv, layer.vConv))
    attention = torch.softmax(q.transpose(1, 2) @ k, dim=-1)
    return layer.gamma * (v @ attention.transpose(1, 2)) + x


def plain_attention_block(layer: AttentionBlock, x: Tensor) -> Tensor:
    """(B, T, dim) -> (B, T, dim), queries and keys apart."""
    q, k, v = layer.c_q(x), layer.c_k(x), layer.c_v(x)
    attention = torch.softmax(q @ k.transpose(1, 2) / x.shape[-1] ** 0.5, dim=-1)
    return (attention @ v).transpose(1, 2).reshape(x.shape) + x


def plain_mal(mal: MAL, maps: list[Tensor]) -> Tensor:
    """n maps (B, C, P) -> (B, C, P), the stack grown map by map."""
    batch, width, positions = maps[0].shape
    stack = torch.empty(batch, 0, positions, device=maps[0].device)
    for layer, x in zip(mal.attention_module, maps, strict=True):
        assert isinstance(layer, PositionAttention)
        stack = torch.cat([stack, plain_position_attention(layer, x)], dim=1)
    mixed = stack.reshape(batch, width, len(maps) * positions)
    by_pixel = plain_attention_block(mal.feature_attention, mixed).reshape(stack.shape)
    by_channel = plain_attention_block(mal.channel_attention, stack.transpose(1, 2))
    mean = (by_pixel + by_channel.transpose(1, 2)) / 2
    return mean.reshape(batch, len(maps), width, positions).mean(dim=1)


def plain_features(net: PromptIQANet, images: Tensor) -> Tensor:
    """Normalised images (B, 3, H, W) -> features (B, d)."""
    maps = [x.transpose(1, 2).contiguous() for x in net.taps(images).unbind(1)]
    opinions: list[Tensor] = [plain_mal(mal, maps) for mal in net.MALs if isinstance(mal, MAL)]
    tokens = net.block(plain_mal(net.fusion_mal, opinions).transpose(1, 2))
    side = net.size.grid
    plane = tokens.transpose(1, 2).reshape(len(images), net.size.width, side, side)
    features: Tensor = net.cnn(plane).mean(dim=(2, 3))
    return features


def plain_forward(net: PromptIQANet, images: Tensor, pairs: Tensor, scores: Tensor) -> Tensor:
    """Scores (B,), ISP by ISP and query by query."""
    prompt = [
        net.mlp(net.i_p_fusion(torch.stack([x, s.expand_as(x)])[None]).mean(dim=1))
        for x, s in zip(plain_features(net, pairs), scores, strict=True)
    ]
    requirement = net.prompt_fusion(torch.stack(prompt, dim=1))
    found = []
    for query in plain_features(net, images):
        tokens = torch.cat([query[None, None], requirement], dim=1)
        found.append(net.score_block(net.norm(net.blocks(tokens))[:, 0])[0, 0])
    return torch.stack(found)


# -- measurements ----------------------------------------------------------------------------------


def seconds(device: str = "cpu") -> float:
    """This process' time, which other work on the machine does not lengthen; a GPU's by the clock.

    With several threads it sums over them: compare under one thread, as the script does by itself.
    """
    return time.perf_counter() if torch.device(device).type == "cuda" else time.process_time()


def labelled_noise(count: int, size: int, seed: int) -> LabelledSet:
    """Noise images (count, size, size) with random labels."""
    rng = np.random.default_rng(seed)
    arrays = list(rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8))
    nothing = (None,) * count
    images = ArrayImages(arrays)
    sources = ("noise",) * count
    scores = rng.random(count)
    return LabelledSet("noise", images, scores, nothing, nothing, nothing, nothing, sources)


Build = Callable[[int, str, int], PromptIQA]
"""Prompt size, way of choosing and seed -> a method."""


def sweep(
    build: Build, train: LabelledSet, test: LabelledSet, repeats: int
) -> tuple[npt.NDArray[np.float64], float]:
    """Scores (repeats x sizes x strategies, n) and the seconds they took."""
    methods = [
        build(size, strategy, repeat)
        for repeat in range(repeats)
        for size in SIZES
        for strategy in STRATEGIES
    ]
    start = seconds()
    rows = []
    for method in methods:
        for _ in method.fit(train):
            pass
        rows.append(method.predict(test.images))
    return np.stack(rows), seconds() - start


def shared_network(base: PromptIQASettings) -> tuple[Build, Network]:
    """Builds methods that share one network, which comes along: loading it is not measured."""
    network = Network(base, Context())

    def build(size: int, strategy: str, seed: int) -> PromptIQA:
        settings = base.model_copy(update={"ispp_size": size, "selection": strategy})
        method = PromptIQA(settings, Context(seed=seed))
        method._loaded = network
        return method

    return build, network


def measure_reuse(base: PromptIQASettings, count: int, repeats: int) -> bool:
    """Print times with and without reuse; whether the scores agree."""
    build, network = shared_network(base)
    size = build(1, "even", 0).policy.size
    assert isinstance(size, int)
    train, test = labelled_noise(count, size, 1), labelled_noise(count, size, 2)
    kept, fast = sweep(build, train, test, repeats)
    network.extractor.reuse = False
    fresh, slow = sweep(build, train, test, repeats)
    worst = float(np.abs(kept - fresh).max())
    print(
        f"{len(kept)} predictions of {count} images of {size} pixels: {fast:.2f} s with kept "
        f"features, {slow:.2f} s without; {slow / fast:.1f} times less; largest difference "
        f"{worst:.1e}"
    )
    return worst <= TOLERANCE


def measure_forward(size: ModelSize, rounds: int, device: str) -> bool:
    """Print seconds of the forward pass against the plain one; whether the scores agree."""
    net, info = random_network(size)
    net.to(device)
    generator = torch.Generator().manual_seed(1)
    draw = (3, info.image_size, info.image_size)
    queries, pairs = (torch.rand(n, *draw, generator=generator).to(device) for n in (2, 2))
    scores = torch.tensor([0.2, 0.8], device=device)
    results: dict[str, Tensor] = {}
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    runs = {"ours": net.forward, "plain": lambda *inputs: plain_forward(net, *inputs)}
    with torch.no_grad():
        for _ in range(rounds + 1):  # the first round warms up
            for name, run in runs.items():
                start = seconds(device)
                results[name] = run(queries, pairs, scores).cpu()
                times[name].append(seconds(device) - start)
    ours, plain = (float(np.median(times[name][1:])) for name in ("ours", "plain"))
    worst = float((results["ours"] - results["plain"]).abs().max())
    print(
        f"forward at {info.image_size} pixels, 2 images and 2 ISPs: {ours:.2f} s, written plainly "
        f"{plain:.2f} s ({plain / ours:.2f} times as long); largest difference {worst:.1e}"
    )
    return worst <= TOLERANCE


def _reduced() -> PromptIQASettings:
    sizes = {"image_size": 8 * REDUCED.grid, "kernels": REDUCED.kernels, "pools": REDUCED.pools}
    return PromptIQASettings.model_validate(sizes)


def main(arguments: list[str] | None = None) -> int:
    """Run the measurements; 1 where scores disagree."""
    parser = command_line("promptiqa_cost", __doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--reduced-images", type=int, default=20, help="images for ViT-B/8")
    parser.add_argument("--forward", choices=("none", "reduced", "full"), default="reduced")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    tiny = PromptIQASettings.model_validate({"backbone": "tiny"})
    agreed = measure_reuse(tiny, options.images, options.repeats)
    if options.reduced_images:
        agreed &= measure_reuse(_reduced(), options.reduced_images, 1)
    if options.forward != "none":
        size = ModelSize() if options.forward == "full" else REDUCED
        agreed &= measure_forward(size, options.rounds, options.device)
    return 0 if agreed else 1


if __name__ == "__main__":
    raise SystemExit(main())
