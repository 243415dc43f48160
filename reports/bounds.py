"""Explanations of what tables show beside a median: bounds over splits, intervals over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.metrics import BY, METRICS, NEEDS, metric
from bench.stats.median import LEAST_SPLITS

if TYPE_CHECKING:
    import pandas as pd


def in_words(summary: pd.DataFrame) -> list[str]:
    """Everything that a reader has to know about the notes of a table."""
    return [
        *over_splits(summary),
        *lacking_needs(summary),
        *over_images(summary),
        *ceilings(summary),
    ]


def over_splits(summary: pd.DataFrame) -> list[str]:
    """A sentence for each kind of bounds over splits that complete cells have."""
    sentences = []
    for kind, cells in summary[summary["complete"]].groupby("bounds", sort=False):
        runs = "–".join(dict.fromkeys(str(n) for n in (cells["n"].min(), cells["n"].max())))
        texts = {
            "interval": f"[a, b] lies between two order statistics of {runs} splits: nominal "
            f"coverage {cells['coverage'].min():.3g} for the median over such splits",
            "range": f"a to b is the range of {runs} splits; an interval takes at least "
            f"{LEAST_SPLITS}",
            "one value": "one split: its value, and no interval worth the name",
        }
        sentences.append(texts[str(kind)])
    return sentences


def lacking_needs(summary: pd.DataFrame) -> list[str]:
    """Why cells have no value of a metric that needs more than predictions and scores."""
    sentences = []
    empty = summary[(summary["n"] == 0) & (summary["undefined"] > 0)]
    for name, cells in empty.groupby("metric", sort=False):
        needs = metric(str(name)).needs if str(name).partition(BY)[0] in METRICS else ()
        if needs:
            where = _few(list(dict.fromkeys(map(str, cells["dataset"]))))
            sentences.append(
                f"no {name} on {where}: it needs {' and '.join(NEEDS[need] for need in needs)}"
            )
    return sentences


def over_images(summary: pd.DataFrame) -> list[str]:
    """What intervals over images are, and why some cells have none."""
    there = summary["image_low"].notna()
    sentences = []
    if there.any():
        sentences.append(
            "images [a, b] is the 95 % bootstrap interval of the median for new images of the "
            "kind, images of one content drawn together and trained methods taken as given"
        )
    lacking = summary[~there & (summary["image_note"] != "") & (summary["n"] > 0)]
    for note, cells in lacking.groupby("image_note", sort=False):
        where = _few(list(dict.fromkeys(f"{d}" for d in cells["dataset"])))
        metrics = _few(list(dict.fromkeys(map(str, cells["metric"]))))
        sentences.append(f"no interval over images of {metrics} on {where}: {note}")
    return sentences


def ceilings(summary: pd.DataFrame) -> list[str]:
    """The noise ceiling of each database, and why some have none."""
    known = summary[summary["ceiling_note"] != ""].drop_duplicates(["test", "metric"])
    there = known[known["ceiling"].notna()]
    sentences = [
        f"noise ceiling of {row['test']}, what a perfect predictor reaches against its raters' "
        f"noise ({row['ceiling_note']}): {row['metric']} {row['ceiling']:.3f} "
        f"[{row['ceiling_low']:.3f}, {row['ceiling_high']:.3f}]"
        for row in there.to_dict("records")
    ]
    lacking = known[known["ceiling"].isna()].drop_duplicates("test")
    for note, cells in lacking.groupby("ceiling_note", sort=False):
        sentences.append(f"no noise ceiling of {_few(cells['test'].tolist())}: {note}")
    return sentences


def shape(summary: pd.DataFrame) -> str:
    """What the small print under a median looks like."""
    kinds = {"interval": "[interval]", "range": "range"}
    found = [text for kind, text in kinds.items() if (summary["bounds"] == kind).any()]
    return " or ".join(found)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
