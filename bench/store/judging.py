"""Metrics that records lack, computed from the stored predictions of done runs.

A protocol may have been given a metric after its runs were done, and a table may be asked for one
that no protocol names. What a metric needs besides predictions and quality (`bench.metrics.NEEDS`)
stands in the table of its database, where that is on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.data.at_hand import AtHand
from bench.model.records import Record
from bench.store import Store
from bench.util.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

    from bench.metrics import Known


def judged(store: Store, record: Record, names: Sequence[str], at_hand: AtHand) -> Record:
    """A record with these metrics, from its predictions where it was written without them."""
    metrics = dict(record.metrics)
    for selection, values in metrics.items() if record.judged else ():
        absent = [name for name in names if name not in values]
        if not absent:
            continue
        try:
            table = store.predictions(record.spec)
            known = known_for(store, at_hand, record, table, absent)
            found = judge(table, record, selection, absent, known)
        except (StoreError, ValueError) as error:
            store.problems.append(f"{record.run_id}: {error}")
            continue
        numbers = {name: None if math.isnan(value) else value for name, value in found.items()}
        metrics[selection] = {**values, **numbers}
    return record.model_copy(update={"metrics": metrics})


def known_for(
    store: Store, at_hand: AtHand, record: Record, table: pd.DataFrame, names: Sequence[str]
) -> Known:
    """What these metrics need to know about the images, as far as the databases on this machine
    tell; what is missing is added to the store's `problems`."""
    from bench.metrics import Known, metric

    needs = {need for name in names for need in metric(name).needs}
    if not needs:
        return Known()
    found = known_of(at_hand, record.spec.test, table)
    reason = found if isinstance(found, str) else ""
    if not reason and "validation" in needs:
        # Predictions of validation images are not kept: the curve cannot be fitted afterwards.
        reason = "runs record it only where their protocol names it; run them again"
        names = [name for name in names if "validation" in metric(name).needs]
    problem = f"{', '.join(names)} not computed for {record.spec.test}: {reason}"
    if reason and problem not in store.problems:
        store.problems.append(problem)
    return Known() if isinstance(found, str) else found


def known_of(at_hand: AtHand, test: str, table: pd.DataFrame) -> Known | str:
    """What metrics need to know about the images, or the reason why this machine cannot tell."""
    dataset = at_hand.dataset(test)
    if isinstance(dataset, str):
        return dataset
    if dataset.info.spec != test:
        return f"the labels of {test} come from a metric, not from people"
    place = {name: row for row, name in enumerate(dataset.table["image"])}
    rows = [place.get(name, -1) for name in table["image"]]
    if min(rows) < 0:
        return f"image '{table['image'].iloc[rows.index(-1)]}' is not in the table of {test}"
    return dataset.known(np.array(rows, dtype=np.int64))


def judge(
    table: pd.DataFrame,
    record: Record,
    selection: str,
    names: Sequence[str],
    known: Known | None = None,
) -> dict[str, float]:
    """Metrics of a done run from its predictions; NaN if they are undefined or need facts that are
    not in `known`.

    Raises `StoreError` for predictions that hold none of this selection, `ValueError` for those
    that no metric accepts.
    """
    from bench.metrics import GROUPS, Known, compute

    own = "prediction" if selection == record.spec.selection else ""
    column = next((c for c in (f"prediction_{selection}", own) if c in table.columns), None)
    if column is None or "quality" not in table.columns:
        raise StoreError(f"predictions of {record.run_id} hold none of selection '{selection}'")
    groups = {name: table[name] for name in GROUPS if name in table}
    return compute(names, table[column], table["quality"], groups, known or Known())
