"""Labels that a full-reference metric gives: `NAME@ssim`, `NAME@fsim`, `NAME@lpips`.

PromptIQA (ECCV 2024, section 4.3) takes them for assessment requirements that a model has not seen.
Every database whose pristine images are on disk has them; `bench.data.relabel` computes and keeps
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from bench.data.datasets.base import DatasetInfo, Version

REQUIREMENTS: Mapping[str, Version] = MappingProxyType(
    {
        "ssim": Version("SSIM of the luma channel, computed by pyiqa", "mos", -1.0, 1.0, 0),
        "fsim": Version("FSIM with its chromatic part (FSIMc), computed by pyiqa", "mos", 0, 1, 0),
        # Without an upper bound in theory; distances of distorted images stay far below this.
        "lpips": Version("LPIPS (AlexNet, v0.1), computed by pyiqa", "dmos", 0.0, 2.0, 0),
    }
)


def people(spec: str) -> str:
    """The spec of the labels that people gave: a metric's version is left off, others stay.

    >>> people("tid2013@fsim"), people("livec@1169")
    ('tid2013', 'livec@1169')
    """
    name, _, version = spec.partition("@")
    return name if version in REQUIREMENTS else spec


def described(info: DatasetInfo, metric: str) -> DatasetInfo:
    """The description of a database under a metric's labels; their spread is not known."""
    version = replace(REQUIREMENTS[metric], size=info.size)
    with_metric = replace(info, spread_kind="", versions={**info.versions, metric: version})
    return with_metric.at(metric)
