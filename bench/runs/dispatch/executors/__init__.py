"""Where jobs run: on this machine's slots, on a Dask cluster, or under Slurm."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.model.resources import Resources
from bench.runs.dispatch import Executor, Session
from bench.util.errors import UsageError, unknown

if TYPE_CHECKING:
    from bench.cli.options import Options

PACKAGES = {"local": "", "dask": "distributed", "slurm": "submitit"}
"""Executor -> the package that it needs."""
TAKEN_BY = {"scheduler": "dask", "slurm": "slurm", "bundle": "slurm", "array_limit": "slurm"}
"""Option -> the one executor that takes it."""


def check(options: Options) -> None:
    """Raise `UsageError` for an executor that does not exist or an option that it does not take."""
    name = options.executor
    if name not in PACKAGES:
        raise unknown("executor", name, PACKAGES, "--executor")
    for option, taker in TAKEN_BY.items():
        if getattr(options, option) and name != taker:
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(f"{flag} belongs to --executor {taker}, not to '{name}'")
    if package := PACKAGES[name]:
        _require(package, name)
    if name == "slurm":
        from bench.runs.dispatch.executors import slurm

        slurm.parameters(options)


def refuse(options: Options, rows: Mapping[str, Resources]) -> None:
    """Raise `UsageError` that names every row which can never run there, and why.

    `rows` are those with something to do. Torch is imported, or a cluster asked, only where a row
    asks for what not every machine has.
    """
    # Only Slurm reads keys of sbatch.
    every, without = options.executor == "slurm", options.device == "cpu"
    asking = {title: needs for title, needs in rows.items() if every or (needs.gpu and not without)}
    refused = _named(options.executor).refusals(options, asking) if asking else {}
    lines = [f"{title} {reason}" for title, reason in refused.items() if reason]
    if lines:
        raise UsageError("\n".join(lines))


def make(options: Options, session: Session) -> Executor:
    """The executor that the options name. Raises as `check`, and if no cluster answers."""
    check(options)
    return _named(options.executor)(options, session)


def _named(name: str) -> type[Executor]:
    """Imports the libraries of this executor and of no other."""
    if name == "slurm":
        from bench.runs.dispatch.executors.slurm import SlurmExecutor

        return SlurmExecutor
    if name == "dask":
        from bench.runs.dispatch.executors.dask_cluster import DaskExecutor

        return DaskExecutor
    from bench.runs.dispatch.executors.local import LocalExecutor

    return LocalExecutor


def _require(package: str, name: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise UsageError(
            f"--executor {name} needs the package '{error.name or package}': "
            f"pip install 'iqa-bench[{name}]'"
        ) from None
