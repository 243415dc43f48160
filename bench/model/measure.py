"""The rules by which cells are measured. Numbers may only be compared if these are the same."""

from __future__ import annotations

from typing import Any, Literal

from bench.model.records import FitSpec, SplitRule
from bench.util.strict import StrictModel


class Measure(StrictModel):
    """The protocol's rules behind a number, whatever the method, dataset and budget."""

    split: SplitRule
    """How images are split; its fraction for validation is 0 unless `selection: val`."""
    normalise: Literal["minmax_train", "range", "none"] = "minmax_train"
    """How the protocol scales training labels; a method may ask for another scale."""
    sampling: Literal["proportional", "balanced"] = "proportional"
    """How several databases are trained on."""

    @classmethod
    def of(cls, fit: FitSpec) -> Measure:
        """The measure of a fit."""
        return cls(split=fit.split, normalise=fit.normalise, sampling=fit.sampling)

    @property
    def values(self) -> dict[str, Any]:
        """Its values by the keys of protocol files."""
        split = self.split
        return {
            "split": split.scheme,
            "seed": split.seed,
            "test_fraction": split.test_fraction,
            "validation": split.validation,
            "normalise": self.normalise,
            "sampling": self.sampling,
            "split version": split.version,
        }

    @property
    def title(self) -> str:
        """The measure in one line; equal measures have equal titles.

        >>> Measure(split=SplitRule(seed=7)).title
        'split=random, seed=7, test_fraction=0.2, normalise=minmax_train'
        """
        usual = {"validation": 0.0, "sampling": "proportional", "split version": 2}
        return _text({k: v for k, v in self.values.items() if usual.get(k) != v})

    def difference(self, other: Measure) -> str:
        """The values that differ from those of `other`; '' for equal measures.

        >>> Measure(split=SplitRule(seed=7)).difference(Measure(split=SplitRule()))
        'seed=7'
        """
        theirs = other.values
        return _text({key: value for key, value in self.values.items() if theirs[key] != value})

    def filled(self, validation: float) -> Measure:
        """The measure with this validation fraction if it has none. Only `selection: val` holds
        images out, and its cells share a table with other selections."""
        if self.split.validation:
            return self
        split = self.split.model_copy(update={"validation": validation})
        return self.model_copy(update={"split": split})


def _text(values: dict[str, Any]) -> str:
    parts = (f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items())
    return ", ".join(parts)
