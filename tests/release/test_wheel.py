"""What is published works where there is no clone: the sdist, and a wheel made from it.

The environment takes the dependencies from that of the tests, since installing torch anew takes
minutes; `make wheel` is this test. CONTRIBUTING says how a release is tried in an empty one.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import protocol as protocols
from bench import registry, source
from bench.model.records import Task

ROOT = Path(__file__).parents[2]
INSIDE = """
import base64, json, pickle, sys
import bench
from bench import protocol, registry, source
from bench.util.environment import checkout
given = pickle.loads(base64.b64decode(sys.argv[1]))
print(json.dumps({
    "file": bench.__file__,
    "version": bench.__version__,
    "commit": checkout()[0],
    "digests": {name: source.digest(name) for name in sorted(registry.entries())},
    "protocols": sorted(protocol.available()),
    "classes": {name: cls is registry.load(name) for name, cls in given["classes"].items()},
    "task": given["task"].title,
}))
"""
"""What the installed package says of itself, and of objects that the clone has pickled."""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    """A wheel in an environment, and a folder to work in, inside somebody else's repository."""

    sdist: Path
    wheel: Path
    python: Path
    folder: Path

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the folder, without what leads to the clone."""
        program, *rest = map(str, arguments)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "IQA_", "VIRTUAL_ENV"))
        }
        done = subprocess.run(
            [str(self.python.with_name(program)), *rest],
            cwd=self.folder,
            env={**kept, "IQA_BENCH_CACHE": str(self.folder / "cache"), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("release")
    _call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")  # `build` makes it from the sdist
    work = folder / "somebody"
    work.mkdir()
    _call("git", "-C", work, "init", "--quiet")
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    _call("git", "-C", work, *identity, "commit", "--quiet", "--allow-empty", "-m", "Theirs")
    environment = work / "env"
    _call(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    _call(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet"),
        *("--no-deps", "--no-index", wheel),
    )
    found = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    # Python reads no .pth files of folders named in one: the clone, which the environment of the
    # tests knows by such a file, stays unknown.
    libraries = Path(found.strip()) / "dependencies.pth"
    libraries.write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(sdist, wheel, python, work)


def test_the_wheel_holds_one_package(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()
    (info,) = {name.partition("/")[0] for name in names} - {"bench"}
    assert info.endswith(".dist-info")
    for part in ("methods/grmp/method.py", "protocols/few_shot.yaml", "reports/html/__init__.py"):
        assert f"bench/{part}" in names
    assert not [name for name in names if name.startswith(("bench/tests", "bench/tools"))]


def test_the_sdist_holds_what_a_wheel_is_made_of(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "LICENSE", "CITATION.cff", "bench/methods/kit/__init__.py"} <= names
    assert not [name for name in names if name.startswith((".venv", "results", "site", "dist"))]


def test_clone_and_wheel_agree(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """One name for every module: so digests, pickles and entry points mean the same in both."""
    monkeypatch.delenv(registry.OWN_FOLDERS)  # the toy methods are the tests' own
    registry.entries.cache_clear()
    names = sorted(registry.entries())
    task = Task(train="livec", test="livec", labels=50)
    given = pickle.dumps({"classes": {name: registry.load(name) for name in names}, "task": task})
    text = base64.b64encode(given).decode()
    found = json.loads(installed.run("python", "-c", INSIDE, text).stdout.splitlines()[-1])
    assert Path(found["file"]).is_relative_to(installed.python.parents[1])
    assert found["version"] in installed.wheel.name
    assert found["commit"] == "", "not that of the repository that the environment lies in"
    assert found["digests"] == {name: source.digest(name) for name in names}
    assert found["protocols"] == sorted(protocols.available())
    assert all(found["classes"].values())
    assert found["task"] == task.title


def test_the_installed_command_benchmarks(installed: Installed) -> None:
    command = "run few_shot --datasets demo_authentic --set backbone=tiny --methods ridge"
    installed.run("bench", *command.split(), "--repeats", "1")
    rows = (installed.folder / "results" / "report" / "summary.csv").read_text().splitlines()
    assert any(row.startswith("few_shot,ridge") for row in rows)
    assert "few_shot" in installed.run("bench", "list", "protocols").stdout


def _call(*arguments: object) -> None:
    done = subprocess.run(
        [str(part) for part in arguments], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
