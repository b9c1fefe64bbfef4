"""One incident in Slack, Telegram and the war room: opened in one, decided in another."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from bot.slack import place
from incidents.models import Answer, ApprovalState, EntryKind, Person, Platform
from tests import slack_workspace
from tests.bot.office import Office
from tests.bot.slack.desks import Outbound
from tests.bot.telegram.desk import ADA, Desk
from tests.slack_workspace import Workspace

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A server of Slack's Web API."""
    with slack_workspace.running(tmp_path_factory.mktemp("slack")) as made:
        yield made


def test_an_incident_of_slack_is_approved_in_telegram_and_all_three_threads_agree(
    office: Office, workspace: Workspace, tmp_path: Path
) -> None:
    """The approver has an account in both chats, and one voice."""
    office.clock.at = datetime.now(UTC)  # Slack's server has a clock of its own
    slack = Outbound(office, workspace, workspace.channel(f"incidents-{uuid4().hex[:8]}"))
    account = Person(Platform.TELEGRAM, str(ADA))
    desk = Desk(office, identities={account: slack.ada})
    line = "/incident P0 service:checkout checkout failing"
    wish = desk.bot.commands.saying(
        line, slack.rita, None, "slack-1", place.conversation(slack.channel)
    )
    (opened,) = desk.bot.commands.carry_out([wish])
    assert opened.result(30).accepted
    incident = desk.bot.room.incidents.get(1)
    asked = office.ask(incident)

    def tell() -> None:
        slack.tell()
        desk.post_all()
        asyncio.run(turns(desk))

    tell()
    question = desk.find("Start the canary at 10 %?")
    desk.hear(desk.ada.react(question, "👍"))
    again = desk.bot.commands.vote(asked, slack.ada, Answer.YES, "slack-2")
    tell()

    in_slack = json.dumps(slack.shown(slack.home(incident)), ensure_ascii=False)
    in_room = [post.message["headline"] for post in office.posts.since(1)]
    kinds = [one.kind for one in desk.bot.room.timeline.entries(1)]
    assert ApprovalState.GRANTED == desk.state(asked)
    assert (1, True) == (kinds.count(EntryKind.APPROVED), again.accepted)
    assert account == office.asking.get(asked).decided_by
    for thread in (in_slack, " ".join(in_room), desk.find("Approved: Start the canary").text):
        assert "Approved: Start the canary at 10 %" in thread
    desk.runner.close()


async def turns(desk: Desk) -> None:
    """Let the war room show what is due."""
    while await desk.bot.poster.turn():
        pass
