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

NAMES = ("local", "dask", "slurm")


def check(options: Options) -> None:
    """Raise `UsageError` for an executor that does not exist or an option that it does not take."""
    name = options.executor
    if name not in NAMES:
        raise unknown("executor", name, NAMES, "--executor")
    if options.scheduler and name != "dask":
        raise UsageError(f"--scheduler belongs to --executor dask, not to '{name}'")
    if options.slurm and name != "slurm":
        raise UsageError(f"--slurm belongs to --executor slurm, not to '{name}'")
    if options.bundle and name != "slurm":
        raise UsageError(f"--bundle belongs to --executor slurm, not to '{name}'")
    if options.array_limit is not None and name != "slurm":
        raise UsageError(f"--array-limit belongs to --executor slurm, not to '{name}'")
    if name == "dask":
        _require("distributed", name)
    if name == "slurm":
        _require("submitit", name)
        from bench.runs.dispatch.executors import slurm

        slurm.parameters(options)


def refuse(options: Options, rows: Mapping[str, Resources]) -> None:
    """Raise `UsageError` that names every row which can never run there, and why.

    `rows` are those with something to do. Torch is imported, or a cluster asked, only where a row
    asks for what not every machine has.
    """
    # Keys of sbatch are read under Slurm alone.
    every, without = options.executor == "slurm", options.device == "cpu"
    asking = {title: needs for title, needs in rows.items() if every or (needs.gpu and not without)}
    lines = [f"{title} {reason}" for title, reason in _refusals(options, asking)]
    if lines:
        raise UsageError("\n".join(lines))


def _refusals(options: Options, rows: Mapping[str, Resources]) -> list[tuple[str, str]]:
    if not rows:
        return []
    if options.executor == "slurm":
        from bench.runs.dispatch.executors import slurm

        reasons = {title: slurm.refusal(options, needs) for title, needs in rows.items()}
    elif options.executor == "dask":
        from bench.runs.dispatch.executors import dask_cluster

        reasons = dask_cluster.refusals(options.scheduler, rows)
    else:
        from bench.runs.dispatch.slots import Machine
        from bench.util.environment import resolve_device

        machine = Machine.here(resolve_device(options.device), options.jobs, options.threads)
        reasons = {title: machine.refusal(needs) for title, needs in rows.items()}
    return [(title, reason) for title, reason in reasons.items() if reason]


def make(options: Options, session: Session) -> Executor:
    """The executor that the options name. Raises as `check`, and where no cluster answers."""
    check(options)
    if options.executor == "slurm":
        from bench.runs.dispatch.executors.slurm import SlurmExecutor

        return SlurmExecutor(options, session)
    if options.executor == "dask":
        from bench.runs.dispatch.executors.dask_cluster import DaskExecutor

        return DaskExecutor(options, session)
    from bench.runs.dispatch.executors.local import LocalExecutor

    return LocalExecutor(options, session)


def _require(module: str, extra: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"--executor {extra} needs the package '{error.name or module}': "
            f"pip install 'iqa-bench[{extra}]'"
        ) from None
