"""Fixtures of Slack's tests."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests import slack_double, slack_workspace
from tests.bot.office import Office
from tests.bot.slack import desk
from tests.bot.slack.desk import Desk
from tests.bot.slack.desks import Outbound
from tests.slack_workspace import Workspace


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A server of Slack's Web API behind our faults, one for all tests."""
    with slack_workspace.running(tmp_path_factory.mktemp("slack")) as made:
        yield made


@pytest.fixture
def outbound(office: Office, workspace: Workspace) -> Outbound:
    """A bot that tells its incidents in a channel of this test alone."""
    workspace.faults.reset()
    office.clock.at = datetime.now(UTC)  # the server has a clock of its own
    return Outbound(office, workspace, workspace.channel(f"incidents-{uuid4().hex[:8]}"))


@pytest.fixture
def one(office: Office) -> Iterator[Desk]:
    """A desk that is spoken to through Bolt's own dispatch, without a socket in between."""
    with slack_double.running() as double:
        yield desk.desk(office, double, http=True)
