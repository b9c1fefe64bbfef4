"""`halon doctor` on Slack: what is missing is named with its mend, and no token with it."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from bot.settings import BotSettings
from bot.slack import registry
from cli import chats
from cli.finding import Finding, State
from incidents.settings import People, Service
from tests import slack_double
from tests.slack_double import APP_TOKEN, BOT_TOKEN, SlackDouble

CHANNEL = "C024BE91L"


@pytest.fixture(scope="module")
def running() -> Iterator[SlackDouble]:
    """One server for all tests of this file."""
    with slack_double.running() as double:
        yield double


@pytest.fixture
def double(running: SlackDouble) -> Iterator[SlackDouble]:
    """A Slack in which everything is granted and the bot is in the channel."""
    running.granted = ",".join(registry.scopes())
    member = {"id": CHANNEL, "name": "incidents", "is_member": True}
    running.answers["conversations.info"] = lambda said: {"ok": True, "channel": member}
    yield running
    running.answers.clear()
    running.users.clear()


def look(double: SlackDouble, people: People | None = None, **more: object) -> dict[str, Finding]:
    """Look at Slack as the doctor does, and return the findings by name."""
    told: dict[str, object] = {
        "approval_key": SecretStr("0" * 64),
        "SLACK_BOT_TOKEN": SecretStr(BOT_TOKEN),
        "SLACK_APP_TOKEN": SecretStr(APP_TOKEN),
        "SLACK_API_BASE_URL": double.base_url,
        "slack_channel": CHANNEL,
    }
    settings = BotSettings(**(told | more))  # type: ignore[arg-type]
    named = people or People(slack=("U1",))
    service = Service(name="checkout", repository="/srv/checkout", approvers=named)
    found = list(chats.slack(settings, [service]))
    assert all("secret" not in f"{one.said} {one.mend}" for one in found)
    return {one.what: one for one in found}


def test_what_is_set_up_rightly_is_fine(double: SlackDouble) -> None:
    found = look(double)

    assert {State.FINE} == {one.state for one in found.values()}
    assert "halon" in found["Slack: bot token"].said
    assert "#incidents" in found[f"Slack: channel {CHANNEL}"].said


def test_every_missing_scope_is_named(double: SlackDouble) -> None:
    double.granted = ",".join(set(registry.scopes()) - {"reactions:read", "users:read"})

    one = look(double)["Slack: scopes"]

    assert (State.WRONG, "missing: reactions:read, users:read") == (one.state, one.said)
    assert "halon manifest slack" in one.mend


def test_a_wrong_bot_token_is_said(double: SlackDouble) -> None:
    one = look(double, SLACK_BOT_TOKEN=SecretStr("xoxb-2-secret"))["Slack: bot token"]

    assert State.WRONG is one.state
    assert "invalid_auth" in one.said
    assert "SLACK_BOT_TOKEN" in one.mend


def test_a_wrong_app_token_is_said(double: SlackDouble) -> None:
    one = look(double, SLACK_APP_TOKEN=SecretStr("xapp-2-secret"))["Slack: app token"]

    assert State.WRONG is one.state
    assert "connections:write" in one.mend


def test_half_a_setting_is_said(double: SlackDouble) -> None:
    one = look(double, SLACK_APP_TOKEN=None)["Slack"]

    assert State.WRONG is one.state
    assert "SLACK_APP_TOKEN" in one.said


def test_a_channel_that_the_bot_is_not_in_is_said(double: SlackDouble) -> None:
    outside = {"id": CHANNEL, "name": "incidents", "is_member": False}
    double.answers["conversations.info"] = lambda said: {"ok": True, "channel": outside}

    one = look(double)[f"Slack: channel {CHANNEL}"]

    assert (State.WRONG, "Type `/invite @halon` in #incidents.") == (one.state, one.mend)


def test_a_channel_that_is_not_there_is_said(double: SlackDouble) -> None:
    gone = {"ok": False, "error": "channel_not_found"}
    double.answers["conversations.info"] = lambda said: gone

    assert State.WRONG is look(double)[f"Slack: channel {CHANNEL}"].state


def test_people_who_may_do_nothing_are_named(double: SlackDouble) -> None:
    double.users["U2"] = {"is_restricted": True}

    found = look(double, People(slack=("U1", "U2")))

    assert "Slack: person U1" not in found
    assert State.WRONG is found["Slack: person U2"].state


def test_lists_without_anyone_in_slack_are_said(double: SlackDouble) -> None:
    one = look(double, People(web=("ann",)))["Slack: people"]

    assert State.WRONG is one.state
    assert "halon.toml" in one.mend


def test_without_tokens_slack_is_not_set_up(double: SlackDouble) -> None:
    one = look(double, SLACK_BOT_TOKEN=None, SLACK_APP_TOKEN=None)["Slack"]

    assert State.NOTE is one.state
