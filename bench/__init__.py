"""iqa-bench: an honest, fast benchmark for blind image quality assessment."""

__version__ = "0.1.0"
