"""Files of weights that would run code in a reader that trusts them."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any


class Unsafe:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def unsafe_weights(folder: Path) -> list[tuple[Path, Path]]:
    """Checkpoints of every kind that readers know, each with the folder that must not appear."""
    import torch

    found = []
    for name in ("raw.pt", "zipped.pth", "archive.pt", "named.safetensors"):
        path, marker = folder / name, folder / f"{name} ran"
        if name == "zipped.pth":
            torch.save({"state_dict": Unsafe(marker)}, path)
        elif name == "archive.pt":
            _archive(path, marker)
        else:
            path.write_bytes(pickle.dumps({"state_dict": Unsafe(marker)}))
        found.append((path, marker))
    return found


def _archive(path: Path, marker: Path) -> None:
    """In the form of OpenAI's CLIP: a TorchScript archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Unsafe(marker), protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/constants.pkl", pickle.dumps((), protocol=2))
        archive.writestr("archive/code/__torch__.py", "import os\n")
