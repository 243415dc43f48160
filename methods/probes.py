"""Regressors on frozen features of a CLIP or of a network of timm.

Linear probe, ridge (how CONTRIQUE, Re-IQA and GRepQ are evaluated), support vector regression and
nearest neighbours. Penalties are chosen by cross-validation within the training images, whole
references held out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from bench import backbones
from bench.api import BenchError, Context, Epoch, ImagePolicy, Images, LabelledSet, Method, Scores
from bench.methods.kit.heads import Array, Head, chosen, fewest, respond
from bench.methods.kit.image_features import FeatureSettings, ImageFeatures
from bench.methods.kit.schedules import Schedule, cosine

WIDTH = 512
"""Features of CLIP ViT-B/16, for which the rates of `linear_probe` are meant."""


class ProbeSettings(FeatureSettings):
    """The source of the features."""

    scales: tuple[float, ...] = Field(default=(1.0,), min_length=1)
    """Sizes at which an image is shown, features side by side (CONTRIQUE: 1 and 0.5). Others than 1
    need positions=false, resize_mode=none or short_side, or a network that takes any size."""

    @model_validator(mode="after")
    def _scales_need_whole_images(self) -> ProbeSettings:
        if self.positions and self.scales != (1.0,):
            raise ValueError("scales other than 1 need positions=false")
        if min(self.scales) <= 0:
            raise ValueError("scales are above 0")
        return self


class _Probe(Method):
    """Frozen features, standardised, and a regressor on them."""

    Settings: ClassVar[type[ProbeSettings]] = ProbeSettings
    settings: ProbeSettings

    def __init__(self, settings: ProbeSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.features = ImageFeatures(settings, context)
        self.head: Head = {}

    @property
    def policy(self) -> ImagePolicy:
        """As the settings say."""
        return self.settings.policy

    @abstractmethod
    def regress(self, x: Array, y: Array, groups: Sequence[str]) -> Iterator[Epoch]:
        """Set `head` from standardised features (n, d) and labels (n,), pass by pass."""

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Features once, then the regressor."""
        features = self.embed(train.images)
        mean, spread = features.mean(axis=0), features.std(axis=0)
        spread[spread < 1e-8] = 1
        self.head = {"mean": mean, "spread": spread}
        groups = [
            reference or name
            for reference, name in zip(train.references, train.images.names, strict=True)
        ]
        yield from self.regress((features - mean) / spread, np.asarray(train.scores, float), groups)

    def predict(self, images: Images) -> Scores:
        """The regressor's answer on the training labels' scale, (n,). UsageError before `fit`."""
        if "weights" not in self.head:
            raise self.unlearnt()
        features = self.embed(images)
        return respond(self.head, (features - self.head["mean"]) / self.head["spread"])

    def embed(self, images: Images) -> Array:
        """Features of all scales side by side, (n, d)."""
        parts = [self.features.of(images, scale) for scale in self.settings.scales]
        return np.concatenate(parts, axis=1)

    def own_parameters(self) -> int:
        """The regressor's numbers."""
        return sum(np.asarray(value).size for value in self.head.values())

    def save(self, path: Path) -> None:
        """Write the regressor and the name of its features."""
        import torch

        from bench.methods.kit import checkpoints

        head = {name: torch.tensor(np.atleast_1d(value)) for name, value in self.head.items()}
        checkpoints.write(path, head, features=self._origin())

    def load(self, path: Path) -> None:
        """Read a file of `save`. BenchError for a regressor on other features."""
        from bench.methods.kit import checkpoints

        found = checkpoints.read(path)
        if "weights" not in found.tensors:
            raise BenchError(f"'{path}' holds no fitted {self.name}")
        origin = found.header.get("features")
        if origin != self._origin():
            raise BenchError(
                f"'{path}' was fitted on other features: {origin}, and here are {self._origin()}"
            )
        self.head = {name: value.numpy() for name, value in found.tensors.items()}

    def _origin(self) -> str:
        """The backbone with its weights, and the features that are used."""
        own = self.settings
        named = backbones.identity(own.backbone)
        taken = own.model_dump_json(include=set(ProbeSettings.model_fields) - {"backbone"})
        return f"{named['name']} ({named['weights']}) {taken}"


class LinearProbeSettings(ProbeSettings):
    """A linear layer trained by gradient steps."""

    epochs: int = Field(default=100, ge=1)
    """Passes over the training images."""
    lr: float = Field(default=1e-3, gt=0)
    """Of Adam with 512 features, cosine over the epochs; with more of them a score moves as little,
    since features are scaled by 512 over their number."""
    weight_decay: float = Field(default=1e-2, ge=0)
    """Decoupled, on the weights."""
    batch_size: int = Field(default=32, ge=1)
    """Training images a step."""


class LinearProbe(_Probe):
    """A linear layer on frozen features, trained by squared error."""

    name = "linear_probe"
    Settings: ClassVar[type[LinearProbeSettings]] = LinearProbeSettings
    settings: LinearProbeSettings

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """Fewer epochs."""
        return {"epochs": 30}

    def schedules(self, images: int) -> Mapping[str, Schedule]:
        """The layer's rates."""
        own = self.settings
        return {"fit": Schedule(own.lr, own.epochs, cosine(own.epochs))}

    def regress(self, x: Array, y: Array, groups: Sequence[str]) -> Iterator[Epoch]:
        """AdamW from zero weights and the mean label; the offset does not decay."""
        import torch

        from bench.methods.kit import optimisers
        from bench.methods.kit.trainer import At, Trainer

        own, count = self.settings, len(y)
        # Adam moves each weight alike, and so a score in proportion to how many there are.
        share = min(1.0, WIDTH / x.shape[1])
        layer = torch.nn.Linear(x.shape[1], 1, dtype=torch.float64)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, y.mean())
        rows, labels = torch.tensor(x * share), torch.tensor(y)

        def batches(epoch: int) -> list[list[int]]:
            order = self.context.rng("epoch", epoch).permutation(count).tolist()
            return [order[at : at + own.batch_size] for at in range(0, count, own.batch_size)]

        def loss(batch: Sequence[int], at: At) -> torch.Tensor:
            return (layer(rows[batch])[:, 0] - labels[batch]).square().mean()

        schedule = self.schedules(count)["fit"]
        optimiser = optimisers.build(
            "adamw", layer.named_parameters(), own.lr, own.weight_decay, spared=()
        )
        for epoch in Trainer(layer, optimiser, schedule, batches, loss, self.context).run():
            weights, offset = layer.weight.detach()[0] * share, layer.bias.detach()
            self.head |= {"weights": weights.numpy().copy(), "offset": offset.numpy().copy()}
            yield epoch


class RidgeSettings(ProbeSettings):
    """Ridge regression."""

    penalties: tuple[float, ...] = Field(
        default=(0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6), min_length=1
    )
    """Candidates; the best in cross-validation is taken. GRepQ: 0.1 to 100."""


class Ridge(_Probe):
    """Ridge regression on frozen features, penalty by cross-validation."""

    name = "ridge"
    Settings: ClassVar[type[RidgeSettings]] = RidgeSettings
    settings: RidgeSettings

    def regress(self, x: Array, y: Array, groups: Sequence[str]) -> Iterator[Epoch]:
        """The closed form."""
        from sklearn.linear_model import Ridge as Solver

        candidates = [Solver(alpha=penalty) for penalty in self.settings.penalties]
        best = chosen(candidates, x, y, groups).fit(x, y)
        self.head |= {"weights": best.coef_, "offset": np.atleast_1d(best.intercept_)}
        error = best.predict(x) - y
        yield Epoch(float((error**2).mean()), {"penalty": float(best.alpha)}, total=1)


class SvrSettings(ProbeSettings):
    """Support vector regression."""

    kernel: Literal["rbf", "linear"] = "rbf"
    """The kernel."""
    costs: tuple[float, ...] = Field(default=(0.1, 1.0, 10.0, 100.0), min_length=1)
    """Candidates for C; the best in cross-validation is taken."""
    epsilon: float = Field(default=0.05, ge=0)
    """Errors below it cost nothing."""


class Svr(_Probe):
    """Support vector regression on frozen features, cost by cross-validation."""

    name = "svr"
    Settings: ClassVar[type[SvrSettings]] = SvrSettings
    settings: SvrSettings

    def regress(self, x: Array, y: Array, groups: Sequence[str]) -> Iterator[Epoch]:
        """libsvm's solution."""
        from sklearn.svm import SVR

        own, gamma = self.settings, 1 / (x.shape[1] * max(float(x.var()), 1e-12))
        candidates = [
            SVR(kernel=own.kernel, C=cost, epsilon=own.epsilon, gamma=gamma) for cost in own.costs
        ]
        best = chosen(candidates, x, y, groups).fit(x, y)
        kernel = {"gamma": np.array([gamma])} if own.kernel == "rbf" else {}
        self.head |= {
            "support": best.support_vectors_,
            "weights": best.dual_coef_[0],
            "offset": np.atleast_1d(best.intercept_),
            **kernel,
        }
        error = best.predict(x) - y
        yield Epoch(float((error**2).mean()), {"cost": float(best.C)}, total=1)


class KnnSettings(ProbeSettings):
    """Nearest neighbours."""

    neighbours: tuple[int, ...] = Field(default=(1, 3, 5, 10, 20, 40), min_length=1)
    """Candidates for the number of neighbours; the best in cross-validation is taken. At most as
    many as there are training images."""

    @field_validator("neighbours")
    @classmethod
    def _at_least_one(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 1:
            raise ValueError("neighbours are 1 at least")
        return value


class Knn(_Probe):
    """The mean label of the nearest training images by cosine, weighted by their similarity."""

    name = "knn"
    Settings: ClassVar[type[KnnSettings]] = KnnSettings
    settings: KnnSettings

    def regress(self, x: Array, y: Array, groups: Sequence[str]) -> Iterator[Epoch]:
        """Choose the number of neighbours."""
        from sklearn.neighbors import KNeighborsRegressor

        most = fewest(groups)
        candidates = [
            KNeighborsRegressor(count, metric="cosine", algorithm="brute", weights=_likeness)
            for count in sorted({min(count, most) for count in self.settings.neighbours})
        ]
        count = chosen(candidates, x, y, groups).n_neighbors
        self.head |= {"support": x, "weights": y, "neighbours": np.array([float(count)])}
        error = respond(self.head, x) - y
        yield Epoch(float((error**2).mean()), {"neighbours": float(count)}, total=1)


def _likeness(distances: Array) -> Array:
    """One plus the cosine, of scikit-learn's cosine distances."""
    return 2 - distances
