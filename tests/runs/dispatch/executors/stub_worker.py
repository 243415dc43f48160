"""A worker that starts at once and does as it is told: `STUB` says, by repeat, what to do."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def tell(kind: str, run: str) -> None:
    print(json.dumps({"kind": kind, "run": run}), flush=True)


def hang() -> None:
    while True:
        time.sleep(0.05)


def main() -> None:
    faulthandler.register(signal.SIGUSR1)
    told = json.loads(os.environ["STUB"])
    job = json.loads(Path(sys.argv[1]).read_text())
    for work in job["runs"]:
        run, action = told[str(work["spec"]["fit"]["repeat"])]
        with Path(os.environ["STUB_LOG"]).open("a") as log:
            log.write(f"{work['spec']['fit']['repeat']}\n")
        tell("start", run)
        once = Path(os.environ["STUB_LOG"]).with_name("once")
        if action == "killed" or (action == "killed once" and not once.exists()):
            once.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "exits":
            print("the reason", file=sys.stderr, flush=True)
            sys.exit(4)
        if action == "hangs":
            hang()
        if action == "is deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            tell("note", run)
            hang()
        if action == "leaves a child":
            # It holds the pipe that the supervisor reads.
            child = subprocess.Popen(["sleep", "600"])
            once.write_text(str(child.pid))
            os.kill(os.getpid(), signal.SIGKILL)
        tell("done", run)


if __name__ == "__main__":
    main()
