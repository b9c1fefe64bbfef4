"""What the tests of the agents share: the best sandbox of this machine."""

import pytest

from agents import sandbox
from tests import services


@pytest.fixture(scope="session")
def walls() -> sandbox.Sandbox:
    """The best sandbox that works here."""
    try:
        return sandbox.choose()
    except sandbox.SandboxUnavailable:
        services.missing("a sandbox")
