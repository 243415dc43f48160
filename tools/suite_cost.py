"""What several tests of one fit cost.

`python -m tools.suite_cost` trains `ridge` on `demo_authentic` with one test set, and again with
seven (its own test side and six parts of `demo_synthetic`), from fresh results folders. The two
take turns, and the best round of each counts. It prints seconds of both, those that the six further
predictions took, and the ratio

    (seven tests - six predictions) / one test,

which is 1 if the fit is shared and costs nothing more, and 7 if each test has a fit of its own. It
uses the demo sets, which are rendered on first use.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.data import datasets
from bench.data.data_cache import DataCache
from bench.data.features import BOUND_NAME
from bench.model.jobs import RunJob
from bench.model.records import Record
from bench.protocol import Protocol
from bench.protocol.variants import choose
from bench.runs.execute import RunExecutor
from bench.runs.plan import Planner
from bench.store import Store
from tools import command_line
from tools.overhead import seconds

TRAINED, CUT, PARTS = "demo_authentic", "demo_synthetic", 6


@dataclass
class Suite:
    """A fit of `ridge` and its tests, in this process: what a worker does once it has started."""

    tests: tuple[str, ...]
    data_cache: DataCache
    predicting: float = 0.0
    """Seconds that the tests after the first took to predict, in the last round."""

    def run(self) -> float:
        """Seconds from an empty results folder to all records."""
        protocol = Protocol(name="cost", train=(TRAINED,), test=self.tests, repeats=1)
        variants = choose(protocol, ["ridge"], {"backbone": "tiny"})
        folder = Path(tempfile.mkdtemp(prefix="iqa-bench-suite-"))
        plan = Planner(protocol, self.data_cache).plan(variants, Store(folder))
        executor = RunExecutor(Store(folder), self.data_cache)
        sides = [run.tested for run in plan.runs.values()]
        jobs = [
            RunJob(spec=run, settings=variants[0].raw, tests=sides) for run in plan.runs.values()
        ]
        records: list[Record] = []
        try:
            taken = seconds(lambda: records.extend(map(executor.execute, jobs)))
        finally:
            executor.close()
            shutil.rmtree(folder, ignore_errors=True)
        for record in records:
            if record.status != "done":
                sys.exit(f"{record.spec.method}: {record.error}")
        self.predicting = sum(record.seconds["predict"] for record in records[1:])
        return taken


def parts(folder: Path) -> list[str]:
    """Databases of their own that divide the images of `CUT`, described in `folder`."""
    whole = datasets.load(CUT)
    lines = ["databases:"]
    for part in range(PARTS):
        name = f"part{part}"
        (folder / name).mkdir()
        rows = whole.table.iloc[part::PARTS][["image", "score"]]
        rows.to_csv(folder / name / "scores.csv", index=False)
        low, high = whole.info.low, whole.info.high
        lines.append(
            f"  {name}: {{root: {name}, table: scores.csv, images: '{whole.root}', "
            f"label: {whole.info.label}, range: [{low}, {high}]}}"
        )
    (folder / "iqa-data.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [f"part{part}" for part in range(PARTS)]


def main() -> None:
    """Measure and print."""
    parser = command_line("suite_cost", __doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ[BOUND_NAME] = "0"  # features kept on disk would make all rounds but the first free
    with tempfile.TemporaryDirectory(prefix="iqa-bench-parts-") as place:
        names = parts(Path(place))
        data_cache = DataCache([Path(place)])
        one = Suite((TRAINED,), data_cache)
        seven = Suite((TRAINED, *names), data_cache)
        times: list[tuple[float, float, float]] = []
        for number in range(rounds + 1):  # the first one decodes images
            taken = one.run(), seven.run(), seven.predicting
            times += [taken] if number else []
    alone = min(single for single, _, _ in times)
    together, predicting = min((whole, spent) for _, whole, spent in times)
    ratio = (together - predicting) / alone
    print(f"one test {alone:.2f} s, seven tests {together:.2f} s, of it six predictions "
          f"{predicting:.2f} s: ratio {ratio:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
