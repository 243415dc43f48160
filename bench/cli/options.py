"""The options that commands on a protocol share, for the command line and for Python."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from bench.cli.data import DataRoot
from bench.util import durations
from bench.util.errors import UsageError


class Names(tuple[str, ...]):
    """Names, separated by commas on the command line."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str | tuple[str, ...]) -> Names:
        """Names of a text such as 'a, b'."""
        parts = text.split(",") if isinstance(text, str) else text
        names = cls(part.strip() for part in parts if part.strip())
        if isinstance(text, str) and not names:
            raise UsageError("an empty list of names; leave the option out for the default")
        return names


NONE = Names()
Uncontaminated = Annotated[
    bool,
    typer.Option(
        "--exclude-contaminated",
        help="Leave out methods on datasets whose labels their weights have seen.",
    ),
]


class Duration(float):
    """Seconds; '30m' or '1h30m' on the command line."""

    @classmethod
    def parse(cls, text: str | float) -> Duration:
        """A duration in seconds. Raises `UsageError` if the text is not a duration."""
        return cls(durations.seconds(text))


def _names(text: str) -> Any:
    return typer.Option(help=text, parser=Names.parse, metavar="NAMES", show_default=False)


METHODS = _names("Methods, comma-separated.")
DATASETS = _names("Datasets or TRAIN:TEST pairs, comma-separated; demo: rendered ones.")


@dataclass(frozen=True)
class Options:
    """The options of `bench run` and `bench plan`."""

    protocol: Annotated[str, typer.Argument(help="Protocol file, or the name of one.")]
    methods: Annotated[Names, METHODS] = NONE
    datasets: Annotated[Names, DATASETS] = NONE
    repeats: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Number of seeded splits.")
    ] = None
    seed: Annotated[int | None, typer.Option(help="Seed of the splits.")] = None
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE for every method that has it, or METHOD.KEY=VALUE."),
    ] = None
    results: Annotated[Path, typer.Option(help="Results folder.")] = Path("results")
    data_root: DataRoot = None
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto"
    jobs: Annotated[
        int | None, typer.Option(min=1, max=4_096, help="Worker processes at once.")
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4_096,
            help="CPU threads of each worker; default: OMP_NUM_THREADS, else a share.",
        ),
    ] = None
    batch_size: Annotated[
        int, typer.Option(min=1, max=65_536, help="Images per inference batch.")
    ] = 64
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic", help="Bit-identical results also on a GPU, or an error; slower."
        ),
    ] = False
    cuda_graphs: Annotated[
        bool,
        typer.Option(
            "--cuda-graphs",
            help="Replay inference of frozen encoders on a GPU as CUDA graphs; no bit changes.",
        ),
    ] = False
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile frozen encoders (torch.compile) if that gives the same scores.",
        ),
    ] = False
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Keep frozen encoders in plain float32, even if faster forms give the same.",
        ),
    ] = False
    time_limit: Annotated[
        Duration | None,
        typer.Option(
            parser=Duration.parse,
            metavar="TIME",
            help="Kill a worker whose run takes longer, e.g. 30m; default: the protocol's.",
        ),
    ] = None
    executor: Annotated[str, typer.Option(help="Where workers run: local, dask or slurm.")] = (
        "local"
    )
    scheduler: Annotated[
        str, typer.Option(help="Dask scheduler: tcp://HOST:PORT, or a scheduler file.")
    ] = ""
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            "--slurm", help="KEY=VALUE for sbatch: partition, time, gpus, cpus, mem, account, ..."
        ),
    ] = None
    array_limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000_000, help="Longest array of jobs that Slurm takes; default: 1000."
        ),
    ] = None
    bundle: Annotated[
        Duration | None,
        typer.Option(
            parser=Duration.parse,
            metavar="TIME",
            help="Under Slurm, let short groups share a job of about this length.",
        ),
    ] = None
    accept_code: Annotated[
        list[str] | None,
        typer.Option(
            help="Use stored runs of an older version of a method's code, given by its digest."
        ),
    ] = None
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Stop when vision-language models have used this many tokens."),
    ] = None
    max_cost: Annotated[
        float | None,
        typer.Option(
            min=0, help="Stop when they have cost this much, at the prices in their files."
        ),
    ] = None
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Retry failed runs.")] = False
    exclude_contaminated: Uncontaminated = False
    available: Annotated[
        bool,
        typer.Option(
            "--available",
            help="Leave out, and list, rows and datasets that need missing databases.",
        ),
    ] = False


def command(function: Callable[..., int]) -> Callable[..., None]:
    """A typer command from a function of `Options` and further options that returns an exit
    code."""
    hints = get_type_hints(Options, include_extras=True)
    empty = inspect.Parameter.empty
    shared = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=empty if item.default is dataclasses.MISSING else item.default,
            annotation=hints[item.name],
        )
        for item in dataclasses.fields(Options)
    ]
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    extra = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own]

    def run(**values: Any) -> None:
        rest = {item.name: values.pop(item.name) for item in extra}
        raise typer.Exit(function(Options(**values), **rest))

    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
    run.__signature__ = inspect.Signature([*shared, *extra])  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in [*shared, *extra]}
    return run
