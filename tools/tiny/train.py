"""Train the `tiny` backbone: `python -m tools.tiny.train`.

Renders the corpus and trains a small CLIP on it in the stages below, then writes its weights, in
half precision, into the package.

A contrastive loss on captions that mention quality loosely teaches a tower this small what is in a
picture, and nothing of how it looks: after the first stage a ridge regression on its features does
not predict quality. The later stages therefore also ask of the image features which flaws a picture
has and how good its latent quality is (by a linear head that is thrown away afterwards), much as
large CLIPs see quality in hundreds of millions of captions that no project could render.

The same machine gives the same bits each time: one thread, generators seeded for each stage and
batch, and weights rounded to half precision between stages, so that `--keep` can go on with the
stages that a run before it has finished and still end with the same file.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

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
from tools.tiny.corpus import CorpusPicture, render_corpus

SEED = 0
SCENES = 14_000
_SHORT = 32
_LONG_EVERY = 8
_KINDS = {kind: column for column, kind in enumerate(DISTORTIONS)}


@dataclass(frozen=True)
class Stage:
    """One pass of the learning-rate schedule."""

    steps: int
    """Batches it is trained on."""
    rate: float
    """Peak of the one-cycle schedule (AdamW)."""
    batch: int
    """Pictures in a batch."""
    masked: float = 0.0
    """Share of the steps in which half of the patches are left out, which makes them cheaper."""
    looks: float = 0.0
    """Weight of the loss on flaws and latent quality; 0 leaves it out."""
    opinions: Opinions = DEFAULT
    """How captions speak of quality."""
    flaws: bool = False
    """Whether captions may name a flaw ("blurry")."""
    text_only: bool = False
    """Whether the image tower stays as it is."""


_CLOSE = Opinions(noise=0.6, weight=1.0, taste=0.0)
_LOOSE = Opinions(rate=0.25, noise=2.0, weight=1.0, taste=0.0)
STAGES = (
    Stage(656, rate=1.5e-3, batch=128, masked=0.7, opinions=_CLOSE),
    Stage(1_090, rate=1e-3, batch=64, masked=0.6, looks=2.0, opinions=_CLOSE, flaws=True),
    Stage(872, rate=8e-4, batch=64, looks=2.0, opinions=_CLOSE, flaws=True),
    Stage(218, rate=5e-4, batch=64, looks=2.0, opinions=_LOOSE),
    # Words come to mean what they mean on the web: praise that follows the subject as well.
    Stage(436, rate=7e-4, batch=64, text_only=True),
)


@dataclass(frozen=True)
class CaptionedBatch:
    """What one step is trained on."""

    images: Tensor
    """uint8 (batch, 3, size, size)."""
    tokens: Tensor
    """(batch, 32 or 77)."""
    looks: Tensor
    """(batch, kinds + 1): 1 for each flaw one can see, then the latent quality about 0."""


class Batches:
    """Random crops and flips of a corpus, each with a fresh caption."""

    def __init__(
        self, corpus: Sequence[CorpusPicture], size: int, stage: Stage, number: int
    ) -> None:
        self.corpus = corpus
        self.size = size
        self.stage = stage
        self.number = number
        self.tokenizer = tokenizer_for("tiny")

    def draw(self, step: int) -> CaptionedBatch:
        """The batch of a step; it depends on the seed, the stage and the step alone."""
        rng = generator("batch", SEED, self.number, step)
        items = [self.corpus[k] for k in self._chosen(step)]
        tokens = self._tokens(items, step, rng)
        crops = np.stack([self._crop(item.pixels, rng) for item in items])
        return CaptionedBatch(
            torch.from_numpy(crops), tokens, torch.stack([_looks(item) for item in items])
        )

    def _chosen(self, step: int) -> NDArray[np.int64]:
        batch = self.stage.batch
        turn, place = divmod(step, len(self.corpus) // batch)
        order = generator("order", SEED, self.number, turn).permutation(len(self.corpus))
        return order[place * batch : (place + 1) * batch]

    def _crop(self, picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        top, left = rng.integers(0, picture.shape[0] - self.size + 1, 2)
        crop = picture[top : top + self.size, left : left + self.size].transpose(2, 0, 1)
        return crop[:, :, ::-1] if rng.random() < 0.5 else crop

    def _tokens(
        self, items: Sequence[CorpusPicture], step: int, rng: np.random.Generator
    ) -> Tensor:
        long = step % _LONG_EVERY == _LONG_EVERY - 1
        write = long_caption if long else caption
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
        return self.tokenizer(texts, context_length=77 if long else _SHORT)


def _looks(item: CorpusPicture) -> Tensor:
    looks = torch.zeros(len(_KINDS) + 1)
    looks[[_KINDS[kind] for kind in item.kinds]] = 1.0
    looks[-1] = (item.quality - 3.0) / 1.2
    return looks


def encode_text(model: CLIP, tokens: Tensor) -> Tensor:
    """The text tower on fewer tokens: cheaper, and exact because the mask is causal."""
    length = tokens.shape[1]
    hidden = model.token_embedding(tokens) + model.positional_embedding[:length]
    hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
    pooled = text_global_pool(model.ln_final(hidden), tokens, model.text_pool_type)
    return functional.normalize(pooled @ model.text_projection, dim=-1)


class Pupil(nn.Module):
    """The CLIP in training, and the head that asks of its image features how a picture looks."""

    def __init__(self) -> None:
        super().__init__()
        self.clip: CLIP = empty_model("tiny", patch_dropout=0.5)
        self.looks = nn.Linear(self.clip.text_projection.shape[1], len(_KINDS) + 1)


class TinyTrainer:
    """One stage of training; changes the pupil in place."""

    def __init__(self, pupil: Pupil, batches: Batches) -> None:
        self.pupil = pupil
        self.clip = pupil.clip
        self.batches = batches
        self.stage = stage = batches.stage
        self.clip.visual.requires_grad_(not stage.text_only)
        self.parameters = [p for p in pupil.parameters() if p.requires_grad]
        decayed = [p for p in self.parameters if p.ndim >= 2]
        plain = [p for p in self.parameters if p.ndim < 2]
        # Few steps on words alone: nothing is to shrink.
        decay = 0.0 if stage.text_only else 0.05
        groups = [
            {"params": decayed, "weight_decay": decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.98))
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            max_lr=stage.rate,
            total_steps=stage.steps,
            pct_start=0.08,
            cycle_momentum=False,
        )
        self.mean = torch.tensor(self.clip.visual.image_mean).view(1, 3, 1, 1)
        self.deviation = torch.tensor(self.clip.visual.image_std).view(1, 3, 1, 1)

    def run(self) -> None:
        """Train to the end of the stage."""
        started, losses = time.perf_counter(), []
        masking = self.clip.visual.patch_dropout
        for step in range(self.stage.steps):
            unmasked = step >= self.stage.masked * self.stage.steps
            self.clip.visual.patch_dropout = nn.Identity() if unmasked else masking
            losses.append(self._update(self.batches.draw(step)))
            if step % 100 == 99:
                seconds = time.perf_counter() - started
                mean = ", ".join(f"{value:.3f}" for value in np.mean(losses[-100:], axis=0))
                print(f"  {step + 1} steps: losses {mean}; {seconds:.0f} s", flush=True)
        self.clip.visual.patch_dropout = masking

    def _update(self, batch: CaptionedBatch) -> list[float]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inputs = (batch.images.float() / 255.0 - self.mean) / self.deviation
            features = self.clip.encode_image(inputs)
            texts = encode_text(self.clip, batch.tokens)
        features = features.float()
        images = functional.normalize(features, dim=-1)
        losses = [contrastive(self.clip.logit_scale.exp() * images @ texts.float().T)]
        if self.stage.looks:
            losses.append(self.stage.looks * looks_loss(self.pupil.looks(features), batch.looks))
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()
        with torch.no_grad():
            self.clip.logit_scale.clamp_(0.0, float(np.log(100.0)))
        return [float(loss.detach()) for loss in losses]


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


def save(model: nn.Module, path: Path) -> str:
    """Write the weights in half precision and give the file's SHA-256.

    Buffers that the model rebuilds stay out.
    """
    state = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    save_file(state, path)
    path.chmod(0o644)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fill(model: nn.Module, path: Path) -> None:
    """Read what `save` wrote."""
    model.load_state_dict({name: value.float() for name, value in load_file(path).items()})


@contextmanager
def repeatable() -> Iterator[None]:
    """One thread, since sums of two have other last bits, and no operation that varies."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)


def train(corpus: Sequence[CorpusPicture], stages: Sequence[Stage], keep: Path) -> CLIP:
    """The CLIP after all stages; the file of each is left in `keep`, and taken if it is there."""
    with torch.random.fork_rng(devices=[]), repeatable():
        torch.manual_seed(SEED)
        pupil = Pupil().train()
        size = pupil.clip.visual.image_size[0]
        for number, stage in enumerate(stages, start=1):
            path, began = keep / _kept_name(stages[:number]), time.perf_counter()
            if not path.exists():
                torch.manual_seed(SEED + number)  # of the patches left out
                TinyTrainer(pupil, Batches(corpus, size, stage, number)).run()
                digest = save(pupil, path)
                seconds = time.perf_counter() - began
                print(f"stage {number}: {seconds:.0f} s, sha256 {digest}", flush=True)
            fill(pupil, path)
    return pupil.clip


def _kept_name(stages: Sequence[Stage]) -> str:
    """The file of the last of some stages; what other settings gave is not taken for it."""
    recipe = hashlib.sha256(repr((SEED, *stages)).encode()).hexdigest()
    return f"stage-{len(stages)}-{recipe[:8]}.safetensors"


def main() -> None:
    """Parse, render, train, save; prints how long each took, and digests."""
    parser = command_line("tiny.train", __doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes that render")
    parser.add_argument("--keep", type=Path, help="folder for what each stage gives")
    parser.add_argument("--out", type=Path, default=TINY_WEIGHTS)
    options = parser.parse_args()
    started = time.perf_counter()
    corpus = render_corpus(SCENES, options.workers)
    print(f"rendered {len(corpus)} scenes in {time.perf_counter() - started:.0f} s", flush=True)
    with TemporaryDirectory() as folder:
        keep = options.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        digest = save(train(corpus, STAGES, keep), options.out)
    print(f"done in {time.perf_counter() - started:.0f} s, sha256 {digest}")


if __name__ == "__main__":
    main()
