"""Random command lines, made of what each command says of itself: none may end in a traceback.

    python -m tools.fuzz_cli --count 2000

Commands, options and types come from the command line's own description (what `--help` prints);
most values are right, the others misspelt, extreme or nonsense. Each command gets its share of the
number. All runs in this process, in a folder that every command finds the same, with a database of
small images and results of methods that take no time. hypothesis draws the command lines and
shortens the first that fails.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import numpy as np
import typer
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from bench.cli import INTERNAL, app, main
from tools import command_line

LEFT_OUT = {"speed", "exec", "conform", "audit"}
"""Measures this machine; is what `run` starts; train for seconds."""
ALWAYS: dict[tuple[str, ...], str] = {("run",): "--dry-run", ("get",): "--dry-run"}
"""What they compute, other tests compute; nothing is downloaded."""
NEVER: dict[tuple[str, ...], set[str]] = {("data", "get"): {"yes", "check"}}
"""Options that would open connections."""
METHODS = ("constant", "random", "label_mean", "scores:mine", "oracle:mine", "label_meen", "a:b:c")
"""Methods that take no time, and some that do not exist."""
NAMES = (
    *("mine", "demo_authentic", "livec", "koniq10k@x", "mine:mine", "demo", "minee", "few_shot"),
    *("own", "own.yaml", "protocol", "tiny", "srcc", "rmse", "srk", "last", "best_test", "val"),
    *("csv", "parquet", "methods", "datasets", "results", "50", "20%", "zero-shot", "label_mean"),
    *("random", "official", "quantile", "squash", "cv2", "local", "slurm", "a,b", "label", "test"),
)
PATHS = (
    *("r", "empty", "gone", "photos", "photos/0.png", "photos/broken.png", "own.yaml", "pairs.csv"),
    *("w.safetensors", "out/x", "/proc/x", "~", ".", "r/protocols", "b.json", "实验", "x" * 300),
)
RIGHT = {
    "results": ("r",),
    "new": ("r",),
    "sources": ("r",),
    "data_root": (".",),
    "out": ("out/x", "out/x.json"),
    "to": ("out",),
    "into": ("out/x",),
    "csv": ("out/x.csv",),
    "folder": ("baselines",),
    "against": ("r", "b"),
    "protocol": ("own",),
    **dict.fromkeys(
        ("run protocol", "plan protocol", "get protocol", "power protocol"),
        ("own.yaml", "own.yaml", "few_shot"),
    ),
    "source": ("mine", "own.yaml"),
    "images": ("photos", "photos/0.png"),
    "prompt": ("pairs.csv",),
    "weights": ("w.safetensors", "grmp"),
    "name": ("mine",),
    "describe name": ("mine", "label_mean", "few_shot", "protocol", "tiny", "scores"),
    "names": ("mine", "demo_authentic"),
    "method": ("label_mean", "random", "oracle:mine"),
    "attacker": ("oracle:mine", "random"),
    "what": ("methods", "datasets", "protocols", "backbones", "results"),
    "metric": ("srcc", "plcc", "rmse"),
    "metrics": ("srcc", "srcc,plcc"),
    "datasets": ("mine", "mine:mine", "demo"),
    "dataset": ("mine",),
    "train": ("mine",),
    "budget": ("10", "all"),
    "selection": ("last", "best_test"),
    "spacing": ("quantile", "uniform"),
    "scheme": ("random", "official"),
    "form": ("csv", "parquet", "json", "manifest"),
    "rows": ("label", "label,budget"),
    "columns": ("test", "test,budget"),
    "blocks": ("none", "test"),
    "interval": ("splits", "images", "none"),
    "resize": ("squash", "crop", "shorter"),
    "kernel": ("pillow", "cv2"),
    "executor": ("local", "slurm"),
    "time_limit": ("30m", "1h30m"),
    "limit": ("ms=5", "parameters=1e9"),
    "from_": ("mirror", "home", "gone.zip"),
}
"""What an option or argument takes, by its name, or by the command's and its own: most of a command
line is to be right, so that what is wrong is met with the work begun."""
SETTINGS = (
    *("seed=3", "repeats=1", "noise=0.1", "oracle.noise=nan", "labels=[10]", "labels=[1]"),
    *("selection=val", "metrics=[srcc,srcc]", "split=ofical", "time_limit=-1", "x=", "=1", "x"),
    *("test_fraction=0.5", "ratios={mine: [0.5]}", "keep=[embeddings]", "published=x", "a.b=1"),
)
PROTOCOL = "datasets: [mine]\nlabels: [10]\nrepeats: 2\nmethods: [random, 'oracle:mine']\n"
SECONDS = 300
ALLOWED = frozenset({0, 1, 2, 3, 4, 5, 130})


class TooLongError(Exception):
    """A command that takes longer than `SECONDS`."""


@dataclass
class Fuzz:
    """A folder that every command finds the same, and what was run in it."""

    place: Path
    codes: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Command and exit code -> how often."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Command -> seconds altogether."""

    @property
    def folder(self) -> Path:
        """Where commands run."""
        return self.place / "work"

    @property
    def kept(self) -> Path:
        """The same files as they were prepared."""
        return self.place / "kept"

    def prepare(self) -> None:
        """A database, results and files of most kinds."""
        rng = np.random.default_rng(0)
        for name, count in (("mine", 24), ("photos", 3)):
            (self.folder / name).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(self.folder / name / f"{index}.png")
        rows = [f"{index}.png,{1 + index % 5}" for index in range(24)]
        table = "\n".join(["image,score", *rows]) + "\n"
        (self.folder / "mine" / "scores.csv").write_text(table)
        (self.folder / "scores").mkdir()
        (self.folder / "scores" / "mine.csv").write_text(table)
        (self.folder / "photos" / "broken.png").write_bytes(b"no image")
        (self.folder / "empty").mkdir()
        (self.folder / "pairs.csv").write_text("image,score\nphotos/0.png,1\n")
        (self.folder / "own.yaml").write_text(PROTOCOL)
        (self.folder / "iqa-data.yaml").write_text(
            "databases:\n  mine: {root: mine, table: scores.csv, range: [1, 5]}\n"
        )
        for line in (
            "run own.yaml --results r --jobs 1 --device cpu --no-report",
            "fit mine --method label_mean --out w.safetensors --device cpu",
            "baseline save b --results r",
        ):
            code, text = self.run(line.split())
            if code:
                raise SystemExit(f"bench {line} ended with {code}:\n{text}")
        self.folder.rename(self.kept)

    def run(self, arguments: Sequence[str]) -> tuple[int, str]:
        """`bench` with these arguments, here: exit code and all that it printed."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        places = {
            "IQA_DATA": str(self.folder),
            "IQA_BENCH_CACHE": str(self.place / "cache"),
            "HOME": str(self.folder),
            "HF_HUB_OFFLINE": "1",
        }
        code: Any = 0
        with (
            mock.patch.dict(os.environ, places),
            mock.patch.object(sys, "argv", ["bench", *arguments]),
            # Each process builds its parser once; here one serves all.
            mock.patch.object(typer.main, "get_command", return_value=parser()),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
            contextlib.chdir(self.folder),
            _within(SECONDS),
        ):
            try:
                main()
            except SystemExit as ended:
                code = ended.code
        assert isinstance(out.buffer, io.BytesIO)
        found = code if isinstance(code, int) else int(code is not None)
        return found, out.buffer.getvalue().decode("utf-8")

    def check(self, path: tuple[str, ...], arguments: Sequence[str]) -> None:
        """Raise `AssertionError` where a command does not end as it may."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.kept, self.folder)
        begun = time.monotonic()
        code, text = self.run([*path, *arguments])
        self.codes[" ".join(path), code] += 1
        took = time.monotonic() - begun
        self.seconds[" ".join(path)] = self.seconds.get(" ".join(path), 0.0) + took
        line = shlex.join(["bench", *path, *arguments])
        assert code != INTERNAL, f"{line}\n{text}"
        assert code in ALLOWED, f"{line}\nended with {code}\n{text}"
        assert "Traceback" not in text, f"{line}\n{text}"


@contextlib.contextmanager
def _within(seconds: int) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@cache
def parser() -> Any:
    """The command line itself. Its classes are typer's own copies of click's, and private."""
    return _get_command(app)


_get_command = typer.main.get_command


@cache
def commands() -> dict[tuple[str, ...], Any]:
    """Every command by the words that call it."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, (*path, name))
        elif path[0] not in LEFT_OUT:
            found[path] = command

    walk(parser(), ())
    return found


@cache
def values(command: str, name: str, kind: str) -> st.SearchStrategy[str]:
    """Texts for an option or argument: eight of ten are right, the others only perhaps."""
    anything = _anything(name, kind)
    known = RIGHT.get(f"{command} {name}", RIGHT.get(name))
    if known is not None:
        right = st.sampled_from(known)
    elif "'int'" in kind:
        right = st.integers(1, 12).map(str)
    elif "'float'" in kind:
        right = st.floats(0.001, 0.9).map(str)
    else:
        return anything
    return st.integers(0, 9).flatmap(lambda draw: right if draw < 8 else anything)


def _anything(name: str, kind: str) -> st.SearchStrategy[str]:
    odd = st.one_of(
        st.text(max_size=5), st.sampled_from(["", "-1", "nan", "ünïcödé", "a b", "[x]"])
    )
    if "'int'" in kind:
        numbers = st.one_of(st.integers(0, 12), st.integers(-(10**30), 10**30)).map(str)
        return st.one_of(numbers, numbers, odd)
    if "'float'" in kind:
        return st.one_of(st.floats().map(str), st.floats(0, 1).map(str), odd)
    if name in ("method", "methods", "attacker", "defender", "reference"):
        one = st.sampled_from(METHODS)
        return st.one_of(one, one, st.lists(one, max_size=3).map(",".join), odd)
    if name == "device":
        return st.sampled_from(["cpu", "cpu", "auto", "cuda:99", "cdua"])
    if name == "assignments":
        return st.one_of(st.sampled_from(SETTINGS), odd)
    if "Path" in kind or name in ("protocol", "source", "against"):
        return st.one_of(st.sampled_from([*PATHS, *NAMES]), odd)
    return st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), odd)


@st.composite
def command_lines(draw: st.DrawFn, path: tuple[str, ...]) -> list[str]:
    """Most of a command's arguments and a few of its options."""
    words: list[str] = []
    for parameter in commands()[path].params:
        if parameter.name == "help" or parameter.name in NEVER.get(path, ()):
            continue
        texts = values(path[-1], str(parameter.name), repr(parameter.type_descriptor))
        if parameter.param_type_name == "argument":
            most = 3 if parameter.nargs == -1 else 1
            least = 0 if draw(st.integers(0, 20)) == 0 else 1
            given = draw(st.lists(texts, min_size=least, max_size=most))
            words += [word for word in given if not word.startswith("-")]
        else:
            words += _option(draw, parameter, texts)
    return [*words, *([ALWAYS[path]] if path in ALWAYS else [])]


def _option(draw: st.DrawFn, option: Any, texts: st.SearchStrategy[str]) -> list[str]:
    # `--method` has a default, the one of weights, and little happens without both.
    chance = 19 if option.required or option.name == "method" else 3
    if draw(st.integers(0, 19)) >= chance:
        return []
    if option.is_flag:
        return [draw(st.sampled_from([*option.opts, *option.secondary_opts]))]
    return [option.opts[0], draw(texts)]


def fuzz(count: int, start: int, place: Path) -> Fuzz:
    """Run `count` random command lines, of each command as many.

    Raises `AssertionError` with the first that fails.
    """
    found = Fuzz(place)
    found.prepare()
    paths = sorted(commands())
    for index, path in enumerate(paths):
        share = count // len(paths) + (index < count % len(paths))
        if share:
            _fuzz_one(found, path, share, start)
    return found


def _fuzz_one(found: Fuzz, path: tuple[str, ...], count: int, start: int) -> None:
    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(command_lines(path))
    def every(arguments: list[str]) -> None:
        found.check(path, arguments)

    every()


def _main() -> None:
    parsed = command_line("fuzz_cli", __doc__)
    parsed.add_argument("--count", type=int, default=200, help="Command lines.")
    parsed.add_argument("--seed", type=int, default=0, help="Seed of the draws.")
    options = parsed.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(options.count, options.seed, Path(folder).resolve())
    total = sum(found.codes.values())
    print(f"{total} command lines in {time.monotonic() - begun:.0f} s, no traceback")
    for command, seconds in sorted(found.seconds.items(), key=lambda item: -item[1]):
        ends = {code: times for (name, code), times in found.codes.items() if name == command}
        times = sum(ends.values())
        said = ", ".join(f"{ends[code]} with {code}" for code in sorted(ends))
        print(f"{times:5} {command:14} {seconds / times:6.2f} s each: {said}")


if __name__ == "__main__":
    _main()
