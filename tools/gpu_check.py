"""Everything that only a GPU can show, in one report: under eight minutes, nothing to download.

`python -m tools.gpu_check` (or `make gpu-check`) writes REPORT.md, with the device's name, to be
pasted into docs/performance.md, and REPORT.json beside it. Networks have random weights of the real
sizes, images are noise or the rendered demo.

tests     those marked `gpu`
speed     CLIP ViT-B/16 in every form, fine-tuning, PromptIQA, decoding; shares of the ceiling
fit       a whole few-shot fit of GRMP-IQA, its profile, and the same with nothing kept
steps     training of PromptIQA and of MP-IQE
protocol  two repeats of the few-shot protocol through `bench run`
drift     how far scores move under other arithmetic and under torch.compile

Each section is a process of its own with a limit of time; one that fails or is late is reported,
and the others go on. The exit code is 1 where one failed. `--device cpu --small` shows in a minute
that all of it works.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tools import command_line
from tools.gpu_sections import SectionFinding, Setup

LOG_LINES = 25
"""Of a failed section's output that the report shows."""
LONG_ENOUGH = 90.0
"""Least seconds of a section on a machine without the GPU that limits are made for."""


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    title: str
    seconds: float
    """Its limit."""
    where: str
    """MODULE.FUNCTION of `tools.gpu_sections`, imported in the section's own process."""

    @property
    def measure(self) -> Callable[[Setup], SectionFinding]:
        """What measures it."""
        module, _, function = self.where.rpartition(".")
        found: Callable[[Setup], SectionFinding] = getattr(
            import_module(f"tools.gpu_sections.{module}"), function
        )
        return found


SECTIONS = {
    "tests": Section("Tests marked gpu", 80, "commands.tests"),
    "speed": Section("Rates", 110, "speed.measure"),
    "fit": Section("A few-shot fit of GRMP-IQA", 110, "fits.grmp"),
    "steps": Section("Training steps", 50, "fits.steps"),
    "protocol": Section("A protocol through bench run", 70, "commands.protocol"),
    "drift": Section("Drift against float32", 50, "drift.measure"),
}
"""Their limits together are under eight minutes."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the report; 1 where a section failed."""
    parser = command_line("gpu_check", __doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="as little as shows that it works")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS))
    parser.add_argument("--report", type=Path, default=Path("gpu-check.md"))
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.section:
        return _measure(options.section, options)
    if options.device.startswith("cuda") and (reason := _no_gpu()):
        print(f"error: {reason}", file=sys.stderr)
        return 2
    report: dict[str, Any] = {"machine": machine(options.device), "sections": {}}
    for name in options.only:
        print(f"{name} ...", end=" ", flush=True)
        report["sections"][name] = found = run(name, options)
        print(f"{found['seconds']:.0f} s {found['failed']}".rstrip(), flush=True)
        # After each, so that a check that is broken off leaves what it has.
        _write(report, options.report)
    print(f"{options.report}, {options.report.with_suffix('.json')}")
    return int(any(found["failed"] for found in report["sections"].values()))


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A section in a process of its own: what it found, its seconds, and why it failed or ''."""
    limit = max(SECTIONS[name].seconds, LONG_ENOUGH) if options.small else SECTIONS[name].seconds
    with tempfile.TemporaryDirectory(prefix="iqa-bench-gpu-") as folder:
        command = [sys.executable, "-m", "tools.gpu_check", "--section", name]
        command += ["--device", options.device, "--folder", folder]
        command += ["--small"] if options.small else []
        start = time.perf_counter()
        failed, log = _watched(command, limit)
        taken = time.perf_counter() - start
        answer = Path(folder) / "found.json"
        found = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
    if failed and not found.get("text"):
        found["text"] = "\n".join(log.splitlines()[-LOG_LINES:])
    return {
        "rows": [],
        "text": "",
        **found,
        "failed": found.get("failed") or failed,
        "seconds": taken,
    }


def _watched(command: list[str], limit: float) -> tuple[str, str]:
    """Why a program failed, or '', and what it printed; killed with its children at the limit."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        log, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        log, _ = process.communicate()
        return f"killed at its limit of {limit:.0f} s", log
    return f"exit code {process.returncode}" if process.returncode else "", log


def _measure(name: str, options: argparse.Namespace) -> int:
    section = SECTIONS[name]
    setup = Setup(options.device, options.small, options.folder, section.seconds)
    found = section.measure(setup)
    text = json.dumps(asdict(found))
    (options.folder / "found.json").write_text(text, encoding="utf-8")
    return 0


def _no_gpu() -> str:
    """What to do on a machine whose torch sees no GPU; empty where it sees one."""
    import torch

    if torch.cuda.is_available():
        return ""
    built = torch.version.cuda or torch.version.hip
    why = "whose driver may be missing" if built else "a build for the CPU alone"
    return (
        f"no GPU is visible to this torch ({torch.__version__}, {why}). Run `make gpu-check` on a "
        "machine with one and paste gpu-check.md into docs/performance.md. Here, `python -m "
        "tools.gpu_check --device cpu --small` shows that the check itself works"
    )


def machine(device: str) -> dict[str, Any]:
    """What the numbers are of."""
    from bench.cli import machine as speed
    from bench.cli.machine.timing import Effort

    return {**speed.machine(Effort(device)), "time": time.strftime("%Y-%m-%d")}


def _write(report: dict[str, Any], path: Path) -> None:
    path.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    path.write_text(markdown(report), encoding="utf-8")


def markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    known, sections = report["machine"], report["sections"]
    packages = ", ".join(f"{name} {version}" for name, version in known["packages"].items())
    total = sum(found["seconds"] for found in sections.values())
    lines = [
        f"# GPU check: {known['device']}",
        "",
        f"{known['time']}, {known['processor']}, {known['cores']} cores, Python {known['python']}, "
        f"{packages}; commit {known['commit'] or 'unknown'}; {total:.0f} s in all.",
    ]
    for name, found in sections.items():
        failed = f" **Failed: {found['failed']}.**" if found["failed"] else ""
        lines += ["", f"## {SECTIONS[name].title}", "", f"{found['seconds']:.0f} s.{failed}"]
        if found["rows"]:
            lines += ["", "| what | | |", "| --- | --- | --- |", *map(_row, found["rows"])]
        if found["text"]:
            lines += ["", "```", found["text"], "```"]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
