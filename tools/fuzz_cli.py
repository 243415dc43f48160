"""Random command lines, made of what each command says of itself: none may end in a traceback.

    python -m tools.fuzz_cli --count 2000

Commands, options and types come from the command line's own description (what `--help` prints);
values are right, misspelt, extreme or nonsense. All runs in this process, in a folder that is gone
afterwards, with a database of small images and results of methods that take no time. hypothesis
draws the command lines and shortens the first that fails.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
SETTINGS = (
    *("seed=3", "repeats=1", "noise=0.1", "oracle.noise=nan", "labels=[10]", "labels=[1]"),
    *("selection=val", "metrics=[srcc,srcc]", "split=ofical", "time_limit=-1", "x=", "=1", "x"),
    *("test_fraction=0.5", "ratios={mine: [0.5]}", "keep=[embeddings]", "published=x", "a.b=1"),
)
PROTOCOL = "datasets: [mine]\nlabels: [10]\nrepeats: 2\nmethods: [label_mean, random, constant]\n"
SECONDS = 60
ALLOWED = frozenset({0, 1, 2, 3, 4, 5, 130})


class TooLongError(Exception):
    """A command that takes longer than `SECONDS`."""


@dataclass
class Fuzz:
    """One folder, and what was run in it."""

    folder: Path
    codes: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Command and exit code -> how often."""

    def prepare(self) -> None:
        """A database, results and files of most kinds."""
        rng = np.random.default_rng(0)
        for name, count in (("mine", 24), ("photos", 3)):
            (self.folder / name).mkdir()
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
            "run own.yaml --results r --jobs 1 --device cpu",
            "fit mine --method label_mean --out w.safetensors --device cpu",
            "baseline save b --results r",
        ):
            code, text = self.run(line.split())
            if code:
                raise SystemExit(f"bench {line} ended with {code}:\n{text}")

    def run(self, arguments: Sequence[str]) -> tuple[int, str]:
        """`bench` with these arguments, here: exit code and all that it printed."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        places = {
            "IQA_DATA": str(self.folder),
            "IQA_BENCH_CACHE": str(self.folder / "cache"),
            "HOME": str(self.folder),
        }
        code: Any = 0
        with (
            mock.patch.dict(os.environ, places),
            mock.patch.object(sys, "argv", ["bench", *arguments]),
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

    def check(self, arguments: list[str]) -> None:
        """Raise `AssertionError` where a command does not end as it may."""
        code, text = self.run(arguments)
        self.codes[" ".join(_path(arguments)), code] += 1
        line = shlex.join(["bench", *arguments])
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


def _path(arguments: Sequence[str]) -> list[str]:
    """The command's own words."""
    return [word for word in arguments[:2] if word in _words()]


def _words() -> set[str]:
    return {word for path in commands() for word in path}


def commands() -> dict[tuple[str, ...], Any]:
    """Every command by the words that call it."""
    found: dict[tuple[str, ...], Any] = {}

    # The classes of the parser are typer's own copies, and private.
    def walk(command: Any, path: tuple[str, ...]) -> None:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                walk(inner, (*path, name))
        elif path[0] not in LEFT_OUT:
            found[path] = command

    walk(typer.main.get_command(app), ())
    return found


def values(parameter: Any) -> st.SearchStrategy[str]:
    """Texts for an option or argument, by its type and its name."""
    name, kind = str(parameter.name), repr(parameter.type_descriptor)
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
        return st.one_of(one, st.lists(one, max_size=3).map(",".join), odd)
    if name == "device":
        return st.sampled_from(["cpu", "cpu", "auto", "cuda:99", "cdua"])
    if name == "assignments":
        return st.one_of(st.sampled_from(SETTINGS), odd)
    if "Path" in kind or name in ("protocol", "source", "against"):
        return st.one_of(st.sampled_from([*PATHS, *NAMES]), odd)
    return st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), odd)


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with most of its arguments and a few of its options."""
    path, command = draw(st.sampled_from(sorted(commands().items())))
    words = [*path]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            most = 3 if parameter.nargs == -1 else 1
            least = 0 if draw(st.integers(0, 20)) == 0 else 1
            given = draw(st.lists(values(parameter), min_size=least, max_size=most))
            words += [word for word in given if not word.startswith("-")]
        elif parameter.name != "help":
            words += _option(draw, parameter)
    if path == ("run",):
        words.append("--dry-run")  # what it computes, other tests compute
    return words


def _option(draw: st.DrawFn, option: Any) -> list[str]:
    chance = 19 if option.required else 5
    if draw(st.integers(0, 19)) >= chance:
        return []
    names = [*option.opts, *option.secondary_opts]
    if option.is_flag:
        return [draw(st.sampled_from(names))]
    return [option.opts[0], draw(values(option))]


def fuzz(count: int, start: int, folder: Path) -> Fuzz:
    """Run `count` random command lines. Raises `AssertionError` with the first that fails."""
    found = Fuzz(folder)
    found.prepare()

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(command_lines())
    def every(arguments: list[str]) -> None:
        found.check(arguments)

    every()
    return found


def _main() -> None:
    parser = command_line("fuzz_cli", __doc__)
    parser.add_argument("--count", type=int, default=200, help="Command lines.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the draws.")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(options.count, options.seed, Path(folder).resolve())
    total = sum(found.codes.values())
    print(f"{total} command lines in {time.monotonic() - begun:.0f} s, no traceback")
    for (command, code), times in sorted(found.codes.items()):
        print(f"{times:6} {command or '(none)'} -> {code}")


if __name__ == "__main__":
    _main()
