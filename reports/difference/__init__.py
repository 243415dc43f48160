"""Two result sets side by side, as a page that opens from disk."""

from bench.reports.difference.page import Difference, write

__all__ = ["Difference", "write"]
