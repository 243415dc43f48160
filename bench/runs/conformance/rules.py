"""The rules of the contract, one function each, whose docstring `bench conform` prints.

A rule raises `Broken` with the reason, or `Inapplicable` if it does not concern the method.
docs/methods.md states the rules in words.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from bench import registry
from bench.api import BenchError, LabelledSet, Method, Settings, UsageError
from bench.data.images.decode import decode
from bench.data.selection import joined
from bench.metrics import srcc
from bench.model.images import ArrayImages
from bench.runs.conformance.sample_images import save_png, seen
from bench.runs.conformance.subject import (
    HIGHEST,
    LOWEST,
    Inapplicable,
    Scores,
    Subject,
    require,
    turned,
)
from bench.runs.conformance.unsafe import unsafe_weights
from bench.runs.execute.ready import load_weights

SETTLED = 2e-4
"""Share of the scores' range that other batch sizes may move them, by rounding."""
ROUNDING = 4e-5
"""Share of the scores' size allowed for float32 rounding, where few steps leave them close."""
CHEAP = 0.2
"""Seconds of processor time, since planning builds a method for every row."""
FOLLOWS = 0.5
"""SRCC above which scores count as following labels or detail."""
MOST = 0.75
"""Share of scenes that must score above their copies without detail."""

Rule = Callable[[Subject], None]


def settings_are_described(subject: Subject) -> None:
    """every setting has a description, and an unknown one is refused"""
    cls = subject.cls
    require(issubclass(cls.Settings, Settings), "its Settings are not bench.api.Settings")
    properties = cls.Settings.model_json_schema(by_alias=False).get("properties", {})
    bare = [key for key, value in properties.items() if not value.get("description")]
    require(not bare, f"settings without a description: {', '.join(bare)}")
    needed = {cls.argument: "x"} if cls.argument else {}
    with contextlib.suppress(UsageError):
        registry.validated(cls, {**needed, "no_such_setting": 1})
        require(False, "a setting that it does not have was taken")


def building_is_cheap(subject: Subject) -> None:
    """building it is cheap and needs no weights"""
    subject.build()
    start = time.process_time()
    method = subject.build()
    corpora, trained_on, policy = method.corpora(), method.trained_on(), method.policy
    spent = time.process_time() - start
    require(spent < CHEAP, f"took {spent:.2f} s; load weights at first use")
    require(isinstance(corpora, tuple), f"corpora() is {corpora!r}, no tuple")
    require(isinstance(trained_on, tuple), f"trained_on() is {trained_on!r}, no tuple")
    require(policy.resize in ("none", "squash", "short_side"), f"unknown policy {policy}")
    summary = (subject.cls.__doc__ or "").partition("\n")[0]
    require(summary.endswith("."), "its docstring's first line is not a sentence")


def scores_are_numbers(subject: Subject) -> None:
    """scores are one finite number for each image"""
    scores, train = subject.trained.scores, subject.trained.train
    require(scores.shape == (len(train),), f"shape {scores.shape} for {len(train)} images")
    require(np.issubdtype(scores.dtype, np.floating), f"their type is {scores.dtype}")
    require(bool(np.isfinite(scores).all()), "not all are finite")
    one = np.asarray(subject.trained.method.predict(train.images.subset([2])))
    require(one.shape == (1,), f"shape {one.shape} for one image")


def fit_leaves_labels(subject: Subject) -> None:
    """fit reports epochs, leaves the labels as they are, and opens no database"""
    method = subject.build()
    train = subject.labelled(method)
    expected = np.linspace(LOWEST, HIGHEST, len(train))
    closed: Any = contextlib.nullcontext()
    if method.oracle_of() is None:  # an oracle declares that it knows the labels of its database
        closed = mock.patch("bench.data.datasets.load", _no_labels)
    with closed:
        epochs = list(method.fit(train))
        again = np.asarray(method.predict(train.images))
    learns = type(method).learns()
    require(bool(epochs) == learns, f"{len(epochs)} epochs of a method that does not learn")
    require(bool(np.isfinite([epoch.loss for epoch in epochs]).all()), "a loss is not finite")
    require(train.scores.tolist() == expected.tolist(), "the labels changed")
    # The subject was trained with predictions between epochs, which must change nothing.
    moved = float(np.abs(again - subject.trained.scores).max())
    require(moved < 1e-6, f"a second run under the same seed differs by {moved:g}")


def _no_labels(*_: Any, **__: Any) -> Any:
    raise AssertionError("a method gets its labels from the harness and opens no database itself")


def databases_are_learnt_together(subject: Subject) -> None:
    """a learner takes several databases at once"""
    if not subject.cls.learns():
        raise Inapplicable("it does not learn")
    method = subject.build()
    train = subject.labelled(method)
    half = len(train) // 2
    parts = [_part(train, "graded", slice(None, half)), _part(train, "other", slice(half, None))]
    pooled = joined(parts)
    next(iter(method.fit(pooled)))  # a first epoch has seen whatever the method reads
    scores = np.asarray(method.predict(train.images))
    require(scores.shape == (len(train),), f"shape {scores.shape} for {len(train)} images")
    require(bool(np.isfinite(scores).all()), "not all scores are finite")


def _part(train: LabelledSet, name: str, rows: slice) -> LabelledSet:
    """Some images of a labelled set, as those of a database of this name."""
    columns = ("references", "distortions", "levels", "scenes")
    return replace(
        train,
        dataset=name,
        images=train.images.subset(range(len(train))[rows]),
        scores=train.scores[rows],
        sources=(name,) * len(range(len(train))[rows]),
        **{column: getattr(train, column)[rows] for column in columns},
    )


def order_does_not_matter(subject: Subject) -> None:
    """order and batches of images do not change their scores"""
    method, train, scores = _parts(subject)
    order = np.random.default_rng(1).permutation(len(train)).tolist()
    spread = max(float(np.ptp(scores)), 1e-6)
    usual, method.context.batch_size = method.context.batch_size, 3
    try:
        shuffled = np.asarray(method.predict(train.images.subset(order)))
    finally:
        method.context.batch_size = usual
    allowed = SETTLED * spread + ROUNDING * np.abs(scores).max() + 1e-9
    moved = float(np.abs(shuffled - scores[order]).max())
    require(moved <= allowed, f"scores moved by {moved:g}")


def generators_are_left_alone(subject: Subject) -> None:
    """predicting does not use the global random generators, which belong to training"""
    import torch

    method, train, _ = _parts(subject)
    if not type(method).learns():
        raise Inapplicable("it does not learn")
    expected = None
    for predicts in (False, True):
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        if predicts:
            method.predict(train.images)
        drawn = torch.rand(2).tolist(), np.random.rand(2).tolist()  # noqa: NPY002
        expected = expected or drawn
        require(drawn == expected, "a prediction changed their state")


def what_is_saved_is_loaded(subject: Subject) -> None:
    """what it has learned can be saved and loaded"""
    if subject.cls.save is Method.save:
        require(not subject.cls.learns(), "it learns, but has no save() and load()")
        raise Inapplicable("it has nothing to save")
    method, train, scores = _parts(subject)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        method.save(path)
        names = [found.name for found in Path(folder).iterdir()]
        require(names == [path.name], f"save() wrote {', '.join(names)}")
        again = subject.build(seed=4)
        again.load(path)
        moved = float(np.abs(np.asarray(again.predict(train.images)) - scores).max())
    require(moved < 1e-6, f"scores differ by {moved:g} after loading")


def weights_run_no_code(subject: Subject) -> None:
    """weights that would run code are refused"""
    if subject.cls.load is Method.load:
        raise Inapplicable("it loads no weights")
    _parts(subject)
    with tempfile.TemporaryDirectory() as folder:
        for path, marker in unsafe_weights(Path(folder)):
            with contextlib.suppress(BenchError):
                load_weights(subject.build(), path)
                require(False, f"'{path.name}' was loaded")
            require(not marker.exists(), f"'{path.name}' ran code")


def features_have_a_row_an_image(subject: Subject) -> None:
    """features and named numbers have one row for each image"""
    method, train, _ = _parts(subject)
    numbers = {key: np.shape(values) for key, values in method.per_image(train.images).items()}
    wrong = [f"'{key}' {shape}" for key, shape in numbers.items() if shape != (len(train),)]
    require(not wrong, f"per_image gave {', '.join(wrong)} for {len(train)} images")
    if type(method).embed is Method.embed:
        if not numbers:
            raise Inapplicable("it has none")
        return
    features = np.asarray(method.embed(train.images))
    fits = features.ndim == 2 and len(features) == len(train)
    require(fits, f"embed gave shape {features.shape} for {len(train)} images")
    require(bool(np.isfinite(features).all()), "a feature is not finite")


def attention_is_a_map_an_image(subject: Subject) -> None:
    """attention is one map for each image in 0 to 1, and computing it changes no score"""
    method, train, scores = _parts(subject)
    if type(method).attend is Method.attend:
        raise Inapplicable("it has no attention maps")
    maps = np.asarray(method.attend(train.images))
    fits = maps.ndim == 3 and len(maps) == len(train)
    require(fits, f"attend gave shape {maps.shape} for {len(train)} images")
    require(maps.min() >= 0 and maps.max() <= 1, f"from {maps.min():g} to {maps.max():g}")
    part = np.asarray(method.attend(train.images.subset([2, 0])))
    require(np.allclose(part, maps[[2, 0]], atol=1e-4), "a map depends on the other images")
    after = np.asarray(method.predict(train.images))
    require(np.array_equal(after, scores), "scores changed after it")


def small_images_are_named(subject: Subject) -> None:
    """an image of 4 x 5 pixels is scored, or refused with its name"""
    method, _, _ = _parts(subject)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "000.png"
        save_png(path, np.full((5, 4, 3), 90))
        small = ArrayImages([decode(path, method.policy)], [path.name])
    try:
        shape = np.shape(method.predict(small))
    except BenchError as error:
        require(f"'{path.name}'" in str(error), f"refused without its name: {error}")
    else:
        require(shape == (1,), f"shape {shape} for one image")


def higher_is_better(subject: Subject) -> None:
    """scores run upwards: with labels that it learns from, or with detail"""
    if not subject.cls.judges_images:
        raise Inapplicable("its scores do not follow from pixels")
    if not subject.cls.learns():
        prefers_clean(subject, subject.build())
        return
    _, train, up = _parts(subject)
    other = subject.build()
    list(other.fit(turned(train)))
    follows_labels(up, np.asarray(other.predict(train.images)), train.scores, subject.strict)


def follows_labels(up: Scores, down: Scores, labels: Scores, strict: bool = True) -> None:
    """Require that scores rise with the labels, and that `down`, learnt from reversed ones,
    fall."""
    bent = srcc(up - down, labels)
    require(bent > FOLLOWS, f"reversed labels do not reverse scores: SRCC {bent:.2f}")
    if strict:  # after few steps a network still shows much of its initial state
        first, second = srcc(up, labels), srcc(down, labels)
        require(first > FOLLOWS, f"SRCC with the labels it learned from is {first:.2f}")
        require(second < -FOLLOWS, f"SRCC is {second:.2f} after learning reversed labels")


def prefers_clean(subject: Subject, method: Method) -> None:
    """Require that most scenes score above their copies without detail, without any training."""
    clean = np.asarray(method.predict(seen(subject.pictures.clean, method.policy)))
    blurred = np.asarray(method.predict(seen(subject.pictures.blurred, method.policy)))
    better, count = int((clean > blurred).sum()), len(clean)
    require(better >= MOST * count, f"{better} of {count} scenes score above their blurred copy")


def _parts(subject: Subject) -> tuple[Method, Any, Scores]:
    return subject.trained.method, subject.trained.train, subject.trained.scores


RULES: tuple[Rule, ...] = (
    settings_are_described,
    building_is_cheap,
    scores_are_numbers,
    fit_leaves_labels,
    databases_are_learnt_together,
    order_does_not_matter,
    generators_are_left_alone,
    what_is_saved_is_loaded,
    weights_run_no_code,
    features_have_a_row_an_image,
    attention_is_a_map_an_image,
    small_images_are_named,
    higher_is_better,
)
