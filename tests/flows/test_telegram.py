"""A whole incident in Telegram: opened, approved and told there, by the whole real system.

The server behind it is our loopback Bot API; the client, the bot, the workers, production and its
traffic are the real ones. Once in peace, once with one call in ten failing in every way there is.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import demo_outcome
from demo.history import Scenario
from tests.bot.telegram.botapi import BOT, GROUP, TOKEN, BotApi, Message
from tests.bot.telegram.people import Someone
from tests.bot.telegram.server import Loopback, serving, share
from tests.flows import proc, system
from tests.flows.system import System

ADA, SAM = 7, 9
PEOPLE = f'approvers = {{telegram = ["{ADA}"]}}'
SIGNS = "🔴🟢🟡 "

pytestmark = [pytest.mark.alone, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path, since sockets do not take long ones."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)
        assert [] == proc.mentioning(folder)


def settings(server: Loopback) -> dict[str, str]:
    """What points the real bot at the loopback."""
    return {
        "TELEGRAM_BOT_TOKEN": TOKEN,
        "HALON_TELEGRAM_GROUP": str(GROUP),
        "HALON_TELEGRAM_PER_MINUTE": "6000",
        "TELEGRAM_API_BASE_URL": f"{server.url}/bot",
        "TELEGRAM_FILE_BASE_URL": f"{server.url}/file/bot",
    }


def live(seen: System, api: BotApi) -> None:
    """Open the incident in the group and answer there, each question once, until it is over."""
    ada = Someone(api, ADA)
    answered: set[int] = set()

    def answer() -> None:
        for message in questions(api):
            if message.id not in answered:
                # By reaction and by button in turn; an older release would end the road to the fix.
                way = ada.press if len(answered) % 2 else ada.react
                way(message, "👎" if "Redeploy" in message.text else "👍")
                answered.add(message.id)

    seen.live_in_chat(lambda: Someone(api, SAM).say(system.LINE), answer)


def questions(api: BotApi) -> list[Message]:
    """The bot's messages that can be answered by a yes."""
    with api.changed:
        found = list(api.group.messages.values())
    return [one for one in found if any("👍" in label for label in one.buttons)]


def headline(text: str) -> str:
    return text.split("\n")[0].lstrip(SIGNS)


def told(seen: System, api: BotApi) -> list[str]:
    """Assert that the topic tells the timeline, each thing once and in order; return its news."""
    (topic,) = api.group.topics.values()
    mine = [one for one in api.group.messages.values() if one.sender == BOT and one.thread]
    assert {topic.id} == {one.thread for one in mine}
    shown = seen.rows(
        "SELECT DISTINCT external_id, min(\"order\") FROM delivery WHERE external_id <> '' "
        "AND conversation LIKE 'telegram:%' GROUP BY external_id ORDER BY 2"
    )
    numbers = [int(external.split("/")[1]) for external, _ in shown]
    known = {
        int(reference.split("/")[0])
        for (reference,) in seen.rows(
            "SELECT external_ref FROM effect WHERE key LIKE 'telegram:%' AND done"
        )
    }
    said = {one.id for one in mine if one.kind != "service"}
    assert set() == said - known, "the topic has messages that nobody knows of"
    assert set() == set(numbers) - said, "the topic lacks messages that were sent"
    assert sorted(numbers) == numbers
    card, *rest = (one for one in mine if one.kind != "service")
    assert card.id in api.group.pinned
    return [headline(one.text) for one in rest if one.id in numbers]


def in_war_room(seen: System) -> list[str]:
    """The news of the war room's thread, as plain words."""
    posts = seen.rows("SELECT message FROM web_post WHERE NOT pinned ORDER BY id")
    marks = str.maketrans("", "", "`*\\")
    return [json.loads(message)["headline"].translate(marks) for (message,) in posts]


def ended_as_it_must(seen: System, api: BotApi) -> None:
    seen.settle()
    outcome = demo_outcome.judge(seen.production, seen.state, seen.room.timeline("INC-1"))
    assert outcome.right, "\n".join(outcome.lines)
    assert [] == [fault for fault in seen.faults() if "belong to no entry" not in fault]
    assert in_war_room(seen) == [one.replace("👍", "✅") for one in told(seen, api)]
    decided = [one for one in seen.room.timeline("INC-1") if one["kind"] == "approved"]
    assert {f"telegram:{ADA}"} == {one["actor"] for one in decided}
    documents = [one for one in api.group.messages.values() if one.kind == "document"]
    assert {"diagnosis", "patch", "test", "plan", "review", "diff"} <= {
        (one.file or ("", b""))[0].removeprefix("INC-1").strip("-.").removesuffix(".md")
        for one in documents
    }


def test_an_incident_lives_in_telegram_from_the_first_line_to_the_review(
    short_folder: Path,
) -> None:
    api = BotApi()
    with (
        serving(api) as server,
        system.running(
            short_folder, Scenario.GUEST_CRASH, more=settings(server), people=PEOPLE
        ) as seen,
    ):
        live(seen, api)
        ended_as_it_must(seen, api)
        pictures = [one for one in api.group.messages.values() if one.kind == "photo"]

        assert pictures
        assert all((one.file or ("", b""))[1].startswith(b"\x89PNG") for one in pictures)


def test_one_call_in_ten_may_fail_and_the_topic_tells_the_same(short_folder: Path) -> None:
    api = BotApi()
    with (
        serving(api) as server,
        system.running(
            short_folder, Scenario.GUEST_CRASH, more=settings(server), people=PEOPLE
        ) as seen,
    ):
        server.plan = share(0.1, seed=20261121)
        live(seen, api)
        seen.settle()
        ended_as_it_must(seen, api)

        assert len(server.met) > 5
