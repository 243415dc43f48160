"""A stand-in for Slurm: `sbatch`, `srun`, `sacct`, `scancel` and `scontrol` as scripts on the PATH.

It reads the batch script as Slurm does (an array with its limit), runs each element as a process of
its own session with the variables that Slurm sets, and answers `sacct` in its format. What it knows
lies in the folder `SLURM_STAND_IN`: `JOB.sh` (the script), `JOB.state` and
`JOB.pid` for each element. An element whose name is in the file `fail` dies as on a broken node.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel", "scontrol")


def install(folder: Path) -> dict[str, str]:
    """Write the scripts; returns the environment in which they are Slurm."""
    scripts = folder / "bin"
    scripts.mkdir(parents=True)
    for name in COMMANDS:
        script = scripts / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        script.chmod(0o755)
    return {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "SLURM_STAND_IN": str(folder)}


def main(command: str, arguments: list[str]) -> int:
    folder = Path(os.environ["SLURM_STAND_IN"])
    return {
        "sbatch": _sbatch,
        "srun": _srun,
        "sacct": _sacct,
        "scancel": _scancel,
        "scontrol": lambda *_: 0,
        "controller": _controller,
    }[command](folder, arguments)


def _sbatch(folder: Path, arguments: list[str]) -> int:
    text = Path(arguments[-1]).read_text()
    number = 100 + len(list(folder.glob("*.sh")))
    (folder / f"{number}.sh").write_text(text)
    for name in _elements(number, text):
        (folder / f"{name}.state").write_text("PENDING")
    subprocess.Popen(
        [sys.executable, __file__, "controller", str(number)],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    print(f"Submitted batch job {number}")
    return 0


def _elements(number: int, text: str) -> list[str]:
    found = re.search(r"--array=0-(\d+)", text)
    return [f"{number}_{i}" for i in range(int(found[1]) + 1)] if found else [str(number)]


def _controller(folder: Path, arguments: list[str]) -> int:
    """Starts elements as the array's limit allows, and notes their ends."""
    number = int(arguments[0])
    text = (folder / f"{number}.sh").read_text()
    limit = re.search(r"--array=\S*%(\d+)", text)
    waiting = _elements(number, text)
    running: dict[str, subprocess.Popen[bytes]] = {}
    while waiting or running:
        while waiting and len(running) < (int(limit[1]) if limit else 1):
            name = waiting.pop(0)
            if (folder / f"{name}.state").read_text() == "PENDING":
                running[name] = _start(folder, number, name)
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                code = process.returncode
                end = "COMPLETED" if code == 0 else "NODE_FAIL" if code < 0 else "FAILED"
                if (folder / f"{name}.state").read_text() == "RUNNING":
                    (folder / f"{name}.state").write_text(end)
        time.sleep(0.1)
    return 0


def _start(folder: Path, number: int, name: str) -> subprocess.Popen[bytes]:
    index = name.partition("_")[2]
    array = {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": index} if index else {}
    variables = {
        "SLURM_JOB_ID": str(number + 1000 * int(index or 0)),
        "SLURM_NTASKS": "1",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_CPUS_PER_TASK": "3",
    }
    (folder / f"{name}.state").write_text("RUNNING")
    process = subprocess.Popen(
        ["bash", str(folder / f"{number}.sh")],
        env={**os.environ, **variables, **array},
        start_new_session=True,
    )
    (folder / f"{name}.pid").write_text(str(process.pid))
    return process


def _srun(folder: Path, arguments: list[str]) -> int:
    """Runs a command with its output where the options say."""
    name = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        name = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    streams: dict[str, Path] = {}
    while arguments and arguments[0].startswith("--"):
        option = arguments.pop(0)
        if option in ("--output", "--error"):
            path = arguments.pop(0).replace("%A_%a", name).replace("%j", name).replace("%t", "0")
            streams[option] = Path(path)
    failing = folder / "fail"
    if failing.exists() and name in failing.read_text().split():
        time.sleep(1)  # the node breaks when work has begun
        os.killpg(os.getpgrp(), signal.SIGKILL)
    with streams["--output"].open("ab") as output, streams["--error"].open("ab") as error:
        return subprocess.run(arguments, stdout=output, stderr=error, check=False).returncode


def _sacct(folder: Path, arguments: list[str]) -> int:
    wanted = [after for before, after in itertools.pairwise(arguments) if before == "-j"]
    print("JobID|State|NodeList")
    for path in sorted(folder.glob("*.state")):
        if path.stem.partition("_")[0] in wanted:
            print(f"{path.stem}|{path.read_text()}|node1")
    return 0


def _scancel(folder: Path, arguments: list[str]) -> int:
    for name in arguments:
        (folder / f"{name}.state").write_text("CANCELLED")
        pid = folder / f"{name}.pid"
        if pid.exists():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(pid.read_text()), signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
