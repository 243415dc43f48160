"""The part of the method that needs torch: training and prediction of a model with its teacher."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bench import backbones
from bench.api import Context, Epoch, Images, LabelledSet, UsageError
from bench.methods.grmp.finetune import Finetuner, labels_of
from bench.methods.grmp.model import QualityCLIP, finetuned_names, prompt_names
from bench.methods.grmp.pipeline import Pipeline, Teacher
from bench.methods.grmp.pretrain import Pretrainer
from bench.methods.grmp.reuse import Reuse
from bench.methods.grmp.sampling import TaskSampler
from bench.methods.grmp.settings import GrmpSettings
from bench.methods.kit import checkpoints
from bench.methods.kit import gradcam as gradcam
from bench.methods.kit.lens import Lens
from bench.methods.kit.views import Crop, View, test_views

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORMAT = "iqa-bench-grmp-1"
"""In the header of files that `save` and `save_prompts` wrote."""
LEFT_OUT = frozenset({"text_encoder.token_embedding.weight"})
"""The authors' pre-training files lack it."""
Array = npt.NDArray[np.floating[Any]]


class GrmpEngine:
    """The model of one method instance."""

    def __init__(
        self, settings: GrmpSettings, context: Context, reuse: Reuse | None = None
    ) -> None:
        self.settings = settings
        self.context = context
        self.reuse = reuse or Reuse()
        backbone = backbones.load(settings.backbone, context.device)
        self.clip: Any = backbone.model
        info = backbones.resolve_vit(settings.backbone, text=True)
        clip_own = settings.normalisation == "clip"
        self.lens = Lens(
            info.image_size,
            info.mean if clip_own else IMAGENET_MEAN,
            info.std if clip_own else IMAGENET_STD,
            torch.device(context.device),
            settings.autocast,
        )
        self.model = QualityCLIP(self.clip, backbone.tokenizer, settings).eval()
        self.model.initialise(context.seed_for("prompts", settings.prompt_seed), settings)
        self.ready = not settings.pretraining
        self.moved = 0.0
        """‖θ − θ₀‖ / ‖θ₀‖ of the prompts in pre-training."""
        if settings.weights is not None:
            self.load(settings.weights)
        self.pipeline = self._idle_pipeline()

    # -- training -----------------------------------------------------------------------------

    def pretrain(self, corpora: Sequence[LabelledSet]) -> Generator[Epoch, None, None]:
        """Meta-prompt pre-training; the model then holds the chosen prompts."""
        names = prompt_names(self.model)
        parameters = self.model.train_only(names)
        pipeline = Pipeline(self.model, self.lens, live_prompts=True, chunk=self.context.batch_size)
        trainer = Pretrainer(pipeline, parameters, self.settings, self.context)
        yield from trainer.run(corpora)
        self.moved = trainer.moved()
        self.model.requires_grad_(False)
        self.ready = True
        self.pipeline = self._idle_pipeline()

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Fine-tuning from the model's present state."""
        self._warn()
        yield from self.finetuner(train).run()

    def finetuner(self, train: LabelledSet) -> Finetuner:
        """A trainer of the last blocks; from here on, predictions share what it keeps."""
        own = self.settings
        names = finetuned_names(self.model, own.trained_blocks, own.train_visual_prompts)
        if not names:
            raise UsageError(
                "grmp: nothing to train with trained_blocks=0 and text_prompts=false; "
                "finetuning=false says so"
            )
        self.model.train_only(names)
        towers = (self.model.image_encoder, self.model.text_encoder)
        image, text = (max(tower.n_layers - own.trained_blocks, 0) for tower in towers)
        live = own.train_visual_prompts and own.visual_prompts
        self.pipeline = Pipeline(
            self.model, self.lens, (image, text), self.reuse, live, self.context.batch_size
        )
        teacher = Teacher(self.model, self.clip, self.lens, self.reuse)
        batches = TaskSampler(train.images, own, self.context).epoch
        return Finetuner(self.pipeline, teacher, labels_of(train, own), batches, own, self.context)

    def _idle_pipeline(self) -> Pipeline:
        return Pipeline(
            self.model, self.lens, reuse=Reuse(prefix=False), chunk=self.context.batch_size
        )

    def _warn(self) -> None:
        if not self.ready:
            self.context.say("grmp: no pre-trained prompts were loaded; they are random")
            self.ready = True

    # -- answers ------------------------------------------------------------------------------

    def score(self, images: Images) -> Array:
        """Probability of high quality, averaged over the test views, (n,)."""
        self._warn()
        with torch.no_grad():
            texts = self.pipeline.quality_texts()
        views = test_views(self.settings.test_crops)
        scores = [
            self._ask(images, view, lambda x: self.model.logits(x, texts).softmax(dim=-1)[:, 0])
            for view in views
        ]
        return np.mean(scores, axis=0)

    def embed(self, images: Images) -> Array:
        """Features of the central crop, (n, e)."""
        return self._ask(images, test_views(1)[0], lambda features: features)

    def confidence(self, images: Images) -> Array:
        """Largest scene probability of the central crop, (n,)."""
        with torch.no_grad():
            texts = self.pipeline.scene_texts()
        return self._ask(
            images,
            test_views(1)[0],
            lambda x: self.model.logits(x, texts).softmax(dim=-1).amax(dim=-1),
        )

    def attend(self, images: Images) -> Array:
        """Grad-CAM maps of the score on the patches that the last block reads, (n, h, w)."""
        tower = self.model.image_encoder
        last = tower.n_layers - 1
        with torch.no_grad():
            texts, prompts = self.model.quality_texts(), tower.prompts()

        def tokens(pixels: Tensor) -> Tensor:
            return tower.run(tower.embed(pixels), prompts, stop=last).float()

        def score(before: Tensor) -> Tensor:
            found = F.normalize(tower.head(tower.run(before, prompts, start=last)), dim=-1)
            return self.model.logits(found, texts).softmax(dim=-1)[:, 0]

        return gradcam.maps(images, self.lens, self.context.batch_size, tokens, score)

    @torch.no_grad()
    def _ask(self, images: Images, view: View, answer: Callable[[Tensor], Tensor]) -> Array:
        parts = []
        for start in range(0, len(images), self.context.batch_size):
            places = range(start, min(start + self.context.batch_size, len(images)))
            crops = [Crop(images, place, view, (images.digest(place), view)) for place in places]
            parts.append(answer(self.pipeline.image_features(crops)).cpu().double().numpy())
        return np.concatenate(parts) if parts else np.empty(0)

    # -- files --------------------------------------------------------------------------------

    def save_prompts(self, path: Path) -> None:
        """The tensors that pre-training trained."""
        state = self.model.state_dict()
        prompts = {name: state[name] for name in prompt_names(self.model)}
        checkpoints.write(path, prompts, format=FORMAT, moved=repr(self.moved))

    def load_prompts(self, path: Path) -> None:
        """Read a file of `save_prompts`."""
        found = checkpoints.read(path)
        self._put(found.tensors, prompt_names(self.model), path)
        self.moved = float(found.header["moved"])

    def save(self, path: Path) -> None:
        """Every tensor that is not the backbone's."""
        checkpoints.write(path, self._own_tensors(), format=FORMAT, backbone=self.settings.backbone)

    def load(self, path: Path) -> None:
        """A file of `save`, or a whole state dict of the authors."""
        found = checkpoints.read(path)
        required = set(self._own_tensors())
        if found.header.get("format") != FORMAT:
            required = set(self.model.state_dict()) - LEFT_OUT
        self._put(found.tensors, required, path)

    def _put(self, tensors: dict[str, Tensor], required: Collection[str], path: Path) -> None:
        checkpoints.put(self.model, tensors, f"'{path}'", required, own=True)
        self.model.requires_grad_(False)
        self.ready = True
        self.pipeline = self._idle_pipeline()

    def _own_tensors(self) -> dict[str, Tensor]:
        shared = {id(value) for value in self.clip.parameters()}
        parameters = {
            name: value
            for name, value in self.model.named_parameters()
            if id(value) not in shared and value.numel()
        }
        return {**parameters, **dict(self._fixed_tokens())}

    def _fixed_tokens(self) -> list[tuple[str, Tensor]]:
        names = ("prompt_learner2.token_prefix", "prompt_learner2.token_suffix")
        state = self.model.state_dict()
        return [(name, state[name]) for name in names]
