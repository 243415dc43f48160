"""Frozen CLIP on one CPU thread: torch, as it is and by oneDNN, against ONNX Runtime and OpenVINO.

`python -m tools.cpu_runtimes` exports the image towers of ViT-B/16 (random weights) and `tiny` to
ONNX, runs ONNX Runtime, OpenVINO, torch and `bench.methods.kit.onednn` on the same batches in
turns in one process, and prints the best batch of each, its ratio to the fastest, and the largest
difference of a feature. It needs `onnx`, `onnxruntime` and `openvino`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench import backbones
from bench.api import Context
from bench.methods.kit.forms import has_onednn
from bench.methods.kit.onednn import packed
from tools import command_line

Pixels = npt.NDArray[np.float32]
Infer = Callable[[Pixels], npt.NDArray[np.float32]]
TURN = 3
"""Batches of a runtime in a row, as an encoder sees them, after one that is not counted."""
TARGET = 1.15
"""How much longer than the fastest runtime the form may take that is used here."""


def main() -> int:
    """Print a line for each runtime and network; 1 where a form takes longer than `TARGET`."""
    parser = command_line("cpu_runtimes", __doc__)
    parser.add_argument("--backbones", nargs="+", default=["ViT-B-16:random", "tiny"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, Context.batch_size])
    parser.add_argument("--seconds", type=float, default=20, help="at least, for each batch size")
    options = parser.parse_args()
    torch.set_num_threads(1)
    slow = False
    for name in options.backbones:
        for batch in options.batch:
            slow |= _of(name, batch, options.seconds) > TARGET
    return int(slow)


def _of(name: str, batch: int, seconds: float) -> float:
    """Measure one network; what the project takes, over the fastest runtime."""
    info = backbones.resolve(name)
    clip = backbones.load(name, "cpu").model
    tower, side = clip.visual, info.image_size
    tokens = 1 + (side // tower.conv1.kernel_size[0]) ** 2
    pixels = np.random.default_rng(0).normal(size=(batch, 3, side, side)).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="iqa-bench-onnx-") as folder:
        path = Path(folder) / "tower.onnx"
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # ONNX has no such operator
        with torch.no_grad():
            torch.onnx.export(tower, (torch.from_numpy(pixels),), path, dynamo=False)
        torch.backends.mha.set_fastpath_enabled(fused)
        runtimes = {
            "torch": _torch(tower),
            "onednn": _torch(packed(clip, batch, tokens).visual),
            "onnxruntime": _onnx(path),
            "openvino": _openvino(path),
        }
    found = {title: infer(pixels) for title, infer in runtimes.items()}
    times: dict[str, list[float]] = {title: [] for title in runtimes}
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or not times["torch"]:
        for title, infer in runtimes.items():
            infer(pixels)  # what the one before left in the processor's caches is not its time
            # Of the processor, since the machine may be busy; each of them has one thread.
            for _ in range(TURN):
                start = time.process_time()
                infer(pixels)
                times[title].append(time.process_time() - start)
    best = {title: min(values) for title, values in times.items()}
    fastest = min(best, key=lambda title: best[title])
    print(f"{name}, batches of {batch}, one thread")
    for title, took in best.items():
        gap = float(np.abs(found[title] - found["torch"]).max())
        print(
            f"  {title:12} {batch / took:8.2f} images/s   {took / best[fastest]:5.2f} times "
            f"the fastest   largest difference {gap:.1e}",
            flush=True,
        )
    return best["onednn" if has_onednn(name) else "torch"] / best[fastest]


def _torch(tower: Any) -> Infer:
    def infer(pixels: Pixels) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(tower(torch.from_numpy(pixels)).numpy())

    return infer


def _onnx(path: Path) -> Infer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda pixels: np.asarray(session.run(None, {name: pixels})[0])


def _openvino(path: Path) -> Infer:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    model = core.compile_model(core.read_model(path), "CPU", settings)
    return lambda pixels: np.asarray(model([pixels])[0])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
