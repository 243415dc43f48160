"""Train the `tiny` backbone: `python -m bench.backbones.train_tiny`.

Renders the corpus, trains a small CLIP on it with the symmetric contrastive loss and writes its
weights, in half precision, into the package. Same seed, machine and number of threads: same
weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import CLIP
from open_clip.transformer import text_global_pool
from torch import Tensor, nn
from torch.nn import functional

from bench.backbones import TINY_WEIGHTS
from bench.backbones._load import empty_model, tokenizer_for
from bench.backbones.captions import caption, long_caption
from bench.backbones.corpus import Picture, render_corpus
from bench.demo.noise import generator

SEED = 0
_SHORT = 32
_LONG_EVERY = 8
# Half of the patches are left out until this share of the epochs, which makes those epochs cheaper.
_MASKED_SHARE = 0.7


class Batches:
    """Random crops and flips of a corpus, each with a fresh caption."""

    def __init__(self, corpus: Sequence[Picture], size: int, batch: int, name: str) -> None:
        self.corpus = corpus
        self.size = size
        self.batch = batch
        self.tokenizer = tokenizer_for(name)

    def per_epoch(self) -> int:
        """Whole batches in one pass."""
        return len(self.corpus) // self.batch

    def draw(self, epoch: int, step: int, order: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images, uint8 (batch, 3, size, size), and tokens (batch, 32 or 77)."""
        rng = generator("batch", SEED, epoch, step)
        chosen = order[step * self.batch : (step + 1) * self.batch]
        long = step % _LONG_EVERY == _LONG_EVERY - 1
        write = long_caption if long else caption
        items = [self.corpus[k] for k in chosen]
        texts = [write(rng, item.category, item.words, item.quality) for item in items]
        tokens = self.tokenizer(texts, context_length=77 if long else _SHORT)
        crops = np.stack([self._crop(item.pixels, rng) for item in items])
        return torch.from_numpy(crops), tokens

    def _crop(self, picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        top, left = rng.integers(0, picture.shape[0] - self.size + 1, 2)
        crop = picture[top : top + self.size, left : left + self.size].transpose(2, 0, 1)
        return crop[:, :, ::-1] if rng.random() < 0.5 else crop


def encode_text(model: CLIP, tokens: Tensor) -> Tensor:
    """The text tower on fewer tokens: cheaper, and exact because the mask is causal."""
    length = tokens.shape[1]
    hidden = model.token_embedding(tokens) + model.positional_embedding[:length]
    hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
    pooled = text_global_pool(model.ln_final(hidden), tokens, model.text_pool_type)
    return functional.normalize(pooled @ model.text_projection, dim=-1)


def train(model: CLIP, batches: Batches, epochs: int, rate: float, out: Path) -> None:
    """Optimise `model` in place (AdamW, warm-up, cosine decay) and save it after every epoch."""
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
    total = epochs * batches.per_epoch()
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=rate, total_steps=total, pct_start=0.08, cycle_momentum=False
    )
    started = time.perf_counter()
    for epoch in range(epochs):
        order = generator("order", SEED, epoch).permutation(len(batches.corpus))
        running = 0.0
        if epoch == round(_MASKED_SHARE * epochs):
            model.visual.patch_dropout = nn.Identity()
        for step in range(batches.per_epoch()):
            images, tokens = batches.draw(epoch, step, order)
            running += _update(model, optimiser, images, tokens)
            schedule.step()
        save(model, out)
        seconds = time.perf_counter() - started
        loss = running / batches.per_epoch()
        print(f"epoch {epoch + 1}/{epochs}  loss {loss:.3f}  {seconds:.0f} s", flush=True)


def _update(model: CLIP, optimiser: torch.optim.Optimizer, images: Tensor, tokens: Tensor) -> float:
    mean = torch.tensor(model.visual.image_mean).view(1, 3, 1, 1)
    deviation = torch.tensor(model.visual.image_std).view(1, 3, 1, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inputs = (images.float() / 255.0 - mean) / deviation
        image_features = model.encode_image(inputs, normalize=True)
        text_features = encode_text(model, tokens)
    logits = model.logit_scale.exp() * image_features.float() @ text_features.float().T
    target = torch.arange(len(images))
    loss = 0.5 * (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0.0, float(np.log(100.0)))
    return float(loss.detach())


def save(model: CLIP, path: Path) -> None:
    """Write the weights in half precision; buffers that the model rebuilds stay out."""
    from safetensors.torch import save_file

    state = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    save_file(state, path)
    path.chmod(0o644)


def main() -> None:
    """Parse, render, train, save; prints how long each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=TINY_WEIGHTS)
    options = parser.parse_args()
    started = time.perf_counter()
    corpus = render_corpus(options.scenes, options.threads)
    print(f"rendered {len(corpus)} scenes in {time.perf_counter() - started:.0f} s", flush=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    model = empty_model("tiny", patch_dropout=0.5).train()
    batches = Batches(corpus, model.visual.image_size[0], options.batch, "tiny")
    started = time.perf_counter()
    train(model, batches, options.epochs, options.rate, options.out)
    megabytes = options.out.stat().st_size / 1e6
    print(
        f"trained in {time.perf_counter() - started:.0f} s; {options.out.name}: {megabytes:.1f} MB"
    )


if __name__ == "__main__":
    main()
