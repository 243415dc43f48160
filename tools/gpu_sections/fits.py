"""A whole few-shot fit of GRMP-IQA, and training steps of PromptIQA and MP-IQE."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.profiler import ProfilerActivity, profile

from bench.api import Context, Epoch, LabelledSet
from bench.cli.machine.networks import random_network
from bench.methods.grmp.reuse import Reuse
from bench.methods.mpiqe.class_names import DISTORTIONS, SCENES
from bench.methods.mpiqe.method import MPIQE
from bench.methods.mpiqe.settings import MPIQESettings
from bench.methods.promptiqa.mixture import MixtureSource, PromptTrainingPlan
from bench.methods.promptiqa.model import ModelSize
from bench.methods.promptiqa.network import Network
from bench.methods.promptiqa.settings import PromptIQASettings
from bench.methods.promptiqa.training import PromptTraining
from bench.model.images import ArrayImages
from tools.gpu_sections import SectionFinding, Setup
from tools.grmp_cost import BASE, KONIQ_TEST, engine_of, labelled, noise, now, side_of

TARGET = 5.0
"""How many times faster than computing everything."""
EVERY = 5
SHOWN = 12
"""Rows of the profile."""
SHARE = 0.55
"""Of the section's time that computing everything may take; then the rest is scaled up."""


@dataclass(frozen=True)
class Fit:
    """The seconds of a fit."""

    training: float
    scoring: float
    epochs: int

    def scaled(self, epochs: int) -> float:
        """Seconds of all of it."""
        return (self.training + self.scoring) * epochs / self.epochs


def grmp(setup: Setup) -> SectionFinding:
    """50 labels, a test set of KonIQ's size every five epochs, random ViT-B/16."""
    labels, epochs, tested = (6, 5, 8) if setup.small else (50, 200, KONIQ_TEST)
    options = argparse.Namespace(backbone=setup.backbone, device=setup.device, batch=64)
    side = side_of(setup.backbone)
    train, test = labelled(noise(labels, side)), noise(tested, side)
    found = SectionFinding()
    kept = _fit(options, Reuse(), train, test, epochs, float("inf"))
    all_of_it = _fit(options, BASE, train, test, epochs, SHARE * setup.seconds)
    ours, plain = kept.scaled(epochs), all_of_it.scaled(epochs)
    what = f"{labels} labels, {epochs} epochs, {tested:,} test images every {EVERY}"
    split = f"{kept.training:.2f} s training, {kept.scoring:.2f} s scoring"
    found.add(f"few-shot fit, {what}", f"{ours:.2f} s", split)
    scaled = "" if all_of_it.epochs == epochs else f"scaled from {all_of_it.epochs} epochs"
    found.add("the same, everything computed every time", f"{plain:.2f} s", scaled)
    verdict = "met" if plain / ours >= TARGET else "missed"
    found.add("how many times faster", f"{plain / ours:.1f}", f"target {TARGET:g}: {verdict}")
    found.text = _profiled(options, train, test, setup)
    return found


def _fit(
    options: argparse.Namespace,
    reuse: Reuse,
    train: LabelledSet,
    test: ArrayImages,
    epochs: int,
    limit: float,
) -> Fit:
    engine = engine_of(reuse, options, epochs=epochs, warmup_epochs=1)
    training = scoring = 0.0
    start = now()
    for number, _ in enumerate(engine.fit(train), start=1):
        training += now() - start
        start = now()
        if number % EVERY == 0:
            engine.score(test)
            scoring += now() - start
            if training + scoring > limit:
                return Fit(training, scoring, number)
            start = now()
    return Fit(training, scoring, epochs)


def _profiled(
    options: argparse.Namespace, train: LabelledSet, test: ArrayImages, setup: Setup
) -> str:
    """Where the time of some epochs and of one later evaluation goes, by operator."""
    engine = engine_of(Reuse(), options, epochs=3, warmup_epochs=1)
    engine.score(test.subset(range(min(len(test), 64))))
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if setup.gpu else [])]
    with profile(activities=kinds) as seen:
        for _ in engine.fit(train):
            pass
        engine.score(test.subset(range(min(len(test), 256))))
    key = "self_cuda_time_total" if setup.gpu else "self_cpu_time_total"
    table: str = seen.key_averages().table(sort_by=key, row_limit=SHOWN, max_name_column_width=40)
    return "\n".join(line.rstrip() for line in table.splitlines())


def steps(setup: Setup) -> SectionFinding:
    """Images a second in a second epoch of training: the first sets libraries up."""
    found = SectionFinding()
    images = 11 if setup.small else 132
    seconds = _second_epoch(_promptiqa(setup, images))
    found.add(
        "PromptIQA, training of all weights (66 images a step)", f"{images / seconds:,.1f} images/s"
    )
    images = 4 if setup.small else 32
    seconds = _second_epoch(_mpiqe(setup, images))
    found.add("MP-IQE, training (8 crops an image)", f"{8 * images / seconds:,.1f} crops/s")
    return found


def _second_epoch(epochs: Iterator[Epoch]) -> float:
    next(epochs)
    start = now()
    next(epochs)
    return now() - start


def _promptiqa(setup: Setup, images: int) -> Iterator[Epoch]:
    given: dict[str, object] = {"corpora": ("noise",), "precision": "bf16"}
    context = Context(device=setup.device)
    if setup.small:
        settings = PromptIQASettings.model_validate({**given, "backbone": "tiny"})
        network = Network(settings, context)
        net, info = network.net, network.info
    else:
        settings = PromptIQASettings.model_validate(given)
        net, info = random_network(ModelSize())
        net.to(setup.device)
    source = MixtureSource("noise", noise(images, info.image_size), np.linspace(0, 1, images))
    plan = PromptTrainingPlan("pretrain", "all", 2, settings.lr, settings)
    return PromptTraining(net, info, [source], plan, context).run()


def _mpiqe(setup: Setup, images: int) -> Iterator[Epoch]:
    settings = MPIQESettings.model_validate({"backbone": setup.backbone, "epochs": 2})
    method = MPIQE(settings, Context(device=setup.device))
    return method.fit(_annotated(images))


def _annotated(count: int) -> LabelledSet:
    """Noise with scenes and distortions in turn."""
    nothing = (None,) * count

    def names(known: Sequence[str]) -> tuple[str, ...]:
        return tuple(known[place % len(known)] for place in range(count))

    scores = np.linspace(0, 1, count)
    images = noise(count, 384)
    scenes, distortions = names(SCENES), names(DISTORTIONS)
    return LabelledSet(
        "noise", images, scores, nothing, distortions, nothing, scenes, ("noise",) * count
    )
