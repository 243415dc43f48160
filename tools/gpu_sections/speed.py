"""Rates of networks and of decoding, with shares of the measured matrix product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from bench.backbones import load
from bench.cli import machine
from bench.cli.machine import networks, work
from bench.cli.machine.timing import Effort, Timing
from tools.gpu_sections import SectionFinding, Setup

TARGET = 0.5
"""Of the ceiling, for frozen ViT-B/16 in bfloat16."""
LEAST = Effort(seconds=0.0, rounds=1, inference=2, training=1, images=2, matmul=64)
SHORT = Effort(seconds=2.0, rounds=2, inference=256, training=64)


def measure(setup: Setup) -> SectionFinding:
    """The lines of `bench speed`, with the best share of frozen inference against its target."""
    found = SectionFinding()
    lines = list(_small(setup) if setup.small else _whole(setup))
    for line in lines:
        share = "" if line.share is None else f"{100 * line.share:.1f} % of the ceiling"
        found.add(line.name, f"{line.rate:,.1f} {line.unit}", share)
    shares = [line.share for line in lines if line.share is not None and "inference" in line.name]
    if shares:
        best = max(shares)
        verdict = "met" if best >= TARGET else "missed"
        found.add("best form of frozen ViT-B/16", f"{100 * best:.1f} %", f"target 50 %: {verdict}")
    return found


def _whole(setup: Setup) -> Iterator[Timing]:
    effort = replace(SHORT, device=setup.device)
    yield from machine.of_networks(effort)
    yield from work.images(effort, setup.folder)


def _small(setup: Setup) -> Iterator[Timing]:
    effort = replace(LEAST, device=setup.device)
    yield networks.ceiling(effort)
    yield from networks.clip(effort, setup.backbone)
    loaded = load(setup.backbone, setup.device)
    pixels = torch.zeros(2, loaded.info.image_size, loaded.info.image_size, 3, dtype=torch.uint8)
    # A compiler that translates nothing: what is tested is the way there.
    yield from networks.forms(loaded.model.visual, pixels, effort, compiler="eager")
    yield from work.images(effort, setup.folder)
