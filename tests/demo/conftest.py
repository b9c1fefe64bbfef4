"""Built histories and a payment provider, shared by the tests of the demo."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from demo import history, story
from demo.history import History, Scenario
from tests.demo import revisions
from tests.demo.production import Production

NOW = datetime(2026, 3, 2, 2, 10, tzinfo=UTC)


@pytest.fixture(scope="session")
def histories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, History]:
    """The history of each scenario and of each bug, by name."""
    folder = tmp_path_factory.mktemp("histories")
    built = {one.value: history.build(folder / one, one, NOW) for one in Scenario}
    for name in story.bug_names():
        if name not in built:
            bug = story.read_bug(name)
            built[name] = history.build(folder / name, Scenario.GUEST_CRASH, NOW, bug=bug)
    return built


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The address of a running payment provider."""
    process, url = revisions.start(
        revisions.ROOT, "-m", "demo.payment", "--port", "0", "--latency-ms", "0"
    )
    yield url
    assert revisions.ended(process) == 0


@pytest.fixture(scope="session")
def standin(histories: dict[str, History]) -> Iterator[str]:
    """The address of the service's own stand-in for the provider."""
    source = histories["no-code-cause"].repository
    process, url = revisions.start(source, "-m", "checkout.standin", "--port", "0")
    yield url
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture
def production(provider: str, standin: str, tmp_path: Path) -> Iterator[Production]:
    """Revisions that can be served and asked."""
    with Production(tmp_path, provider, standin) as running:
        yield running
