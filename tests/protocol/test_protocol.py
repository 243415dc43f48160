"""Protocol files: what is wrong is named with its line, and with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import protocol as protocols
from bench.model.records import Task
from bench.protocol.checks import check_file
from bench.protocol.variants import Variant, apply_assignments, choose, parse_assignments
from bench.util.errors import UsageError


def written(folder: Path, text: str, name: str = "p") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("datasets: [toy]\nlabls: [50]\n", r":2: unknown key 'labls'. Did you mean 'labels'\?"),
        ("datasets: [toy]\nlabels: [1]\n", r":2: 'labels': a label budget is at least 2"),
        ("ratios: [1.5]\n", r":1: 'ratios': a training ratio lies between 0 and 1"),
        ("repeats: many\n", r":1: 'repeats': expected a whole number, not 'many'"),
        (
            "selection: best\n",
            r":1: 'selection': expected .* or 'best_test', not 'best'. Did you mean 'best_test'",
        ),
        (
            "methods:\n- {method: a, sett: {}}\n",
            r":2: unknown key 'methods.0.sett'. Did you mean 'set'",
        ),
        ("methods: [a, a]\n", "two methods are called 'a'"),
        ("labels: [5]\nlabels: [6]\n", r":2: key 'labels' is given twice"),
        ("a: [\n", r":2: not valid YAML"),
        ("- just\n- a list\n", "expected 'key: value' lines"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: !!python/object/apply:os.system [true]\n", "not valid YAML"),
        ("zero_shot: true\nlabels: [50]\n", "zero_shot has no labels"),
    ],
)
def test_errors_name_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        protocols.load(str(written(tmp_path, text)))


def test_a_misspelt_protocol_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'few_shot'"):
        protocols.load("few_shoot")
    with pytest.raises(UsageError, match="Did you mean 'few_shot'"):
        protocols.load("protocols/few_shott.yaml")


def test_every_protocol_of_the_project_is_valid() -> None:
    for name in protocols.available():
        loaded = protocols.load(name)
        assert loaded.title
        assert loaded.tasks()


def test_extends_inherits_and_overrides(tmp_path: Path) -> None:
    written(tmp_path, "title: Parent\ndatasets: [toy]\nlabels: [50]\nrepeats: 3\n", "parent")
    child = protocols.load(str(written(tmp_path, "extends: parent\nlabels: [10, 20]\n", "child")))
    assert (child.name, child.title, child.labels, child.repeats) == (
        "child",
        "Parent",
        (10, 20),
        3,
    )


def test_extends_in_a_circle_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "extends: two\n", "one")
    with pytest.raises(UsageError, match="circle"):
        protocols.load(str(written(tmp_path, "extends: one\n", "two")))


def test_tasks_are_datasets_times_budgets_then_pairs(tmp_path: Path) -> None:
    text = "datasets: [a, b]\npairs: [[a, b]]\nlabels: [50]\nratios: [0.2]\n"
    tasks = protocols.load(str(written(tmp_path, text))).tasks()
    assert tasks == [
        Task(train="a", test="a", labels=50),
        Task(train="a", test="a", ratio=0.2),
        Task(train="b", test="b", labels=50),
        Task(train="b", test="b", ratio=0.2),
        Task(train="a", test="b", labels=50, learn="all", side="whole"),
        Task(train="a", test="b", ratio=0.2, learn="all", side="whole"),
    ]
    assert [task.budget for task in tasks[:2]] == ["50", "20%"]
    assert tasks[-1].title == "a → b"


ROWS = """
datasets: [toy]
settings: {epochs: 7}
methods:
- toy_linear
- {method: toy_linear, label: slow, set: {rate: 0.1}}
- toy_luminance
"""


def settings_of(path: Path, methods: tuple[str, ...], *pairs: str) -> dict[str, dict[str, object]]:
    protocol, settings = apply_assignments(protocols.load(str(path)), parse_assignments(pairs))
    return {row.title: row.raw for row in choose(protocol, methods, settings)}


def test_settings_come_from_protocol_row_and_command(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)
    rows = settings_of(path, (), "toy_linear.strength=2")
    assert rows["toy_linear"] == {"epochs": 7, "rate": 0.5, "wait": 0.0, "strength": 2.0}
    assert rows["slow"] == {"epochs": 7, "rate": 0.1, "wait": 0.0, "strength": 2.0}
    assert rows["toy_luminance"] == {}
    # A setting's alias (lambda) is its field; a row's own setting is what makes it that row.
    rows = settings_of(path, (), "lambda=3", "rate=0.9")
    assert (rows["toy_linear"]["strength"], rows["toy_linear"]["rate"]) == (3.0, 0.9)
    assert rows["slow"]["rate"] == 0.1


def test_methods_choose_rows_by_label_or_method_or_add_others(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)
    assert list(settings_of(path, ("slow",))) == ["slow"]
    assert list(settings_of(path, ("toy_linear",))) == ["toy_linear", "slow"]
    assert list(settings_of(path, ("toy_constant", "slow"))) == ["toy_constant", "slow"]


SET_FOR = """
datasets: [toy]
settings: {epochs: 7}
set_for: {toy: {epochs: 8, strength: 1}, toy2: {epochs: 9}}
methods:
- toy_linear
- method: toy_linear
  label: own
  set: {rate: 0.1}
  set_for: {toy: {epochs: 3}, toy@2: {rate: 0.2}}
- toy_luminance
"""


def on(rows: dict[str, Variant], label: str, dataset: str) -> tuple[object, ...]:
    raw = rows[label].on(dataset).raw
    return tuple(raw[name] for name in ("epochs", "rate", "strength"))


def test_settings_for_one_dataset(tmp_path: Path) -> None:
    protocol = protocols.load(str(written(tmp_path, SET_FOR)))
    rows = {row.title: row for row in choose(protocol, (), {})}
    plain = rows["toy_linear"].raw["strength"]
    assert on(rows, "toy_linear", "elsewhere") == (7, 0.5, plain)
    assert on(rows, "toy_linear", "toy") == on(rows, "toy_linear", "toy@9") == (8, 0.5, 1.0)
    assert on(rows, "toy_linear", "toy2") == (9, 0.5, plain)
    # The row's own win; those of a version come on top of those of its dataset.
    assert on(rows, "own", "toy") == (3, 0.1, 1.0)
    assert on(rows, "own", "toy@2") == (3, 0.2, 1.0)
    assert rows["own"].on("toy").title == "own"
    assert rows["toy_luminance"].on("toy").raw == {}
    # What a command sets stands over the protocol's, not over a row's, unless it names the method.
    rows = {row.title: row for row in choose(protocol, (), {"epochs": 1})}
    assert (on(rows, "toy_linear", "toy")[0], on(rows, "own", "toy")[0]) == (1, 3)
    rows = {row.title: row for row in choose(protocol, (), {"toy_linear.epochs": 1})}
    assert (on(rows, "toy_linear", "toy")[0], on(rows, "own", "toy")[0]) == (1, 1)


def test_settings_for_databases_that_are_learnt_from_together(tmp_path: Path) -> None:
    text = (
        "train: [toy, toy2]\ntest: [toy]\nmethods: [toy_linear]\n"
        "set_for: {toy: {epochs: 8}, toy+toy2: {epochs: 9}, toy@2+toy2: {rate: 0.2}}\n"
    )
    path = written(tmp_path, text)
    rows = {row.title: row for row in choose(protocols.load(str(path)), (), {})}
    assert on(rows, "toy_linear", "toy")[0] == 8
    assert on(rows, "toy_linear", "toy+toy2")[:2] == (9, 0.5)
    assert on(rows, "toy_linear", "toy@2+toy2")[:2] == (9, 0.2)
    # What is set for one of them is not meant for them together.
    others = on(rows, "toy_linear", "elsewhere")
    assert on(rows, "toy_linear", "toy+toy3") == on(rows, "toy_linear", "toy@9+toy3") == others
    # In whatever order they are named.
    path.write_text(
        "train: [toy2, toy]\ntest: [toy]\nlabels: {toy+toy2: [7]}\n"
        "set_for: {toy+toy2: {epochs: 9}, toy2+toy@2: {epochs: 4}}\n"
        "methods: [{method: toy_linear, set_for: {toy+toy2: {rate: 0.2}}}]\n"
    )
    turned = protocols.load(str(path))
    rows = {row.title: row for row in choose(turned, (), {})}
    assert on(rows, "toy_linear", "toy2+toy")[:2] == (9, 0.2)
    assert on(rows, "toy_linear", "toy@2+toy2")[:2] == (4, 0.2)
    assert [task.labels for task in turned.tasks()] == [7]
    path.write_text(
        "train: [koniq10k, spaq]\ntest: [koniq10k]\nmethods: [toy_linear]\n"
        "set_for: {koniq10k+koniq: {epochs: 9}}\n"
    )
    with pytest.raises(UsageError, match=r":4: unknown dataset 'koniq'"):
        check_file(str(path), [])


@pytest.mark.parametrize(
    "given",
    [
        "set_for: {koniq10k+spaq: {epochs: 9}, spaq+koniq10k: {epochs: 8}}\n",
        "labels: {koniq10k+spaq: [50], spaq+koniq10k: [60]}\n",
        "methods:\n- method: toy_linear\n  set_for: {koniq10k+spaq: {}, spaq+koniq10k: {}}\n",
    ],
)
def test_one_mixture_is_named_in_one_order(tmp_path: Path, given: str) -> None:
    path = written(tmp_path, f"train: [koniq10k, spaq]\ntest: [koniq10k]\n{given}")
    with pytest.raises(UsageError, match=r"'koniq10k\+spaq' and 'spaq\+koniq10k' are the same"):
        check_file(str(path), [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set_for: {toy: {epoch: 3}}\nmethods: [toy_linear]\n", "set_for.toy.epoch: .*'epochs'"),
        (
            "methods: [{method: toy_linear, set_for: {toy: {rates: 1}}}]\n",
            "'toy_linear.rates'.*Did you mean 'rate'",
        ),
        ("set_for: {toy: 3}\nmethods: [toy_linear]\n", ":1: 'set_for.toy'"),
    ],
)
def test_wrong_settings_for_a_dataset_are_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        choose(protocols.load(str(written(tmp_path, text))), (), {})


@pytest.mark.parametrize(
    "rows",
    [
        "methods: [toy_linear]\nset_for: {koniq: {epochs: 1}}\n",
        "methods:\n- {method: toy_linear, set_for: {koniq: {epochs: 1}}}\n",
    ],
)
def test_a_misspelt_dataset_of_settings_is_named(tmp_path: Path, rows: str) -> None:
    path = written(tmp_path, f"datasets: [koniq10k]\n{rows}")
    with pytest.raises(UsageError, match=r":3: unknown dataset 'koniq'\. Did you mean 'koniq10k'"):
        check_file(str(path), [])


@pytest.mark.parametrize(
    ("methods", "pairs", "expected"),
    [
        (("toy_linaer",), (), "unknown method 'toy_linaer'. Did you mean 'toy_linear'"),
        (
            (),
            ("epoch=3",),
            "--set epoch: none of the methods has this setting. Did you mean 'epochs'",
        ),
        ((), ("toy_linear.rates=3",), "Did you mean 'toy_linear.rate'"),
        ((), ("epochs=many",), "'toy_linear.epochs': expected a whole number, not 'many'"),
        ((), ("epochs",), "expected key=value"),
        (("toy_luminance:x",), (), "takes no ':x'"),
        (("pyiqa",), (), "needs an argument, as in 'pyiqa:NAME'"),
        (
            (),
            ("selection=worst",),
            "'selection': expected 'last', 'val' or 'best_test', not 'worst'",
        ),
    ],
)
def test_wrong_methods_and_settings_are_named(
    tmp_path: Path, methods: tuple[str, ...], pairs: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        settings_of(written(tmp_path, ROWS), methods, *pairs)


def test_set_reaches_protocol_fields(tmp_path: Path) -> None:
    protocol, rest = apply_assignments(
        protocols.load(str(written(tmp_path, ROWS))),
        parse_assignments(["selection=best_test", "labels=[5, 10]", "rate=1"]),
    )
    assert (protocol.selection, protocol.labels, rest) == ("best_test", (5, 10), {"rate": 1})
