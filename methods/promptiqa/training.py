"""Training on a mixture of datasets, and fine-tuning on one, by the same steps."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial

import torch
from torch import Tensor

from bench.api import Context, Epoch
from bench.methods.kit import optimisers, schedules
from bench.methods.kit.devices import autocast
from bench.methods.kit.schedules import Schedule
from bench.methods.kit.trainer import Trainer
from bench.methods.promptiqa.encoder import EncoderInfo
from bench.methods.promptiqa.groups import PromptGroup, plan_epoch, prompted
from bench.methods.promptiqa.mixture import Inputs, Mask, MixtureSource, Part, PromptTrainingPlan
from bench.methods.promptiqa.model import PromptIQANet
from bench.methods.promptiqa.settings import PromptiqaTrainingSettings
from bench.methods.promptiqa.steps import GroupLoss, GroupMember

FUSION = ("i_p_fusion.", "mlp.", "prompt_fusion.", "blocks.", "norm.", "score_block.")


def schedule(plan: PromptTrainingPlan) -> Schedule:
    """The rate of every epoch."""
    kind, period = plan.settings.schedule, plan.settings.schedule_period
    factor = {
        "constant": schedules.constant,
        "cosine": schedules.cosine(plan.epochs),
        "cosine_restarts": schedules.restarts(period),
        "cosine_wave": schedules.waves(period),
    }[kind]
    return Schedule(plan.lr, plan.epochs, factor)


def optimiser(
    net: PromptIQANet, lr: float, settings: PromptiqaTrainingSettings
) -> torch.optim.Optimizer:
    """Adam over what is trained; its decay is an L2 penalty, added to the gradient."""
    return optimisers.build("adam", net.named_parameters(), lr, settings.weight_decay)


def trains(part: Part, name: str) -> bool:
    """Whether a parameter, or all of a module called `name.`, is trained."""
    if part == "all":
        return True
    return name.startswith(FUSION) if part == "fusion" else not name.startswith("vit.")


class PromptTraining:
    """Runs a plan; a killed pre-training continues from the last epoch in the scratch folder."""

    def __init__(
        self,
        net: PromptIQANet,
        info: EncoderInfo,
        sources: Sequence[MixtureSource],
        plan: PromptTrainingPlan,
        context: Context,
    ) -> None:
        self.net, self.sources, self.plan, self.context = net, sources, plan, context
        self.inputs = Inputs(net, info, sources, plan, context)

    def run(self) -> Generator[Epoch, float | None, None]:
        """Train, yielding after each epoch."""
        for name, value in self.net.named_parameters():
            value.requires_grad_(trains(self.plan.part, name))
        trainer = Trainer(
            self.net,
            optimiser(self.net, self.plan.lr, self.plan.settings),
            schedule(self.plan),
            self._steps,
            GroupLoss(self.net),
            self.context,
            train_mode=self._train_mode,
            name=self.plan.purpose,
            identity=self._identity(),
        )
        yield from trainer.run()
        self.net.requires_grad_(False)

    def _train_mode(self) -> None:
        """Only what is trained is in training mode: frozen batch norms keep their statistics."""
        # Parts that are not trained stay in evaluation mode, batch norms and dropout included.
        self.net.eval()
        for name, module in self.net.named_children():
            if trains(self.plan.part, f"{name}."):
                module.train()

    def _steps(self, epoch: int) -> list[list[GroupMember]]:
        """The groups of every step, their prompts and mirrored images drawn."""
        settings = self.plan.settings
        rng = self.context.rng(self.plan.purpose, "epoch", epoch)
        steps = plan_epoch([len(source.labels) for source in self.sources], settings, rng)
        return [
            [
                GroupMember(
                    partial(self._features, group, self.inputs.mirrored(len(group.rows), rng)),
                    prompted(group, self.sources[group.source].labels, settings, rng),
                )
                for group in groups
            ]
            for groups in steps
        ]

    def _features(self, group: PromptGroup, mirrored: Mask) -> Tensor:
        inputs = self.inputs.get(group.source, group.rows, mirrored)
        with autocast(self.context.device, self.plan.settings.precision):
            if self.plan.part == "all":
                return self.net.features(inputs)
            return self.net.head(inputs) if self.plan.part == "head" else inputs

    def _identity(self) -> list[object]:
        return [
            self.plan.settings.model_dump(mode="json"),
            [[s.name, list(s.images.names), s.labels.round(9).tolist()] for s in self.sources],
        ]
