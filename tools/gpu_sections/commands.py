"""Sections that start other programs: the tests that need a GPU, and a whole protocol."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from bench.store import Store
from tools.gpu_sections import SectionFinding, Setup

REPEATS = 2
LINES = 30
"""Of a failed program's output."""


def tests(setup: Setup) -> SectionFinding:
    """`pytest -m gpu`."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rs", str(root / "tests" / "gpu")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    found = SectionFinding()
    lines = done.stdout.strip().splitlines()
    summary = lines[-1] if lines else "no output"
    found.add("tests marked gpu", re.sub(r" in .*", "", summary.strip("= ")))
    if done.returncode:
        found.failed = "tests failed"
        found.text = "\n".join((done.stdout + done.stderr).splitlines()[-LINES:])
    return found


def protocol(setup: Setup) -> SectionFinding:
    """Two repeats of the few-shot protocol on the demo's photographs."""
    methods, settings = "grmp,ridge,clip_zeroshot", ["grmp.pretraining=false"]
    labels = "labels=[50]"
    if setup.small:
        methods, settings, labels = "ridge", [], "labels=[20]"
    given = [f"backbone={setup.backbone}", labels, *settings]
    results = setup.folder / "results"
    command = [sys.executable, "-m", "bench", "run", "few_shot", "--datasets", "demo_authentic"]
    command += ["--methods", methods, "--repeats", str(REPEATS), "--results", str(results)]
    command += ["--device", setup.device, "--no-report"]
    command += [part for text in given for part in ("--set", text)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    found = SectionFinding()
    if done.returncode:
        found.failed = f"bench run ended with {done.returncode}"
        found.text = "\n".join((done.stdout + done.stderr).splitlines()[-LINES:])
        return found
    records = [record for record in Store(results).records() if record.status == "done"]
    found.add(f"{len(records)} runs through bench run", f"{took:.1f} s", "start and rendering too")
    for record in sorted(records, key=lambda one: (one.spec.method, one.spec.repeat)):
        seconds, memory = record.seconds, record.peak_memory_mb or 0
        value = f"fit {seconds['fit']:.2f} s, predict {seconds['predict']:.2f} s"
        beside = "; ".join([f"{memory:,.0f} MiB", record.environment.device, *record.notes])
        found.add(f"{record.spec.method} #{record.spec.repeat + 1}", value, beside)
    return found
