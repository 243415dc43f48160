"""Image features, computed once per image and weights and kept for the life of the process.

An image's feature does not depend on the prompt, so that every size, choice and perturbation of
the prompt, and every repeat, only passes through the small fusion transformer.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.api import Context, Images, Pixels
from methods.kit.devices import Precision, autocast, send
from methods.kit.graphs import Replayed
from methods.promptiqa.encoder import EncoderInfo, pixels_to_input
from methods.promptiqa.model import PromptIQANet

Vector = npt.NDArray[np.float32]
VISUAL = ("vit.", "reduce.", "MALs.", "fusion_mal.", "block.", "cnn.")


class FeatureStore:
    """Features by content, the least recently used ones dropped beyond `limit` bytes."""

    def __init__(self, limit: int = 256 * 1024**2) -> None:
        self.limit = limit
        self.enabled = True
        self._kept: OrderedDict[bytes, Vector] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> Vector | None:
        """The feature kept under `key`, None where there is none."""
        found = self._kept.get(key) if self.enabled else None
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: bytes, feature: Vector) -> None:
        """Keep a copy of `feature`."""
        if not self.enabled or key in self._kept:
            return
        self._kept[key] = feature.copy()
        self._bytes += feature.nbytes
        while self._bytes > self.limit:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes = 0

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within: nothing is found and nothing kept (to measure what the store saves)."""
        self.enabled = False
        try:
            yield
        finally:
            self.enabled = True


STORE = FeatureStore()
"""Shared by all instances of the method in this process."""


class WeightsDigest:
    """SHA-256 of a network's visual weights, recomputed only when a tensor was changed.

    Where the tensors hang is looked up once; which tensors hang there, and in which state, is
    looked up every time, since training and loading change or replace them.
    """

    def __init__(self, net: PromptIQANet) -> None:
        self._places = [
            (f"{path}.{name}", owned, name)
            for path, module in net.named_modules()
            for owned in (module._parameters, module._buffers)
            for name in owned
            if f"{path}.{name}".startswith(VISUAL)
        ]
        self._state: tuple[object, ...] | None = None
        self._digest = b""

    def current(self) -> bytes:
        """The digest of the weights as they are now."""
        tensors = [(path, owned[name]) for path, owned, name in self._places]
        state = tuple(
            None if value is None else (value.data_ptr(), value._version) for _, value in tensors
        )
        if state != self._state:
            digest = hashlib.sha256()
            for path, value in tensors:
                if value is not None:
                    digest.update(path.encode())
                    digest.update(value.detach().cpu().contiguous().view(-1).numpy().data)
            self._state, self._digest = state, digest.digest()
        return self._digest


class FeatureExtractor:
    """Gives images' features with one network's weights, from the store where it can."""

    def __init__(
        self, net: PromptIQANet, info: EncoderInfo, context: Context, precision: Precision
    ) -> None:
        self.net = net
        self.info = info
        self.context = context
        self.precision = precision
        self._weights = WeightsDigest(net)
        self._forward = Replayed(net.features, context.cuda_graphs)

    def features(self, images: Images | Sequence[Pixels]) -> Tensor:
        """(n, d) on the context's device. Sets the network to evaluation mode.

        Raises ValueError for images of another size than the encoder takes.
        """
        if self.net.training or any(child.training for child in self.net.children()):
            self.net.eval()
        prefix = self._weights.current() + f"{self.precision}/{self.context.device}".encode()
        start = hashlib.sha256(prefix)
        found: list[Vector | None] = []
        missing: list[tuple[int, bytes]] = []
        pixels: list[Pixels] = []
        for row in range(len(images)):
            image = images[row]
            digest = start.copy()
            digest.update(np.ascontiguousarray(image).data)
            key = digest.digest()
            found.append(STORE.get(key))
            if found[-1] is None:
                missing.append((row, key))
                pixels.append(image)
            if len(pixels) == self.context.batch_size:
                self._compute(pixels, missing, found)
        self._compute(pixels, missing, found)
        stacked = np.empty((len(found), self.net.size.feature), np.float32)
        for row, feature in enumerate(found):
            stacked[row] = feature
        return torch.from_numpy(stacked).to(self.context.device)

    def _compute(
        self,
        pixels: list[Pixels],
        missing: list[tuple[int, bytes]],
        found: list[Vector | None],
    ) -> None:
        """Fill in the features of `pixels`; both lists are emptied."""
        if not pixels:
            return
        batch = stack_pixels(pixels, self.info.image_size)
        with torch.no_grad(), autocast(self.context.device, self.precision):
            inputs = pixels_to_input(send(batch, self.context.device), self.info)
            features = self._forward(inputs).float().cpu().numpy()
        for (row, key), feature in zip(missing, features, strict=True):
            found[row] = feature
            STORE.put(key, feature)
        pixels.clear()
        missing.clear()


def stack_pixels(pixels: Sequence[Pixels], size: int) -> Tensor:
    """(n, S, S, 3) uint8; ValueError where an image is not S x S."""
    for image in pixels:
        if image.shape != (size, size, 3):
            raise ValueError(
                f"promptiqa: image of shape {image.shape}, not ({size}, {size}, 3); decode images "
                "under the method's policy"
            )
    return torch.from_numpy(np.stack(pixels))
