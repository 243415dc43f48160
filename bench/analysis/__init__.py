"""Stored results → tables and verdicts; runs nothing.

`load` reads a results folder once, `summarise` turns its table of runs into one row a cell and
metric, and a `Grid` arranges those rows for a terminal, LaTeX or a page.
"""

from bench.analysis.grid import Grid
from bench.analysis.results import CellResult, Results, load
from bench.analysis.summary import summarise

__all__ = ["CellResult", "Grid", "Results", "load", "summarise"]
