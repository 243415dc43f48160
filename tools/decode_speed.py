"""Decoding JPEG files: Pillow, as the project decodes, against simplejpeg and torchcodec.

`python -m tools.decode_speed` decodes the JPEG files of a folder (`--images`), or photographs that
it makes, at 512 x 512 and at 4 megapixels, on one thread, and prints rates, their ratio to
Pillow's, and whether pixels are equal bit for bit. A file that has the size is taken as it is. It
needs `simplejpeg` or `torchcodec`, and leaves out the one that is not installed.
"""

from __future__ import annotations

import importlib.util
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tools import command_line

SIZES = {"512 x 512": (512, 512), "4 megapixels": (2448, 1632)}
Decode = Callable[[bytes], npt.NDArray[np.uint8]]


def main() -> int:
    """Print a line for each size and decoder."""
    parser = command_line("decode_speed", __doc__)
    parser.add_argument("--images", type=Path, help="folder with JPEG files of photographs")
    parser.add_argument("--count", type=int, default=8, help="files of each size")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for title, size in SIZES.items():
        files = photographs(options.images, size, options.count)
        measure(title, files, options.rounds)
    return 0


def photographs(folder: Path | None, size: tuple[int, int], count: int) -> list[bytes]:
    """JPEG files of one size: those of a folder, resized (quality 90) where needed, or made up."""
    found = []
    paths = sorted(folder.glob("*.jp*g"))[:count] if folder else []
    for number in range(count):
        path = paths[number % len(paths)] if paths else None
        image = _made_up(number) if path is None else Image.open(path)
        if path is not None and image.size == size:
            found.append(path.read_bytes())
            continue
        buffer = io.BytesIO()
        resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        resized.save(buffer, "JPEG", quality=90)
        found.append(buffer.getvalue())
    return found


def _made_up(seed: int) -> Image.Image:
    """Smooth shapes with grain, which compress about as photographs do."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((1024, 768), Image.Resampling.BICUBIC), dtype=np.float64)
    grain = rng.normal(0, 6, smooth.shape)
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


def decoders() -> dict[str, Decode]:
    """Pillow's, and those of the libraries that are installed."""
    others = {"simplejpeg": _simplejpeg, "torchcodec": _torchcodec}
    there = {name: decode for name, decode in others.items() if importlib.util.find_spec(name)}
    return {"Pillow": _pillow, **there}


def measure(title: str, files: Sequence[bytes], rounds: int) -> None:
    """Time the decoders in turns; the best round of each counts, in time of the processor."""
    known = decoders()
    times: dict[str, list[float]] = {name: [] for name in known}
    for _ in range(rounds):
        for name, decode in known.items():
            start = time.process_time()
            for data in files:
                decode(data)
            times[name].append(time.process_time() - start)
    size = sum(map(len, files)) / len(files) / 1e3
    print(f"{title} ({size:.0f} kB)")
    for name, decode in known.items():
        gaps = [np.abs(_pillow(data).astype(int) - decode(data).astype(int)) for data in files]
        worst = max(int(gap.max()) for gap in gaps)
        equal = "pixels are equal" if not worst else f"pixels differ by {worst} at most"
        rate, ratio = len(files) / min(times[name]), min(times["Pillow"]) / min(times[name])
        print(f"  {name:10} {rate:8.1f} images/s  {ratio:5.2f} times  {equal}", flush=True)


def _pillow(data: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _simplejpeg(data: bytes) -> npt.NDArray[np.uint8]:
    import simplejpeg

    return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))


def _torchcodec(data: bytes) -> npt.NDArray[np.uint8]:
    from torchcodec.decoders import decode_jpeg

    # A view with the colours last, as the others give pixels.
    return np.asarray(decode_jpeg(data, mode="RGB").permute(1, 2, 0))


if __name__ == "__main__":
    sys.exit(main())
