"""Image features, computed once per image and weights.

An image's feature does not depend on the prompt, so that every size, choice and perturbation of
the prompt, and every repeat, only passes through the small fusion transformer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bench.api import Context, Images, Pixels
from bench.methods.kit import cache
from bench.methods.kit.devices import Precision, autocast, send
from bench.methods.kit.forms import Frozen
from bench.methods.promptiqa.encoder import EncoderInfo, pixels_to_input
from bench.methods.promptiqa.model import PromptIQANet

VISUAL = ("vit.", "reduce.", "MALs.", "fusion_mal.", "block.", "cnn.")


class WeightsDigest:
    """SHA-256 of a network's visual weights, recomputed only when a tensor was changed.

    The names of the tensors are looked up once; the tensors and their versions are
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
    """Gives images' features with one network's weights; computed features are kept."""

    def __init__(
        self, net: PromptIQANet, info: EncoderInfo, context: Context, precision: Precision
    ) -> None:
        self.net = net
        self.info = info
        self.context = context
        self.precision = precision
        self.reuse = True
        """False computes every feature anew, to measure what keeping them saves."""
        self._weights = WeightsDigest(net)
        self._forward = Frozen(net.features, context)
        self._shelf: tuple[bytes, cache.Shelf] | None = None

    def features(self, images: Images) -> Tensor:
        """(n, d) on the context's device. Sets the network to evaluation mode.

        Raises ValueError for images of another size than the encoder takes.
        """
        if self.net.training or any(child.training for child in self.net.children()):
            self.net.eval()
        if not len(images):
            return torch.empty(0, self.net.size.feature, device=self.context.device)
        keys = [images.digest(row) if self.reuse else None for row in range(len(images))]
        found = self._kept().rows(keys, lambda rows: self._compute(images, rows))
        return found.to(self.context.device)

    def _kept(self) -> cache.Shelf:
        """The shelf of the weights as they are now, shared with all networks that have them."""
        digest = self._weights.current()
        if self._shelf is None or self._shelf[0] != digest:
            name = ("promptiqa", digest, self.precision, self.context.device)
            # On the CPU whatever the device: a feature is small, and there are many.
            self._shelf = digest, cache.shared("cpu").shelf(name)
        return self._shelf[1]

    def _compute(self, images: Images, rows: Sequence[int]) -> Tensor:
        """The features of some images, (n, d) on the CPU."""
        parts, size = [], self.context.batch_size
        for start in range(0, len(rows), size):
            pixels = [images[row] for row in rows[start : start + size]]
            batch = stack_pixels(pixels, self.info.image_size)
            with torch.no_grad(), autocast(self.context.device, self.precision):
                inputs = pixels_to_input(send(batch, self.context.device), self.info)
                parts.append(self._forward(inputs).float().cpu())
        return torch.cat(parts)


def stack_pixels(pixels: Sequence[Pixels], size: int) -> Tensor:
    """(n, S, S, 3) uint8; ValueError if an image is not S x S."""
    for image in pixels:
        if image.shape != (size, size, 3):
            raise ValueError(
                f"promptiqa: image of shape {image.shape}, not ({size}, {size}, 3); decode images "
                "under the method's policy"
            )
    return torch.from_numpy(np.stack(pixels))
