"""Files that would run code where they are read carelessly."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def evil_weights(folder: Path) -> list[tuple[Path, Path]]:
    """Checkpoints of every kind that readers know, each with the folder that must not appear."""
    import torch

    found = []
    for name in ("raw.pt", "zipped.pth", "archive.pt", "named.safetensors"):
        path, marker = folder / name, folder / f"{name} ran"
        if name == "zipped.pth":
            torch.save({"state_dict": Evil(marker)}, path)
        elif name == "archive.pt":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("archive/data.pkl", pickle.dumps(Evil(marker), protocol=2))
                archive.writestr("archive/version", "3\n")
                archive.writestr("archive/constants.pkl", pickle.dumps((), protocol=2))
                archive.writestr("archive/code/__torch__.py", "import os\n")
        else:
            path.write_bytes(pickle.dumps({"state_dict": Evil(marker)}))
        found.append((path, marker))
    return found


def runs_when_trusted(folder: Path) -> bool:
    """Whether such a file does run code in a reader that trusts it (so that tests can fail)."""
    marker = folder / "trusted ran"
    pickle.loads(pickle.dumps(Evil(marker)))
    return marker.is_dir()
