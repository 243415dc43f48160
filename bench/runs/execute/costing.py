"""What a method costs, measured once for each kind of device and written into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.model import costs
from bench.model.records import FitSpec
from bench.runs.isolation import MethodProcess
from bench.store import Store
from bench.util.environment import Environment

if TYPE_CHECKING:
    from bench.api import Images

MEASURED = 9
"""Images that a method's cost is measured on."""


def measure_once(
    store: Store, fit: FitSpec, method: MethodProcess, where: Environment, images: Images
) -> None:
    """Store the cost of a fit's method on the device of `where`, unless it is stored already.

    A method that reads no images has no cost. Raises `MethodFailed` if it fails on the images.
    """
    device = method.start.device.partition(":")[0]
    key = costs.key_of(fit.method, fit.settings, fit.code, device)
    if not method.facts.reads_images or costs.path_of(store.root, key).exists():
        return
    found = method.measure(images.subset(range(min(len(images), MEASURED))))
    costs.Cost(
        method=fit.method,
        settings=fit.settings,
        code=fit.code,
        device=device,
        hardware=where.device,
        **found.model_dump(),
    ).write(store.root)
