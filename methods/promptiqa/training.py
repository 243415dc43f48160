"""Training on a mixture of datasets, and fine-tuning on one, by the same steps."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.api import Context, Epoch
from methods.kit.devices import autocast
from methods.promptiqa.encoder import EncoderInfo
from methods.promptiqa.groups import Group, Prompted, plan_epoch, prompted
from methods.promptiqa.inputs import Inputs, Plan, Source
from methods.promptiqa.model import PromptIQANet

FUSION = ("i_p_fusion.", "mlp.", "prompt_fusion.", "blocks.", "norm.", "score_block.")


def learning_rate(plan: Plan, epoch: int) -> float:
    """The rate of an epoch (from 0)."""
    schedule, period = plan.settings.schedule, plan.settings.schedule_period
    if schedule == "constant":
        return plan.lr
    if schedule == "cosine":
        phase = epoch / plan.epochs
    elif schedule == "cosine_restarts":
        phase = (epoch % period) / period
    else:
        phase = epoch / period
    return plan.lr * 0.5 * (1 + math.cos(math.pi * phase))


class Trainer:
    """Runs a plan; a killed pre-training goes on from the last epoch in the scratch folder."""

    def __init__(
        self,
        net: PromptIQANet,
        info: EncoderInfo,
        sources: Sequence[Source],
        plan: Plan,
        context: Context,
    ) -> None:
        self.net, self.sources, self.plan, self.context = net, sources, plan, context
        self.inputs = Inputs(net, info, sources, plan, context)
        trained = [value for name, value in net.named_parameters() if self._trains(name)]
        decay = plan.settings.weight_decay
        self.optimizer = torch.optim.Adam(trained, lr=plan.lr, weight_decay=decay)
        self._trained = trained

    def run(self) -> Generator[Epoch, float | None, None]:
        """Train, yielding after each epoch."""
        for epoch in range(self._resume(), self.plan.epochs):
            rate = learning_rate(self.plan, epoch)
            loss = self._epoch(epoch, rate)
            self._save(epoch + 1)
            yield Epoch(loss, {"lr": rate}, self.plan.epochs)

    def _trains(self, name: str) -> bool:
        if self.plan.part == "all":
            return True
        if self.plan.part == "head":
            return not name.startswith("vit.")
        return name.startswith(FUSION)

    def _epoch(self, epoch: int, rate: float) -> float:
        rng = self.context.rng(self.plan.purpose, "epoch", epoch)
        sizes = [len(source.labels) for source in self.sources]
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._train_mode()
        total, count = 0.0, 0
        device = torch.device(self.context.device)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.context.seed_for(self.plan.purpose, "dropout", epoch))
            for step in plan_epoch(sizes, self.plan.settings, rng):
                queries = sum(len(group.queries) for group in step)
                total += self._step(step, rng) * queries
                count += queries
        self.net.eval().requires_grad_(False)
        return total / max(count, 1)

    def _train_mode(self) -> None:
        """Only what is trained is in training mode: frozen batch norms keep their statistics."""
        self.net.eval().requires_grad_(False)
        for name, module in self.net.named_children():
            if self._trains(f"{name}."):
                module.train()
        for value in self._trained:
            value.requires_grad_(True)

    def _step(self, groups: Sequence[Group], rng: np.random.Generator) -> float:
        settings = self.plan.settings
        labels = [self.sources[group.source].labels for group in groups]
        prompts = [prompted(g, own, settings, rng) for g, own in zip(groups, labels, strict=True)]
        inputs = torch.cat([self.inputs.get(group.source, group.rows, rng) for group in groups])
        with autocast(self.context.device, settings.precision):
            features = self._features(inputs).float()
        loss = self._loss(features, groups, prompts)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _features(self, inputs: Tensor) -> Tensor:
        if self.plan.part == "all":
            return self.net.features(inputs)
        return self.net.head(inputs) if self.plan.part == "head" else inputs

    def _loss(
        self, features: Tensor, groups: Sequence[Group], prompts: Sequence[Prompted]
    ) -> Tensor:
        """Mean absolute error over all queries of the step."""
        starts = np.cumsum([0, *(len(group.rows) for group in groups)])[:-1]
        errors = []
        for members in _by_prompt_size(prompts):
            queries = np.concatenate(
                [starts[i] + np.arange(len(prompts[i].target)) for i in members]
            )
            target = np.concatenate([prompts[i].target for i in members])
            scores = self._scores(features, queries, [prompts[i] for i in members], starts[members])
            errors.append((scores - self._tensor(target).float()).abs())
        return torch.cat(errors).mean()

    def _scores(
        self,
        features: Tensor,
        queries: npt.NDArray[np.intp],
        prompts: Sequence[Prompted],
        starts: npt.NDArray[np.intp],
    ) -> Tensor:
        net = self.net
        if not net.size.prompted:
            return net.score(features[self._tensor(queries)])
        image = np.concatenate([start + p.image for start, p in zip(starts, prompts, strict=True)])
        score = np.concatenate([prompt.score for prompt in prompts])
        offsets = np.cumsum([0, *(len(prompt.image) for prompt in prompts)])[:-1]
        gather = np.concatenate([at + p.gather for at, p in zip(offsets, prompts, strict=True)])
        pairs = net.encode_pairs(features[self._tensor(image)], self._tensor(score))
        requirement = net.fuse_prompt(pairs[self._tensor(gather)])
        return net.score(net.fuse_image(features[self._tensor(queries)], requirement))

    def _tensor(self, array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.context.device)

    # -- resuming ----------------------------------------------------------------------------------

    def _file(self) -> Path | None:
        scratch = self.context.scratch
        return scratch / f"promptiqa-{self.plan.purpose}.pt" if scratch else None

    def _identity(self) -> str:
        content = [
            self.context.seed,
            self.plan.settings.model_dump(mode="json"),
            [[s.name, list(s.images.names), s.labels.round(9).tolist()] for s in self.sources],
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _save(self, epoch: int) -> None:
        file = self._file()
        if file is None:
            return
        state = {
            "identity": self._identity(),
            "epoch": epoch,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = file.with_suffix(".tmp")
        with partial.open("wb") as stream:  # by its name, torch would not say that a disk is full
            torch.save(state, stream)
        partial.replace(file)

    def _resume(self) -> int:
        file = self._file()
        if file is None or not file.is_file():
            return 0
        state = torch.load(file, map_location=self.context.device, weights_only=True)
        if state["identity"] != self._identity():
            return 0
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.context.say(f"promptiqa: goes on after epoch {state['epoch']}")
        return int(state["epoch"])


def _by_prompt_size(prompts: Sequence[Prompted]) -> list[list[int]]:
    """Groups whose queries have equally many ISPs, and so fit into one tensor."""
    found: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        found.setdefault(prompt.gather.shape[1], []).append(index)
    return list(found.values())
