"""Programs for those who work on iqa-bench, run as `python -m tools.NAME`."""

from __future__ import annotations

import argparse


def command_line(name: str, description: str | None) -> argparse.ArgumentParser:
    """The command line of `tools.NAME`, explained by the docstring of its module."""
    return argparse.ArgumentParser(
        prog=f"python -m tools.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
