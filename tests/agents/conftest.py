"""What the tests of the agents share: the best sandbox of this machine, and each of them."""

from pathlib import Path

import pytest

from agents import sandbox
from tests import services
from tests.agents.sandboxes import available


@pytest.fixture(scope="session")
def walls() -> sandbox.Sandbox:
    """The best sandbox that works here."""
    try:
        return sandbox.choose()
    except sandbox.SandboxUnavailable:
        services.missing("a sandbox")


@pytest.fixture(params=["bubblewrap", "namespaces"])
def walled(request: pytest.FixtureRequest) -> sandbox.Sandbox:
    """Each sandbox that walls a command in."""
    name: str = request.param
    return available(name)


@pytest.fixture(params=["bubblewrap", "namespaces", "none"])
def every(request: pytest.FixtureRequest) -> sandbox.Sandbox:
    """Each way to run a command, the one without walls too."""
    name: str = request.param
    return available(name)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty folder for a command to work in."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder
