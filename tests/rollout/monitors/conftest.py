"""One metrics server per test."""

from collections.abc import Iterator

import pytest

from tests.rollout.monitors.metrics_server import MetricsServer, serve


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    """A metrics server that answers as the test tells it."""
    with serve() as made:
        yield made
