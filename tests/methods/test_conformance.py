"""The contract of `bench.api.Method`, asked of every registered method: `bench conform` for all.

Which those are is in `conformance.py`; a new method is found by itself.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import pyiqa_library, registry
from bench.api import BenchError, Context, Method, Settings
from bench.methods.pyiqa_trained.networks import ARCHITECTURES
from bench.metrics import srcc
from bench.runs import conformance as asked
from bench.runs.conformance import rules
from bench.runs.conformance import sample_images as drawn
from bench.runs.conformance.subject import Broken, Inapplicable, Subject, refused, turned
from tests.conftest import TOY_METHODS, Bench
from tests.methods import conformance, test_pyiqa
from tests.methods.conformance import cases, names


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> drawn.Pictures:
    """The pictures, and `given.csv` with scores of the graded ones."""
    folder = tmp_path_factory.mktemp("images")
    lines = ["image,score", *(f"{index:03}.png,{index}" for index in range(drawn.COUNT)), ""]
    (folder / "given.csv").write_text("\n".join(lines))
    return drawn.draw(folder)


@pytest.fixture(scope="module")
def subjects() -> dict[str, Subject]:
    """The case at hand only: a network can have hundreds of megabytes."""
    return {}


@pytest.fixture(autouse=True)
def _where_methods_look(
    pictures: drawn.Pictures, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The methods of whoever started the suite, toy data, and no downloads: weights count as had
    only where they are here already."""

    def no_download(url: str, *_: Any, **__: Any) -> None:
        raise OSError("no downloads in tests")

    monkeypatch.setenv("IQA_DATA", str(toy_data))
    monkeypatch.setenv("IQA_BENCH_SCORES", str(pictures.graded[0].parent.parent))
    monkeypatch.setattr("pyiqa.utils.download_util.download_url_to_file", no_download)
    monkeypatch.setattr("torch.hub.download_url_to_file", no_download)
    if conformance.OWN is None:
        monkeypatch.delenv(registry.OWN_FOLDERS)
    else:
        monkeypatch.setenv(registry.OWN_FOLDERS, conformance.OWN)
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test a case and rule; all rules for a case follow each other, so that it trains once."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
        metafunc.parametrize("case", conformance.marked(), scope="module")


def test_contract(
    case: str, rule: rules.Rule, pictures: drawn.Pictures, subjects: dict[str, Subject]
) -> None:
    if case not in subjects:
        subjects.clear()
        subjects[case] = Subject(case, pictures, **conformance.options(case))
    try:
        rule(subjects[case])
    except Inapplicable as reason:
        pytest.skip(f"{case}: {reason}")
    except BenchError as error:
        if refused(error):
            pytest.skip(f"{case}: {error}")
        raise


def subject(case: str, pictures: drawn.Pictures, **given: Any) -> Subject:
    return Subject(case, pictures, given)


# -- what is asked of methods whose scores do not follow from pixels ---------------------------


def says_the_same_of_all(case: str, pictures: drawn.Pictures) -> None:
    """No direction: one score for every image; where it learns, its level goes with the labels."""
    found = subject(case, pictures).trained
    assert np.ptp(found.scores) == 0
    if found.method.learns():
        lower = subject(case, pictures).build()
        list(lower.fit(replace(found.train, scores=found.train.scores / 2)))
        assert np.max(lower.predict(found.train.images)) < found.scores.min()


def goes_up_as_often_as_down(case: str, pictures: drawn.Pictures) -> None:
    """No direction: over seeds the correlation is zero, and no seed's images are alike."""
    made = subject(case, pictures)
    train = made.labelled(made.build())
    found = [srcc(made.build(seed).predict(train.images), train.scores) for seed in range(60)]
    standard_error = 1 / np.sqrt(drawn.COUNT - 1) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * standard_error
    assert min(found) < -0.3
    assert max(found) > 0.3


def gives_back_what_is_known(case: str, pictures: drawn.Pictures) -> None:
    """Scores that the method looks up by the image's name."""
    with (Path(os.environ["IQA_DATA"]) / "toy" / "scores.csv").open(newline="") as file:
        labels = [float(row["score"]) for row in csv.DictReader(file)][: drawn.COUNT]
    known = labels if case == "oracle:toy" else list(range(drawn.COUNT))
    assert subject(case, pictures).trained.scores == pytest.approx(known)


OTHERWISE: dict[str, Callable[[str, drawn.Pictures], None]] = {
    "constant": says_the_same_of_all,
    "label_mean": says_the_same_of_all,
    "random": goes_up_as_often_as_down,
    "oracle:toy": gives_back_what_is_known,
    "scores:given": gives_back_what_is_known,
}


@pytest.mark.parametrize("blind", OTHERWISE)
def test_scores_that_do_not_follow_from_pixels(blind: str, pictures: drawn.Pictures) -> None:
    OTHERWISE[blind](blind, pictures)


# -- the suite itself --------------------------------------------------------------------------


def test_no_method_needs_torch_to_be_planned() -> None:
    """Planning builds methods and asks what they need; on a large plan torch would be felt."""
    code = (
        "import sys\n"
        "from bench import registry\n"
        "for name, entry in registry.entries().items():\n"
        "    if entry.source is None: registry.load(name)\n"
        "print(sorted({'torch', 'pyiqa', 'timm', 'sklearn'} & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_no_registered_method_is_left_out() -> None:
    """One case each at least, and a short name stands for a method that has cases.

    Of pyiqa's metrics, those with weights have their direction from test_pyiqa.py.
    """
    asked_of = {registry.split_name(case)[0] for case in cases()}
    entries = registry.entries().items()
    known = {registry.split_name(entry.stands_for or name)[0] for name, entry in entries}
    assert known - asked_of == {"vlm"}  # tests/methods/vlm asks it with a server
    blind = {name for name in asked_of if not registry.load(name).judges_images}
    assert {registry.split_name(case)[0] for case in OTHERWISE} == blind
    assert {f"pyiqa_trained:{arch}" for arch in ARCHITECTURES} <= set(cases())
    assert set(cases()) >= conformance.LONG
    assert set(conformance.ARGUMENTS) - asked_of == {"vlm"}
    turned_round = test_pyiqa.test_every_metric_is_turned_upwards_and_shown_the_files_pixels
    metrics = {metric for mark in turned_round.pytestmark for metric in mark.args[1]}
    assert metrics == set(pyiqa_library.metric_names())
    assert set(registry.load("pyiqa").short_names) <= metrics


def test_a_method_of_ones_own_joins_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from bench.api import Method\n\nclass Mine(Method):\n    name = 'mine'\n"
    )
    monkeypatch.setenv(registry.OWN_FOLDERS, str(tmp_path))
    registry.entries.cache_clear()
    assert "mine" in cases()
    monkeypatch.setattr(registry, "METHODS_FOLDER", tmp_path)
    monkeypatch.delenv(registry.OWN_FOLDERS)
    registry.entries.cache_clear()
    assert names() == ["mine"]


def toy(name: str) -> type[Any]:
    os.environ[registry.OWN_FOLDERS] = str(TOY_METHODS)
    registry.entries.cache_clear()
    return registry.load(name)


def test_scores_that_run_downwards_are_found(
    pictures: drawn.Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules themselves, on a learner and on a judge that are turned round."""
    monkeypatch.setenv(registry.OWN_FOLDERS, str(TOY_METHODS))
    learner, judge = toy("toy_linear"), detail(toy("toy_luminance"))
    for cls, fails in ((learner, False), (downwards(learner), True)):
        settings = registry.validated(cls, {"epochs": 200})
        first, second = (cls(settings, Context(seed=1)) for _ in range(2))
        train = subject("toy_linear", pictures).labelled(first)
        other = turned(train)
        for method, labels in ((first, train), (second, other)):
            list(method.fit(labels))
        up, down = first.predict(train.images), second.predict(train.images)
        if fails:
            with pytest.raises(Broken, match="reversed labels do not reverse scores"):
                rules.follows_labels(up, down, train.scores)
        else:
            rules.follows_labels(up, down, train.scores)
    made = subject("toy_luminance", pictures)
    rules.prefers_clean(made, judge(Settings(), Context()))
    with pytest.raises(Broken, match="above their blurred copy"):
        rules.prefers_clean(made, downwards(judge)(Settings(), Context()))


def downwards(cls: type[Any]) -> type[Any]:
    """The method with its scores negated."""

    class Downwards(cls):
        def predict(self, images: Any) -> Any:
            return -super().predict(images)

    return Downwards


def detail(cls: type[Any]) -> type[Any]:
    """A method that scores how much neighbouring pixels differ."""

    class Detail(cls):
        def predict(self, images: Any) -> Any:
            return np.array([np.diff(image.astype(float), axis=1).std() for image in images])

    return Detail


# -- the command -------------------------------------------------------------------------------

FAULTY = '''
"""A method with most faults that a method can have."""

import numpy as np
import torch

from bench.api import Epoch, Method, Settings


class FaultySettings(Settings):
    rate: float = 0.5


class Faulty(Method):
    """No sentence"""

    name = "faulty"
    Settings = FaultySettings

    def fit(self, train):
        self.level = train.scores.mean()
        yield Epoch(loss=float("nan"))

    def predict(self, images):
        np.random.rand()
        return np.array([-image.std() for image in images]) - images[0].mean()
'''


def test_the_command_says_what_holds_and_what_is_broken(bench: Bench) -> None:
    own = bench.folder / "own"
    own.mkdir()
    (own / "faulty.py").write_text(FAULTY)
    found = bench("conform", "faulty", IQA_BENCH_METHODS=str(own))
    assert found.returncode == 1, found.stdout + found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == len(rules.RULES)
    broken = [line for line in lines if line.startswith("BROKEN")]
    for text in (
        "settings without a description: rate",
        "first line is not a sentence",
        "a loss is not finite",
        "scores moved by",
        "a prediction changed their state",
        "it learns, but has no save() and load()",
        "reversed labels do not reverse scores",
    ):
        assert any(text in line for line in broken), text
    assert any(line.startswith("ok") and "finite number" in line for line in lines)
    assert any(line.startswith("-") and "no attention maps" in line for line in lines)


def test_the_command_takes_any_method_and_its_settings(bench: Bench) -> None:
    found = bench("conform", "ridge", "--set", "ridge.penalties=[1.0]")
    assert found.returncode == 0, found.stdout + found.stderr
    assert not [line for line in found.stdout.splitlines() if not line.startswith(("ok", "-"))]
    wrong = bench("conform", "rigde")
    assert wrong.returncode == 2
    assert "Did you mean 'ridge'" in wrong.stderr
    assert bench("conform", "ridge", "--set", "penaltys=1").returncode == 2


def test_an_outcome_is_given_for_every_rule() -> None:
    found = list(asked.conform("label_mean", {}))
    assert [outcome.verdict for outcome in found].count("inapplicable") == 3
    assert not [outcome for outcome in found if outcome.verdict == "broken"]
    assert isinstance(registry.load("label_mean").small(None), dict)
    assert issubclass(registry.load("label_mean"), Method)
