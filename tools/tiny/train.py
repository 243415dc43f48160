"""Train the `tiny` backbone: `python -m tools.tiny.train`.

Renders the corpus and trains a small CLIP on it in the stages below, then writes its weights, in
half precision, into the package.

A contrastive loss on captions that mention quality loosely teaches a tower this small what is in a
picture, and nothing of how it looks: after the first stage a ridge regression on its features does
not predict quality. The later stages therefore also ask of the image features which flaws a picture
has and how good its latent quality is (two linear heads that are thrown away afterwards), much as
large CLIPs see quality in hundreds of millions of captions that no project could render.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import CLIP
from open_clip.transformer import text_global_pool
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from bench.backbones import TINY_WEIGHTS
from bench.backbones._load import empty_model, tokenizer_for
from bench.data.demo.distortions import DISTORTIONS
from bench.data.demo.noise import generator
from tools import command_line
from tools.tiny.captions import DEFAULT, Opinions, caption, long_caption
from tools.tiny.corpus import Picture, render_corpus

SEED = 0
_SHORT = 32
_LONG_EVERY = 8


@dataclass(frozen=True)
class Stage:
    """One pass of the learning-rate schedule."""

    scenes: int
    epochs: int
    batch: int
    rate: float
    """Peak of the one-cycle schedule (AdamW)."""
    masked: float
    """Share of the epochs in which half of the patches are left out, which makes them cheaper."""
    looks: float
    """Weight of the loss on flaws and latent quality; 0 leaves it out."""
    opinions: Opinions
    """How captions speak of quality."""
    flaws: bool = False
    """Whether captions may name a flaw ("blurry")."""
    text_only: bool = False
    """Whether the image tower stays as it is."""


_CLOSE = Opinions(noise=0.6, weight=1.0, taste=0.0)
_LOOSE = Opinions(rate=0.25, noise=2.0, weight=1.0, taste=0.0)
STAGES = (
    Stage(12_000, epochs=7, batch=128, rate=1.5e-3, masked=0.7, looks=0.0, opinions=_CLOSE),
    Stage(14_000, 5, batch=64, rate=1e-3, masked=0.6, looks=2.0, opinions=_CLOSE, flaws=True),
    Stage(14_000, 4, batch=64, rate=8e-4, masked=0.0, looks=2.0, opinions=_CLOSE, flaws=True),
    Stage(14_000, 1, batch=64, rate=5e-4, masked=0.0, looks=2.0, opinions=_LOOSE),
    # Words come to mean what they mean on the web: praise that follows the subject as well.
    Stage(14_000, 2, batch=64, rate=7e-4, masked=0.0, looks=0.0, opinions=DEFAULT, text_only=True),
)


class Batches:
    """Random crops and flips of a corpus, each with a fresh caption."""

    def __init__(self, corpus: Sequence[Picture], size: int, stage: Stage) -> None:
        self.corpus = corpus[: stage.scenes]
        self.size = size
        self.batch = stage.batch
        self.stage = stage
        self.tokenizer = tokenizer_for("tiny")
        self.kinds = {kind: column for column, kind in enumerate(DISTORTIONS)}

    def per_epoch(self) -> int:
        """Whole batches in one pass."""
        return len(self.corpus) // self.batch

    def draw(self, epoch: int, step: int, order: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Images, uint8 (batch, 3, size, size); tokens (batch, 32 or 77); and how they look,
        (batch, kinds + 1): 1 for each flaw one can see, then the latent quality about 0."""
        rng = generator("batch", SEED, epoch, step)
        chosen = order[step * self.batch : (step + 1) * self.batch]
        long = step % _LONG_EVERY == _LONG_EVERY - 1
        write = long_caption if long else caption
        items = [self.corpus[k] for k in chosen]
        texts = [
            write(
                rng,
                item.category,
                item.words,
                item.quality,
                item.kinds if self.stage.flaws else (),
                self.stage.opinions,
            )
            for item in items
        ]
        tokens = self.tokenizer(texts, context_length=77 if long else _SHORT)
        crops = np.stack([self._crop(item.pixels, rng) for item in items])
        return torch.from_numpy(crops), tokens, torch.stack([self._looks(item) for item in items])

    def _looks(self, item: Picture) -> Tensor:
        looks = torch.zeros(len(self.kinds) + 1)
        looks[[self.kinds[kind] for kind in item.kinds]] = 1.0
        looks[-1] = (item.quality - 3.0) / 1.2
        return looks

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


class Trainer:
    """One stage of training; changes the model in place."""

    def __init__(self, model: CLIP, batches: Batches, stage: Stage) -> None:
        self.model = model
        self.batches = batches
        self.stage = stage
        self.head = nn.Linear(model.text_projection.shape[1], len(batches.kinds) + 1)
        trained = (p for p in model.parameters() if p.requires_grad)
        parameters = [*trained, *self.head.parameters()]
        decayed = [p for p in parameters if p.ndim >= 2]
        plain = [p for p in parameters if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        self.parameters = parameters
        if stage.text_only:  # few steps on words alone: nothing is to shrink
            groups[0]["weight_decay"] = 0.0
        self.optimiser = torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98))
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            max_lr=stage.rate,
            total_steps=stage.epochs * batches.per_epoch(),
            pct_start=0.08,
            cycle_momentum=False,
        )
        self.mean = torch.tensor(model.visual.image_mean).view(1, 3, 1, 1)
        self.deviation = torch.tensor(model.visual.image_std).view(1, 3, 1, 1)

    def run(self, out: Path) -> None:
        """Train to the end of the stage, saving after every epoch."""
        started = time.perf_counter()
        for epoch in range(self.stage.epochs):
            order = generator("order", SEED, epoch).permutation(len(self.batches.corpus))
            if epoch >= round(self.stage.masked * self.stage.epochs):
                self.model.visual.patch_dropout = nn.Identity()
            losses = [
                self._update(*self.batches.draw(epoch, step, order))
                for step in range(self.batches.per_epoch())
            ]
            save(self.model, out)
            seconds = time.perf_counter() - started
            mean = float(np.mean(losses))
            print(f"epoch {epoch + 1}: loss {mean:.3f}, {seconds:.0f} s", flush=True)

    def _update(self, images: Tensor, tokens: Tensor, looks: Tensor) -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inputs = (images.float() / 255.0 - self.mean) / self.deviation
            features = self.model.encode_image(inputs)
            texts = encode_text(self.model, tokens)
        features = features.float()
        logits = functional.normalize(features, dim=-1) @ texts.float().T
        loss = contrastive(self.model.logit_scale.exp() * logits)
        if self.stage.looks:
            loss = loss + self.stage.looks * looks_loss(self.head(features), looks)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0.0, float(np.log(100.0)))
        return float(loss.detach())


def contrastive(logits: Tensor) -> Tensor:
    """The symmetric cross-entropy of CLIP on (n, n) logits."""
    target = torch.arange(len(logits))
    both = functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    return 0.5 * both


def looks_loss(predicted: Tensor, looks: Tensor) -> Tensor:
    """Binary cross-entropy of the flaws, as if of three, plus the squared error of quality."""
    flaws = functional.binary_cross_entropy_with_logits(predicted[:, :-1], looks[:, :-1])
    kinds = looks.shape[1] - 1
    return flaws * kinds / 3 + functional.mse_loss(predicted[:, -1], looks[:, -1])


def save(model: CLIP, path: Path) -> None:
    """Write the weights in half precision; buffers that the model rebuilds stay out."""
    state = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    save_file(state, path)
    path.chmod(0o644)


def main() -> None:
    """Parse, render, train, save; prints how long each took."""
    parser = command_line("tiny.train", __doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--first", type=int, default=1, help="stage to begin with, from 1")
    parser.add_argument("--init", type=Path, help="weights to begin with, for a later stage")
    parser.add_argument("--out", type=Path, default=TINY_WEIGHTS)
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    model = empty_model("tiny", patch_dropout=0.5).train()
    if options.init:
        state = model.state_dict()
        state.update({name: value.float() for name, value in load_file(options.init).items()})
        model.load_state_dict(state)
    dropout = model.visual.patch_dropout
    started = time.perf_counter()
    corpus = render_corpus(max(stage.scenes for stage in STAGES), options.threads)
    print(f"rendered {len(corpus)} scenes in {time.perf_counter() - started:.0f} s", flush=True)
    for stage in STAGES[options.first - 1 :]:
        model.visual.patch_dropout = dropout
        model.visual.requires_grad_(not stage.text_only)
        batches = Batches(corpus, model.visual.image_size[0], stage)
        Trainer(model, batches, stage).run(options.out)
    print(f"done in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
