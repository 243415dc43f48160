"""Means over the test sets of one fit: per split first, then summarised like any cell.

Databases that the fit learnt from (their own test sides) and databases that it never saw have
separate means, since a mean over both mixes two questions. A mean is absent if one of its sets is
incomplete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.model.mixtures import learnt_from
from bench.protocol import Protocol

if TYPE_CHECKING:
    import pandas as pd

FIT = ["protocol", "label", "train", "budget", "selection"]
"""Columns that identify a fit, whatever its test sets."""
KINDS = ("mean_by_images", "mean")
TITLES = {"": "{n} unseen sets", "_own": "{n} own sets", "_all": "{n} sets, seen and unseen"}


def with_means(runs: pd.DataFrame, protocols: Mapping[str, Protocol]) -> pd.DataFrame:
    """The table of runs with a row a split for each mean that its protocol asks for.

    The rows' `test` is `mean` or `mean_by_images` over databases that were not learnt from, with
    `_own` for those that were, and with `_all` for both together.
    """
    import pandas as pd

    asked = {name: item for name, item in protocols.items() if item.means}
    if runs.empty or not asked:
        return runs
    means = [
        row
        for key, part in runs[runs["protocol"].isin(list(asked))].groupby(FIT, sort=False)
        for row in _of_fit(part, asked[str(key[0])])
    ]
    if not means:
        return runs
    return pd.concat([runs, pd.DataFrame(means, columns=runs.columns)], ignore_index=True)


def _of_fit(part: pd.DataFrame, protocol: Protocol) -> Iterator[dict[str, Any]]:
    for suffix, tests in _sets(protocol, str(part["train"].iloc[0])).items():
        group = part[part["test"].isin(tests)]
        # Also where a cell was left out: a mean of fewer sets would stand beside those of all.
        whole = group["test"].nunique() == len(tests) and (group["status"] == "done").all()
        if len(tests) < 2 or not whole:
            continue
        weighted = ["by_images"] if "by_images" in protocol.means else []
        plain = ["plain"] if {"plain", "all"} & set(protocol.means) else []
        for kind in [*plain, *weighted]:
            yield from _rows(group, suffix, kind)


def _sets(protocol: Protocol, train: str) -> dict[str, list[str]]:
    """Suffix of a mean's name -> the test sets that it averages for a fit."""
    own = [test for test in protocol.test if learnt_from(train, test)]
    sets = {"": [test for test in protocol.test if test not in own], "_own": own}
    if "all" in protocol.means:
        sets["_all"] = list(protocol.test)
    return sets


def averaged(test: str, protocol: Protocol, train: str) -> tuple[list[str], bool]:
    """The test sets that a mean column averages for a fit, and whether by their images.

    Nothing for a database.
    """
    kind = next((kind for kind in KINDS if test.startswith(kind)), "")
    found = _sets(protocol, train).get(test.removeprefix(kind), []) if kind else []
    return found, kind == "mean_by_images"


def _rows(group: pd.DataFrame, suffix: str, kind: str) -> Iterator[dict[str, Any]]:
    """A row a split."""
    name = ("mean" if kind == "plain" else "mean_by_images") + suffix
    numbers = group.select_dtypes("number").columns
    for _, split in group.groupby("repeat", sort=False):
        weights = None if kind == "plain" else split["n_test"].astype(float).to_numpy()
        row: dict[str, Any] = {**split.iloc[0], "test": name, "record": None, "run_id": name}
        for column in numbers:
            if column not in ("repeat", "labels", "ratio", "n_train", "n_val", "n_evaluated"):
                values = split[column].astype(float).to_numpy()
                row[column] = float(np.average(values, weights=weights))
        row["contaminated"] = bool((split["contaminated"] == True).any())  # noqa: E712
        row["n_test"] = int(split["n_test"].sum())
        yield row


def title(test: str, n: int) -> str | None:
    """The title of a column of means; None for a database.

    >>> title("mean", 6), title("mean_by_images_own", 2), title("livec", 1)
    ('mean of 6 unseen sets', 'mean by images of 2 own sets', None)
    """
    for kind in KINDS:
        suffix = test.removeprefix(kind)
        if test.startswith(kind) and suffix in TITLES:
            return f"{kind.replace('_', ' ')} of {TITLES[suffix].format(n=n)}"
    return None
