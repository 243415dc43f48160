"""A standard model of transformers in the method's own process, without a server."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from typing import Any

from bench.api import BenchError, UsageError
from bench.methods.vlm.replies import Reply
from bench.methods.vlm.settings import VlmSettings

TOP = 20
"""As many log-probabilities as a server gives."""


class LocalModel:
    """`AutoModelForImageTextToText`: log-probabilities of the answer's first token."""

    def __init__(self, settings: VlmSettings, device: str) -> None:
        self.settings = settings
        self._device = device
        self._lock = threading.Lock()
        self._processor, self._model = self._loaded()

    def _loaded(self) -> tuple[Any, Any]:
        try:
            import torch
            from transformers import AutoModelForImageTextToText, AutoProcessor
        except ImportError as error:
            raise UsageError(
                f"vlm:{self.settings.name} needs the extra 'transformers': "
                f"pip install 'iqa-bench[transformers]' ({error})"
            ) from None
        name, revision = self.settings.model, self.settings.revision
        try:
            # Code from the hub is never run: stock architectures alone.
            processor = AutoProcessor.from_pretrained(
                name, revision=revision, trust_remote_code=False
            )
            model = AutoModelForImageTextToText.from_pretrained(
                name, revision=revision, trust_remote_code=False, use_safetensors=True, dtype="auto"
            )
        except (OSError, ValueError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise BenchError(
                f"vlm:{self.settings.name}: transformers cannot load '{name}' ({first}); name a "
                "folder that holds it, or a model of the hub that needs no code of its own"
            ) from error
        return processor, model.eval().to(torch.device(self._device))

    def ask(self, title: str, pictures: Sequence[bytes]) -> Reply:
        """The first token's log-probabilities for the question about encoded pictures."""
        import torch
        from PIL import Image

        shown = [Image.open(io.BytesIO(item)).convert("RGB") for item in pictures]
        with self._lock, torch.no_grad():
            inputs = self._inputs(shown)
            logits = self._model(**inputs).logits[0, -1].float()
        values, places = torch.log_softmax(logits, dim=-1).topk(min(TOP, logits.numel()))
        texts = [self._processor.tokenizer.decode([int(place)]) for place in places]
        best = dict(reversed(list(zip(texts, values.tolist(), strict=True))))  # the likelier stays
        count = int(inputs["input_ids"].numel())
        return Reply(self.settings.served_as, texts[0], best, "length", count, 1)

    def _inputs(self, pictures: Sequence[Any]) -> Any:
        from bench.methods.vlm.server import messages_of

        messages = messages_of(self.settings, [{"type": "image"} for _ in pictures])
        if self.settings.prefix:
            messages = messages[:-1]
        text = self._processor.apply_chat_template(messages, add_generation_prompt=True)
        text += self.settings.prefix
        inputs = self._processor(text=[text], images=list(pictures), return_tensors="pt")
        return inputs.to(self._device)
