"""The method `mpiqe`: MP-IQE behind the harness's contract."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from bench import backbones
from bench.api import Context, Epoch, ImagePolicy, Images, LabelledSet, Method, Scores
from bench.methods.mpiqe.settings import MPIQESettings
from bench.methods.mpiqe.targets import targets

if TYPE_CHECKING:
    from bench.methods.kit.gradcam import Evidence
    from bench.methods.kit.schedules import Schedule
    from bench.methods.mpiqe.engine import MpiqeEngine

SIDE_TO_CROP = 8 / 7


class MPIQE(Method):
    """MP-IQE: scene, distortion and deep visual prompts for frozen CLIP."""

    name = "mpiqe"
    Settings: ClassVar[type[MPIQESettings]] = MPIQESettings
    settings: MPIQESettings

    def __init__(self, settings: MPIQESettings, context: Context) -> None:
        super().__init__(settings, context)
        self._engine: MpiqeEngine | None = None

    @property
    def engine(self) -> MpiqeEngine:
        """The loaded model; built at first use."""
        if self._engine is None:
            from bench.methods.mpiqe.engine import MpiqeEngine

            self._engine = MpiqeEngine(self.settings, self.context)
        return self._engine

    @classmethod
    def small(cls, argument: str | None) -> dict[str, Any]:
        """Two steps an epoch, one crop a prediction."""
        return {"epochs": 14, "batch_size": 4, "test_crops": 1}

    @property
    def policy(self) -> ImagePolicy:
        """Images as they are, unless set otherwise."""
        own = self.settings
        crop = backbones.resolve_vit(own.backbone, text=True).image_size
        if own.resize_mode == "none":
            return ImagePolicy()
        return ImagePolicy(own.resize_mode, own.resize or round(crop * SIDE_TO_CROP))

    def reads_annotations(self) -> bool:
        """Scenes and distortions, where the settings have prompts for them."""
        return self.settings.uses_scenes or self.settings.uses_distortions

    def fit(self, train: LabelledSet) -> Generator[Epoch, float | None, None]:
        """Train prompts and multi-modal encoder on Eq. 15; the towers stay as they are.

        Missing annotations are noted, and every table names the terms of Eq. 15 that are left out.
        """
        found = targets(train, self.settings)
        self.notes.extend(found.notes)
        if found.left_out:
            self.note_at_table(f"without {' / '.join(found.left_out)}")
        for note in found.notes:
            self.context.say(note)
        yield from self.engine.fit(train, found)

    def schedules(self, images: int) -> Mapping[str, Schedule]:
        """The rates of all trained parameters."""
        from bench.methods.mpiqe.training import schedule

        return {"fit": schedule(self.settings)}

    def predict(self, images: Images) -> Scores:
        """S of Eq. 14 averaged over `test_crops` crops, (n,), on the scale of the labels."""
        return self.engine.score(images)

    def embed(self, images: Images) -> npt.NDArray[np.floating[Any]]:
        """The multi-modal features in front of the MLP, averaged over queries and crops: (n, e)."""
        return self.engine.embed(images)

    def class_probabilities(self, images: Images) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """'scene' (n, 9) by Eq. 8 and 'distortion' (n, 11) by Eq. 10, if there are such prompts,
        in the order of `names.SCENES` and `names.DISTORTIONS`; averaged over crops."""
        return self.engine.class_probabilities(images)

    def attend(
        self, images: Images, evidence: Evidence = "positive"
    ) -> npt.NDArray[np.floating[Any]]:
        """Grad-CAM of the score on the whole image, (n, h, w) in 0–1 (Fig. 3).

        h = w = the patch grid's side; an image is squeezed to the network's input for it.
        `evidence` is what raises the score ('positive', Grad-CAM's own), lowers it ('negative'),
        or both ('both').
        """
        return self.engine.attend(images, evidence)

    def save(self, path: Path) -> None:
        """Write prompts and multi-modal encoder."""
        self.engine.save(path)

    def load(self, path: Path) -> None:
        """Read a file of `save`."""
        self.engine.load(path)
