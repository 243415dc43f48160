"""From pairs of runs to a verdict per cell, and one for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.analysis import split_images
from bench.analysis.check.pairing import PairedRuns, pair
from bench.analysis.stored_predictions import StoredPredictions
from bench.data.at_hand import AtHand
from bench.model.titles import task_title
from bench.store import Store, baseline, manifest
from bench.store import table as runs_table
from bench.util.errors import UsageError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from bench.stats import Influence, SplitSizes

Verdict = Literal["ok", "improved", "regression", "incomplete", "nothing", "skipped"]
"""`nothing`: could not be compared; `skipped`: the baseline has no value to compare with."""
OK, REGRESSION, INCOMPARABLE = 0, 1, 3
TOLERANCE = 0.005


@dataclass(frozen=True)
class CellCheck:
    """One row of the table."""

    protocol: str
    label: str
    against: str
    """The baseline's method: the same one, unless a reference was asked for."""
    train: str
    test: str
    budget: str
    selection: str
    verdict: Verdict
    n: int
    """Runs compared."""
    expected: int
    """Finished runs of the baseline."""
    old: float
    new: float
    """Means over the runs compared; NaN where there are none."""
    change: float
    """`new` minus `old`, in units of the metric."""
    low: float
    high: float
    """Its interval (corrected t); both are `change` where all differences are equal."""
    p_value: float
    reason: str
    """Why it is incomplete or not compared, or what else to know."""

    @property
    def task(self) -> str:
        """The dataset, or 'A → B' across datasets."""
        return task_title(self.train, self.test)

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval of the change excludes zero, whatever the tolerance."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class CheckReport:
    """The whole check."""

    new: str
    against: str
    metric: str
    tolerance: float
    confidence: float
    reference: str | None
    cells: tuple[CellCheck, ...]
    problems: tuple[str, ...] = ()
    """Files that could not be read, each with its reason."""
    pairs: Sequence[PairedRuns] = field(default=(), repr=False)
    """The runs behind each of `cells`, in their order."""

    @property
    def exit_code(self) -> int:
        """0 no regression, 1 regression, 3 incomplete or nothing compared."""
        verdicts = {cell.verdict for cell in self.cells}
        if "regression" in verdicts:
            return REGRESSION
        # A check that compared nothing at all must never pass.
        if verdicts <= {"skipped"} or verdicts & {"incomplete", "nothing"}:
            return INCOMPARABLE
        return OK

    @property
    def summary(self) -> str:
        """The outcome in one line."""
        count = {name: sum(cell.verdict == name for cell in self.cells) for name in _NOUNS}
        bad = ", ".join(f"{n} {_NOUNS[name]}" for name, n in count.items() if n)
        total = f"{len(self.cells)} cell{'' if len(self.cells) == 1 else 's'}"
        if not self.cells:
            return "nothing was compared: the baseline has no cell"
        head = {OK: "no regression", REGRESSION: "regression", INCOMPARABLE: "incomplete"}
        return f"{head[self.exit_code]} ({total}{': ' + bad if bad else ''})"


_NOUNS = {
    "regression": "worse",
    "incomplete": "incomplete",
    "nothing": "not compared",
    "skipped": "skipped",
    "improved": "better",
}


def check(
    new: Path,
    against: Path,
    *,
    metric: str = "srcc",
    tolerance: float = TOLERANCE,
    reference: str | None = None,
    protocol: str | None = None,
    confidence: float = 0.95,
    data_roots: Sequence[Path] = (),
) -> CheckReport:
    """Compare a results folder with another one, or with a baseline file.

    A regression is a cell whose mean drop exceeds `tolerance` (in units of the metric) and whose
    interval excludes zero. What `against` has and `new` lacks makes the check incomplete, never
    passed. A metric that records lack is computed from stored predictions; a baseline file has
    none. `protocol` leaves out all others; `data_roots` hold databases, which tell what images
    share a content.

    Raises `UsageError` for unknown names, a folder that is not there, or a negative tolerance.
    """
    if not 0 <= tolerance < math.inf:
        raise UsageError(f"tolerance is {tolerance:g}, must be a finite number of at least 0")
    stores = [Store(path) for path in (new, against)]
    fresh = runs_table.load(stores[0], metrics=[metric])
    images: list[StoredPredictions] = []
    if against.is_dir():
        # What cannot be read would not be missed: such a check must not pass.
        manifest.require_readable(stores[1])
        stored = runs_table.load(stores[1], metrics=[metric])
        at_hand = AtHand(data_roots)
        images = [StoredPredictions(store, at_hand) for store in reversed(stores)]
    else:
        stored = baseline.read(against)
    if protocol is not None:
        known = {str(name) for name in stored["protocol"]} - {""}
        fresh, stored = (_only(frame, protocol) for frame in (fresh, stored))
        if stored.empty:
            raise unknown(f"protocol of '{against}'", protocol, known)
    pairs = pair(fresh, stored, metric, reference)
    cells = judge(pairs, metric, tolerance, confidence, images)
    problems = tuple(problem for store in stores for problem in store.problems)
    return CheckReport(
        str(new), str(against), metric, tolerance, confidence, reference, cells, problems, pairs
    )


def judge(
    pairs: Sequence[PairedRuns],
    metric: str,
    tolerance: float = TOLERANCE,
    confidence: float = 0.95,
    images: Sequence[StoredPredictions] = (),
) -> tuple[CellCheck, ...]:
    """A verdict for each cell. Raises `UsageError` for an unknown metric.

    `images` are the predictions of the baseline and of the new set, from which the interval knows
    how far splits under a label budget correlate; without them it is the widest.
    """
    from bench.metrics import metric as metric_of

    metric_of(metric)
    return tuple(_judge(item, metric, tolerance, confidence, images) for item in pairs)


def _judge(
    pairs: PairedRuns,
    metric: str,
    tolerance: float,
    confidence: float,
    images: Sequence[StoredPredictions],
) -> CellCheck:
    from bench.metrics import metric as metric_of
    from bench.stats import corrected_t

    # A baseline file keeps six decimals: both sides are compared at those.
    with np.errstate(over="ignore", invalid="ignore"):
        old, new = (np.round(side, baseline.DECIMALS) for side in (pairs.old, pairs.new))
    if len(old) < 2 or pairs.sizes is None:
        return _cell(pairs, old, new, math.nan, math.nan, math.nan, *_not_compared(pairs))
    with np.errstate(over="ignore", invalid="ignore"):
        finite = bool(np.isfinite(new - old).all())
    if not finite:
        nothing = np.empty(0)
        reason = "its values are too large to be subtracted"
        return _cell(pairs, nothing, nothing, math.nan, math.nan, math.nan, "nothing", reason)
    influence = _influence(pairs, pairs.sizes, metric, images)
    test = corrected_t(new - old, pairs.sizes, influence, confidence)
    low, high = test.low, test.high
    if math.isnan(low):  # every run changed by the same amount: there is no chance in it
        low = high = test.mean
    worse, better = high < 0, low > 0
    if not metric_of(metric).higher_is_better:
        worse, better = better, worse
    verdict: Verdict = "incomplete" if pairs.missing else "ok"
    if worse and abs(test.mean) > tolerance:
        verdict = "regression"
    elif verdict == "ok" and better and abs(test.mean) > tolerance:
        verdict = "improved"
    return _cell(pairs, old, new, low, high, test.p_value, verdict, _reason(pairs))


def _influence(
    pairs: PairedRuns, sizes: SplitSizes, metric: str, images: Sequence[StoredPredictions]
) -> Influence | None:
    """Of images on the change, where a label budget needs it and both predictions are there."""
    if not images or not sizes.budgeted() or len(pairs.records) < len(pairs.old):
        return None
    *_, test, _, selection = pairs.key
    records = zip(*pairs.records, strict=True)
    runs = dict(zip(("old", "new"), zip(images, records, strict=True), strict=True))
    found = split_images.influences(runs, test, selection, metric)
    return found["new"].minus(found["old"]) if found else None


def _not_compared(pairs: PairedRuns) -> tuple[Verdict, str]:
    if pairs.missing:
        return "incomplete", _reason(pairs)
    if not pairs.expected:
        return "skipped", "the baseline has no finished run of this cell"
    if not pairs.old:
        return "skipped", "the baseline has no value of this metric"
    if len(pairs.old) < 2:
        return "nothing", "one run has no interval; at least two repeats are needed"
    return "nothing", "the baseline does not say how many images its splits have"


def _reason(pairs: PairedRuns) -> str:
    missing = list(pairs.missing)
    shown = missing if len(missing) <= 3 else [*missing[:3], f"and {len(missing) - 3} more"]
    if len(missing) == pairs.expected > 1 and all(text.endswith("not there") for text in missing):
        shown = ["no run on the same splits (other data?)"]
    if pairs.undefined and pairs.old:
        shown.append(f"{pairs.undefined} runs of the baseline have no value")
    return "; ".join(shown)


def _cell(
    pairs: PairedRuns,
    old: np.ndarray,
    new: np.ndarray,
    low: float,
    high: float,
    p_value: float,
    verdict: Verdict,
    reason: str,
) -> CellCheck:
    before, after = (float(side.mean()) if len(side) else math.nan for side in (old, new))
    protocol, label, train, test, budget, selection = pairs.key
    return CellCheck(
        protocol=protocol,
        label=label,
        against=pairs.against,
        train=train,
        test=test,
        budget=budget,
        selection=selection,
        verdict=verdict,
        n=len(old),
        expected=pairs.expected,
        old=before,
        new=after,
        change=float((new - old).mean()) if len(old) else math.nan,
        low=low,
        high=high,
        p_value=p_value,
        reason=reason,
    )


def _only(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    return frame[frame["protocol"] == protocol]
