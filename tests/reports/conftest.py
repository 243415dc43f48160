"""Results folders that several tests look at."""

from __future__ import annotations

import pytest

from bench.store import Store
from reports.render import Rendered, render
from tests.reports.stores import showcase


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two demo sets, three budgets, four methods; a failed run and a contaminated method."""
    return showcase(tmp_path_factory.mktemp("showcase"), repeats=6)


@pytest.fixture(scope="session")
def report(shown: Store, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """The showcase's report."""
    return render(shown, tmp_path_factory.mktemp("report"))
