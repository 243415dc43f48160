"""`bench speed`: what this machine does in a second, in a few minutes.

Each line is the best of several rounds, by the clock: other work on the machine lengthens rounds,
nothing shortens them. On a machine that others keep busy, `--cpu-time` counts what one thread of
this process itself spends. Networks have random weights of the real sizes: nothing is downloaded.
The share, on a GPU, is the arithmetic that a network needs, as torch counts it, over the same
time's worth of the fastest matrix product that was measured in between in the same precision.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.machine.timing import Effort, Timing
from bench.util.environment import cores, environment

if TYPE_CHECKING:
    from rich.console import Console


def measure(effort: Effort, folder: Path) -> Iterator[Timing]:
    """All lines, as they are measured; `folder` takes files of some 20 MB."""
    from bench.cli.machine import work

    yield from work.images(effort, folder)
    yield from of_networks(effort)
    yield from work.statistics(effort)
    yield work.report(effort, folder)


def of_networks(effort: Effort) -> Iterator[Timing]:
    """The networks, on a GPU after the ceiling and with their shares of it.

    A processor has none that torch could show: its convolutions and its matrix product come from
    different libraries, of which one may be half as quick again as the other.
    """
    from bench.cli.machine import networks

    if not effort.gpu:
        for task in networks.TASKS:
            yield from task(effort)
        return
    # Before and after each: on a busy machine a single look at the ceiling may come out too low.
    ceilings, lines = [networks.ceiling(effort)], []
    for task in networks.TASKS:
        for line in task(effort):
            lines.append(line)
            ceilings.append(networks.ceiling(effort))
    best = max(ceilings, key=lambda line: line.rate)
    yield best
    for line in lines:
        share = None if line.gflop is None else line.rate * line.gflop / (best.rate * 1e3)
        yield replace(line, share=share)


def machine(effort: Effort) -> dict[str, Any]:
    """What was measured: the processor, the device, how many threads, which versions."""
    import torch

    found = environment(effort.device)
    return {
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": found.device if effort.gpu else "cpu",
        "precision": "bfloat16" if effort.gpu else "float32",
        "clock": "process time" if effort.cpu_time else "wall time",
        "rounds": effort.rounds,
        "platform": found.platform,
        "python": found.python,
        "packages": found.packages,
        "commit": found.commit,
    }


def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def run(chosen: Effort, as_json: bool, console: Console) -> int:
    """Measure and print: a line at a time, or all of it as JSON at the end."""
    import tempfile

    import torch

    if chosen.cpu_time:
        torch.set_num_threads(1)
    known = machine(chosen)
    if not as_json:
        console.print(_heading(known), markup=False, highlight=False)
    found = []
    with tempfile.TemporaryDirectory(prefix="iqa-bench-speed-") as folder:
        for line in measure(chosen, Path(folder)):
            found.append(line)
            if not as_json:
                console.print(text(line), markup=False, highlight=False, soft_wrap=True)
    if as_json:
        measures = [asdict(line) for line in found]
        print(json.dumps({"machine": known, "measures": measures}, indent=1))
    return 0


def text(line: Timing) -> str:
    """One line for people."""
    share = "" if line.share is None else f"  {100 * line.share:5.1f} % of the ceiling"
    return f"{line.name:34} {_number(line.rate):>9} {line.unit:24}{share}".rstrip()


def _number(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    return f"{value:,.{digits}f}"


def _heading(known: dict[str, Any]) -> str:
    return (
        f"{known['processor']}, {known['cores']} cores, {known['threads']} threads; networks on "
        f"{known['device']} in {known['precision']}, torch {known['packages'].get('torch', '')}"
    )
