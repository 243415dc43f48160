"""PromptIQA's training steps against the authors' own loop (`promptiqa_steps`, `_two_sets`).

A step is the method's: `prompted` makes its labels and prompts from the case's draws, `GroupLoss`
the loss, `optimiser` and the kit's trainer the update. In float64 every number must agree to 1e-6;
a second run in float32 is held to what two float32 runs of the authors' class differ by.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.api import Context
from bench.methods.kit.schedules import Schedule
from bench.methods.kit.trainer import At, Gradients, Trainer
from bench.methods.promptiqa.encoder import TapTransformer
from bench.methods.promptiqa.groups import Prompted, PromptGroup, prompted
from bench.methods.promptiqa.model import ModelSize, PromptIQANet
from bench.methods.promptiqa.settings import PromptIQASettings
from bench.methods.promptiqa.steps import GroupLoss, GroupMember
from bench.methods.promptiqa.training import optimiser
from tests.golden import Comparison, recipe
from tests.golden.inputs import Drawn, refuse

EXACT = 1e-6
"""Of the float64 run, absolute or in the units of `Probe.compare`."""
EMPTY = 1e-13
"""A gradient that is 0 in exact arithmetic."""
Case = dict[str, Any]


def network(case: Case, dtype: torch.dtype) -> PromptIQANet:
    """The case's network on recipe weights, in training mode."""
    sizes, norm = case["sizes"], case["batch_norm"]
    *maps, opinions = sizes["mal_maps"]
    width, depth = sizes["width"], sizes["vit_depth"]
    encoder = TapTransformer(
        sizes["image_size"],
        sizes["patch"],
        width,
        depth,
        sizes["vit_heads"],
        maps[0],
        sizes["vit_mlp_ratio"],
    )
    size = ModelSize(
        taps=maps[0],
        tap_width=width,
        width=width,
        grid=sizes["grid"],
        opinions=opinions,
        visual_heads=sizes["visual_heads"],
        channels=tuple(sizes["cnn_channels"]),
        kernels=tuple(sizes["cnn_kernels"]),
        pools=tuple(sizes["cnn_pools"]),
        heads=sizes["feature_heads"],
        prompt_depth=sizes["prompt_depth"],
        ispp_depth=sizes["ispp_depth"],
        fusion_depth=sizes["fusion_depth"],
        dropout=sizes["dropout"],
    )
    net = PromptIQANet(encoder, size)
    refuse(sizes, feature=size.feature, dropout=0.0)
    salt = case["weights_salt"]
    state = {
        name: torch.from_numpy(np.asarray(recipe.tensor(name, tuple(value.shape), salt=salt)))
        for name, value in net.state_dict().items()
    }
    net.load_state_dict(state)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum, module.eps = norm["momentum"], norm["eps"]
    return net.to(dtype).train()


@dataclass(frozen=True)
class Outcome:
    """What a group gave before its step was taken."""

    loss: float
    scores: Tensor
    prompt: Prompted


@dataclass
class Trace:
    """What one run of a case's steps leaves to compare."""

    outcomes: list[list[Outcome]] = field(default_factory=list)
    """Step by step, rank by rank."""
    gradients: dict[str, Tensor] = field(default_factory=dict)
    """Of the first step."""
    moved: list[dict[str, Tensor]] = field(default_factory=list)
    """Weights minus their start, after each step."""
    statistics: list[list[dict[str, Tensor]]] = field(default_factory=list)
    """Step by step, rank by rank: batch norm's buffers."""
    after: Tensor = field(default_factory=lambda: torch.empty(0))


class Recorded(GroupLoss):
    """The method's loss, with what every group gave."""

    def __init__(self, net: PromptIQANet) -> None:
        super().__init__(net)
        self.seen: list[Outcome] = []

    def scores(self, member: GroupMember) -> Tensor:
        """The method's, remembered with their error."""
        scores = super().scores(member)
        found = scores.detach()
        target = torch.from_numpy(member.prompt.target)
        self.seen.append(Outcome(float((found - target).abs().mean()), found, member.prompt))
        return scores


def run(case: Case, ranks: Sequence[Sequence[Case]], dtype: torch.dtype) -> Trace:
    """All steps of a case; `ranks[r][step]` is what device r was given."""
    net, settings, trace = network(case, dtype), _settings(case), Trace()
    start = {name: value.detach().clone() for name, value in net.named_parameters()}
    adam = optimiser(net, settings.lr, settings)
    for group in adam.param_groups:
        group["betas"], group["eps"] = tuple(case["optimizer"]["betas"]), case["optimizer"]["eps"]

    def first(found: list[Gradients]) -> tuple[Gradients, dict[str, float]]:
        for name, gradient in zip(start, found[0], strict=True):
            like = torch.zeros_like(start[name])
            trace.gradients.setdefault(name, like if gradient is None else gradient.clone())
        return found[0], {}

    loss, rates = Recorded(net), Schedule(settings.lr, 1)
    trainer = Trainer(net, adam, rates, lambda _: [], loss, Context(), combine=first)
    for number, parts in enumerate(zip(*ranks, strict=True)):
        images = [torch.from_numpy(recipe.images(**part["images"])).to(dtype) for part in parts]
        prompts = [_prompted(part, settings) for part in parts]
        pairs = list(zip(images, prompts, strict=True))
        others = [_alone(net, *pair) for pair in pairs[1:]]
        trainer.step([GroupMember(partial(net.features, x), p) for x, p in pairs], At(0, number))
        trace.outcomes.append(loss.seen)
        loss.seen = []
        trace.moved.append({n: v.detach() - start[n] for n, v in net.named_parameters()})
        trace.statistics.append([_statistics(net), *others])
    if "after" in case:
        trace.after = _after(net.eval(), case["after"], dtype)
    return trace


@dataclass(frozen=True)
class Probe:
    """What a tensor's entries are summed with, so that one number tells of all of them."""

    values: Tensor
    size: float
    """Root mean square."""

    @classmethod
    def of(cls, name: str, like: Tensor) -> Probe:
        """The probe of the tensor called `name`."""
        drawn = np.asarray(recipe.tensor(f"probe.{name}", tuple(like.shape)))
        values = torch.from_numpy(drawn).double()
        return cls(values, float(values.square().mean().sqrt()))

    def compare(
        self,
        entry: str,
        expected: Sequence[float],
        actual: Tensor,
        tolerance: float,
        floor: float = 0.0,
    ) -> list[Comparison]:
        """Norm and dot product: the one relative to itself, the other to norm times `size`.

        Below `floor` a norm says nothing.
        """
        norm, dot = expected
        actual = actual.double()
        wide = max(tolerance * norm, floor)
        return [
            Comparison(f"{entry}/norm", norm, float(actual.norm()), wide),
            Comparison(f"{entry}/dot", dot, self.dot(actual), wide * self.size),
        ]

    def dot(self, actual: Tensor) -> float:
        """Sum of products with the probe."""
        return float((actual.double() * self.values).sum())


def check(case: Case) -> list[Comparison]:
    """Every number of a `promptiqa_steps` case."""
    return check_ranks(case, [case["steps"]], [case["running_statistics"]], ["steps"])


def check_ranks(
    case: Case,
    ranks: Sequence[Sequence[Case]],
    statistics: Sequence[Case],
    names: Sequence[str],
) -> list[Comparison]:
    """All numbers of a case with a group and statistics a device, called `names`."""
    exact, single = (run(case, ranks, dtype) for dtype in (torch.float64, torch.float32))
    found = [
        *_tensors(case, exact),
        *listed(
            "after/scores", case.get("after", {}).get("scores", []), exact.after.tolist(), EXACT
        ),
        *_single_tensors(case, single),
    ]
    for rank, (steps, name) in enumerate(zip(ranks, names, strict=True)):
        for number, step in enumerate(steps):
            entry = f"{name}/{number}"
            outcome = exact.outcomes[number][rank]
            found += _prompts(entry, case, step, outcome.prompt)
            found.append(Comparison(f"{entry}/loss", step["loss"], outcome.loss, EXACT))
            scores = outcome.scores.tolist()
            found += listed(f"{entry}/predictions", step["predictions"], scores, EXACT)
        first = single.outcomes[0][rank].loss
        found.append(Comparison(f"float32/{name}/0/loss", steps[0]["loss"], first, 1e-5))
        left = [step[rank] for step in exact.statistics]
        found += _running(f"running_statistics/{name}", statistics[rank], left)
    return found


def listed(
    entry: str, expected: Sequence[float], actual: Sequence[float], tolerance: float
) -> list[Comparison]:
    """One comparison a number; another length counts as wrong."""
    if len(expected) != len(actual):
        return [Comparison(f"{entry}/length", len(expected), float("nan"), tolerance)]
    pairs = enumerate(zip(expected, actual, strict=True))
    return [Comparison(f"{entry}/{index}", a, b, tolerance) for index, (a, b) in pairs]


def _prompts(entry: str, case: Case, step: Case, ours: Prompted) -> list[Comparison]:
    """That labels are scaled and flipped alike, and prompts hold the same items."""
    found = [
        *listed(f"{entry}/scores", step["scores"], ours.target.tolist(), EXACT),
        *listed(f"{entry}/labels", _transformed(step), ours.target.tolist(), EXACT),
    ]
    items = step.get("items", case["items"])
    if len(items) != len(ours.target):  # those of a group of another size
        everything = range(len(ours.target))
        items = [{"query": i, "prompts": [j for j in everything if j != i]} for i in everything]
    for item in items:
        query = item["query"]
        gathered = ours.gather[query]
        shown = ours.image[gathered].tolist()
        found += listed(f"{entry}/items/{query}", item["prompts"], shown, EXACT)
        scores = [step["scores"][index] for index in item["prompts"]]
        found += listed(
            f"{entry}/items/{query}/scores", scores, ours.score[gathered].tolist(), EXACT
        )
    return found


def _transformed(step: Case) -> list[float]:
    """The raw labels as the case says that they were scaled and flipped."""
    scaled = np.array(step["raw_labels"]) / (step["divisor"] or 1.0)
    return (1 - scaled if step["flipped"] else scaled).tolist()


def _columns(case: Case, row: Sequence[float], *names: str) -> list[float]:
    return [row[case["columns"].index(name)] for name in names]


def _steps(case: Case) -> int:
    return sum(name.startswith("delta_norm_") for name in case["columns"])


def _tensors(case: Case, trace: Trace) -> list[Comparison]:
    """First gradients and the way of every weight, in float64."""
    different = set(case["tensors"]) ^ set(trace.gradients)
    found = [Comparison(f"tensors/{name}", 1.0, float("nan"), EXACT) for name in different]
    for name, row in case["tensors"].items():
        if name in different:
            continue
        gradient = trace.gradients[name]
        probe, entry = Probe.of(name, gradient), f"tensors/{name}"
        if name in case["zero_gradient"]:
            found.append(Comparison(f"{entry}/grad", 0.0, float(gradient.norm()), EMPTY))
        else:
            expected = _columns(case, row, "grad_norm", "grad_dot")
            found += probe.compare(f"{entry}/grad", expected, gradient, EXACT)
        for step in range(1, _steps(case) + 1):
            expected = _columns(case, row, f"delta_norm_{step}", f"delta_dot_{step}")
            moved = trace.moved[step - 1][name]
            floor = step * _stray(case) if name in case["zero_gradient"] else 0.0
            found += probe.compare(f"{entry}/delta_{step}", expected, moved, EXACT, floor)
    return found


def _stray(case: Case) -> float:
    """How far a step of Adam can take an entry whose gradient is 0 but for rounding."""
    return case["optimizer"]["lr"] * EMPTY / case["optimizer"]["eps"]


def _single_tensors(case: Case, trace: Trace) -> list[Comparison]:
    """The float32 run: gradients one by one, the ways of weights by median and 90th percentile.

    Adam's first steps are nearly signs, so that entries with tiny gradients go either way.
    """
    found, errors = [], [list[float]() for _ in range(_steps(case))]
    for name, row in case["tensors"].items():
        if name not in trace.gradients:
            continue
        probe = Probe.of(name, trace.gradients[name])
        if name not in case["zero_gradient"]:
            norm, dot, noise = _columns(case, row, "grad_norm", "grad_dot", "noise32_grad")
            found += probe.compare(
                f"float32/{name}/grad", [norm, dot], trace.gradients[name], 5 * (noise + 1e-4)
            )
        for step, moved in enumerate(trace.moved[: len(errors)]):
            if name in case["zero_gradient"] and not case["optimizer"]["weight_decay"]:
                continue  # rounding alone moves it
            norm, dot = _columns(case, row, f"delta_norm_{step + 1}", f"delta_dot_{step + 1}")
            errors[step].append(abs(probe.dot(moved[name]) - dot) / (norm * probe.size))
    for step, values in enumerate(errors, start=1):
        entry, ranked = f"float32/delta_dot_{step}", np.array(values)
        found.append(Comparison(f"{entry}/median", 0.0, float(np.median(ranked)), 0.02))
        found.append(Comparison(f"{entry}/90 %", 0.0, float(np.quantile(ranked, 0.9)), 0.1))
    return found


def _running(entry: str, expected: Case, trace: Sequence[Mapping[str, Tensor]]) -> list[Comparison]:
    """Batch norm's buffers after every step."""
    found = []
    for name, values in expected.items():
        for step, left in enumerate(trace):
            where = f"{entry}/{name}/{step}"
            if name.endswith("num_batches_tracked"):
                found.append(Comparison(where, values[step], float(left[name]), EXACT))
                continue
            pair = [values["norm"][step], values["dot"][step]]
            found += Probe.of(name, left[name]).compare(where, pair, left[name], EXACT)
    return found


def _settings(case: Case) -> PromptIQASettings:
    rates, optimizer = case["rates"], case["optimizer"]
    refuse(optimizer, name="Adam")
    values = {
        "recipe": "official",
        "scaling_probability": rates["scaling"],
        "flipping_probability": rates["flipping"],
        "lr": optimizer["lr"],
        "weight_decay": optimizer["weight_decay"],
    }
    return PromptIQASettings.model_validate(values)


def _alone(net: PromptIQANet, images: Tensor, prompt: Prompted) -> dict[str, Tensor]:
    """The running statistics that a further device's group leaves there."""
    other = copy.deepcopy(net)
    with torch.no_grad():
        GroupLoss(other)([GroupMember(partial(other.features, images), prompt)], At(0, 0))
    return _statistics(other)


def _prompted(part: Case, settings: PromptIQASettings) -> Prompted:
    gates = part["draws"]
    scales = gates["scale_gate"] < settings.scaling_probability
    draws = [gates["scale_gate"], *([gates["scale_u"]] if scales else []), gates["flip_gate"]]
    rows = np.arange(part["images"]["n"])
    group = PromptGroup(0, rows, rows[:0])
    return prompted(group, np.array(part["raw_labels"]), settings, Drawn(draws))


def _statistics(net: PromptIQANet) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.named_buffers()}


def _after(net: PromptIQANet, after: Case, dtype: torch.dtype) -> Tensor:
    prompt, queries = (
        torch.from_numpy(recipe.images(**after[key])).to(dtype)
        for key in ("prompt_images", "query_images")
    )
    with torch.no_grad():
        return net(queries, prompt, torch.tensor(after["prompt_scores"], dtype=dtype))
