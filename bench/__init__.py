"""iqa-bench: an honest, fast benchmark for blind image quality assessment."""

from importlib import metadata

try:
    __version__ = metadata.version("iqa-bench")
except metadata.PackageNotFoundError:  # a clone on the path that nothing has installed
    __version__ = "0+unknown"
