"""A production per test, gone when the test ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import repositories
from tests.rollout.production import Production


@pytest.fixture
def production(tmp_path: Path) -> Iterator[Production]:
    """An empty host folder and a repository; `start` makes it a production."""
    made = Production(tmp_path / "host", repositories.new(tmp_path / "repository"))
    yield made
    made.end()
