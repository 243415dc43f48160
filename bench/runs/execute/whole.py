"""A fit on everything that is labelled, for use outside any protocol: `bench fit`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import source
from bench.api import OWN
from bench.data import datasets, features, selection
from bench.data.data_cache import DataCache
from bench.model.fitted_weights import WeightsNote, stamp
from bench.model.jobs import Event
from bench.model.records import JOINT, FitSpec, RunSpec, Task
from bench.protocol import Protocol
from bench.protocol.variants import Variant
from bench.runs.execute.pretraining import pretrain_whole
from bench.runs.execute.sides import Sides
from bench.runs.isolation import MethodDied, MethodProcess, Start
from bench.store import Store
from bench.util.atomic import replacing
from bench.util.errors import BenchError, DataError, UsageError

Emit = Callable[[Event], None]
HEARD = (
    *("normalise", "sampling", "seed", "set_for"),
    *("datasets", "pairs", "train", "trainings", "test", "methods", "settings"),
)
"""Keys of a protocol that influence a fit on all labels."""


@dataclass
class WholeFit:
    """One method on all labels of one or several databases.

    The protocol says how labels are scaled and databases are mixed. Its splits, budgets and
    selection are ignored, since nothing is held out: the state after the last epoch is kept.
    """

    variant: Variant
    protocol: Protocol
    sources: Sequence[str]
    """Databases, learnt from together."""
    store: Store
    """Where pre-trained states are kept, as for runs."""
    data_cache: DataCache
    device: str = "cpu"
    batch_size: int = 64
    emit: Emit = lambda event: None

    def check(self) -> None:
        """Raise, before anything is computed, if the fit is impossible or cannot be saved.

        `UsageError` for a method that does not learn and a database without labels, `DataError`
        listing every database that is missing.
        """
        method = self.variant.build()
        if not type(method).learns():
            raise UsageError(
                f"{self.variant.title} learns nothing from labels: use it with `bench predict` "
                "directly"
            )
        for name in self.sources:
            if not datasets.info(name, self.data_cache.data_roots).labelled:
                raise UsageError(f"{name} has no labels to train on")
        corpora = [name for name in method.corpora() if name != OWN]
        absent = datasets.missing([*self.sources, *corpora], self.data_cache.data_roots)
        if absent:
            raise DataError(datasets.describe_missing(absent))

    def write(self, out: Path) -> WeightsNote:
        """Fit in a separate process and write the weights, with a note on their training data.

        Raises `BenchError` for a method that cannot be saved or whose process dies, and
        `MethodFailed` for what it raises.
        """
        pretrained = self._pretrained()
        fit, sides = self._spec(pretrained.stem.rpartition("-")[2] if pretrained else None)
        spec = RunSpec(fit=fit, test=self.sources[0], test_digest="")
        start = Start(
            method=self.variant.method,
            settings=self.variant.raw,
            device=self.device,
            seed=fit.seed,
            batch_size=self.batch_size,
            pretrained=pretrained,
            features=features.folder(),
            feature_bytes=features.bound(),
        )
        try:
            with MethodProcess(start, self._say) as method:
                if not method.facts.saves:
                    raise UsageError(f"{self.variant.title} cannot save what it has learnt")
                judged = Sides(spec, self.data_cache, method.facts.policy, sides)
                train = judged.training()
                for number, epoch in enumerate(method.fit(train), start=1):
                    loss = float(epoch.loss) if math.isfinite(epoch.loss) else None
                    done = Event(kind="epoch", epoch=number, total=epoch.total, loss=loss)
                    self.emit(done)
                account = method.account()
                note = WeightsNote(
                    fit=fit,
                    settings=_portable(self.variant),
                    trained_on=self._seen(account.trained_on),
                    images=sum(len(side.train) for side in sides),
                    digests={side.dataset.info.spec: side.dataset.digest for side in sides},
                    notes=account.notes,
                    environment=account.environment,
                )
                self._keep(method, out, note)
        except MethodDied as death:
            raise BenchError(f"{self.variant.title}: {death}") from death
        return note

    def _keep(self, method: MethodProcess, out: Path, note: WeightsNote) -> None:
        with tempfile.TemporaryDirectory() as folder, replacing(out) as temporary:
            bare = Path(folder) / "fitted.safetensors"
            method.save(bare)
            try:
                stamp(bare, temporary, note)
            except ValueError as error:
                raise BenchError(f"{self.variant.title}.save: {error}") from None

    @property
    def _task(self) -> Task:
        return Task(train=JOINT.join(self.sources), test=self.sources[0], learn="all")

    def _pretrained(self) -> Path | None:
        if not self.variant.build().corpora():
            return None
        self.emit(Event(kind="start", title="pre-training"))
        return pretrain_whole(
            self.variant, self.store, self.data_cache, self.device, self.emit, self._task
        )

    def _spec(self, pretrained: str | None) -> tuple[FitSpec, tuple[selection.SourceSide, ...]]:
        """The specification of the fit, and its training sides."""
        variant, protocol, task = self.variant, self.protocol, self._task
        method = variant.build()
        rule = protocol.split_rule().model_copy(update={"validation": 0.0})
        # The task learns from all images, so that every repeat is the same.
        sides, digests = self.data_cache.sources(task, rule, 0)
        annotations = None
        if method.reads_annotations():
            annotations = self.data_cache.annotations(task, rule, 0)
        fit = FitSpec(
            train=task.train,
            learn=task.learn,
            sampling=protocol.sampling,
            split=rule,
            split_digests=digests,
            repeat=0,
            annotations=annotations,
            method=variant.method,
            method_version=variant.cls.version,
            code=source.digest(variant.cls.name),
            settings=variant.identity(),
            weights=variant.weights(),
            pretrained=pretrained,
            image_policy=str(method.policy),
            normalise=method.fit_normalise or protocol.normalise,
        )
        return fit, sides

    def _seen(self, before: Sequence[str]) -> tuple[str, ...]:
        """All databases whose labels the weights have seen."""
        corpora = selection.corpus_names(self.variant.build().corpora(), self._task)
        return tuple(dict.fromkeys([*self.sources, *before, *corpora]))

    def _say(self, text: str) -> None:
        self.emit(Event(kind="note", title=text))


def _portable(variant: Variant) -> dict[str, Any]:
    """Settings other than files, which another machine may not have."""
    own = variant.settings
    return {
        name: value
        for name, value in variant.raw.items()
        if not isinstance(getattr(own, name), Path)
    }
