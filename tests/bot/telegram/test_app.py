"""One life after the other: the lease, the poller, the webhook, and a network that goes away."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import telegram
from starlette.types import Message as Event

from bot.settings import BotSettings
from bot.telegram import account
from bot.telegram.app import Webhook, validated
from bot.telegram.webhook import HEADER, PATH
from incidents import errors
from tests.bot.office import KEY, Office
from tests.bot.telegram.botapi import GROUP, TOKEN, Refused
from tests.bot.telegram.desk import Desk

LINE = "/incident P0 checkout failing"


@pytest.fixture
def desk(office: Office) -> Iterator[Desk]:
    made = Desk(office)
    yield made
    made.runner.close()


async def until(true: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not true():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 30)


def lives(desk: Desk, act: Callable[[], Awaitable[None]]) -> None:
    """Let the platform live as `bot.app` lets it, and do something meanwhile."""

    async def life() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(desk.telegram.run(stop, desk.poster.run))
        try:
            await act()
        finally:
            stop.set()
            await asyncio.wait_for(running, 30)

    desk.runner.run(life())


def titles(desk: Desk) -> list[str]:
    return [one.title for one in desk.bot.room.incidents.list()]


def test_it_polls_with_reactions_asked_for_and_posts_what_is_typed(desk: Desk) -> None:
    async def act() -> None:
        desk.sam.say(LINE)
        await until(lambda: bool(desk.api.group.pinned) and len(desk.messages()) == 1)
        assert desk.telegram.trouble() is None
        assert (desk.telegram.age() or 0) < 5

    lives(desk, act)
    asked = desk.api.made("getUpdates")[0]
    assert "message_reaction" in json.loads(asked["allowed_updates"])
    assert ["checkout failing"] == titles(desk)


def test_what_was_confirmed_and_not_acted_on_is_acted_on_at_the_next_start(desk: Desk) -> None:
    """The update is in the journal, and Telegram will not send it again."""
    said = desk.sam.say(LINE)

    async def die() -> None:
        update = telegram.Update.de_json(said, desk.telegram.bot)
        await desk.telegram.received.put(update)
        desk.telegram.received.get_nowait()  # and then the process ends

    desk.runner.run(die())
    desk.api.updates.clear()
    assert [] == titles(desk)

    async def act() -> None:
        await until(lambda: bool(titles(desk)))

    again = Desk(desk.office, desk.api)
    lives(again, act)
    again.runner.close()
    assert ["checkout failing"] == titles(desk)


def test_a_second_bot_of_ours_waits_for_the_lease_and_takes_over(desk: Desk) -> None:
    other = Desk(desk.office, desk.api)

    async def both() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        leading = asyncio.create_task(desk.telegram.run(first, desk.poster.run))
        await until(lambda: desk.telegram.age() is not None)
        waiting = asyncio.create_task(other.telegram.run(second, other.poster.run))
        await until(lambda: other.telegram.trouble() is None)  # it has seen that somebody leads
        assert other.telegram.age() is None
        first.set()
        await leading
        await until(lambda: other.telegram.age() is not None)
        second.set()
        await waiting

    desk.runner.run(both())
    other.runner.close()


def test_another_program_with_our_token_is_said_and_outlasted(desk: Desk) -> None:
    async def act() -> None:
        await until(lambda: desk.telegram.trouble() is None)
        theirs = [True]

        def conflict(method: str, params: dict[str, Any]) -> None:
            if method == "getUpdates" and theirs:
                raise Refused(409, "Conflict: terminated by other getUpdates request")

        desk.api.before = conflict
        await until(lambda: desk.telegram.trouble() is not None)
        assert "Another program fetches the updates" in str(desk.telegram.trouble())
        theirs.clear()
        desk.sam.say(LINE)
        await until(lambda: bool(titles(desk)))
        assert desk.telegram.trouble() is None

    lives(desk, act)


def test_a_network_that_is_gone_for_long_loses_nothing(desk: Desk) -> None:
    """Ten minutes of it, scaled: every try fails, then everything comes once and in order."""
    gone, tries = [True], list[str]()

    def fate(when: str, method: str) -> None:
        if gone and when == "before":
            tries.append(method)
            raise telegram.error.NetworkError("httpx.ConnectError: no route to host")

    async def act() -> None:
        desk.sam.say(LINE)
        await until(lambda: bool(desk.api.group.pinned))
        desk.seam.fate = desk.polls.fate = fate
        for text in "abc":
            desk.bot.room.incidents.note(1, desk_person(desk), text)
        desk.rita.say("/incident own INC-1")
        await until(lambda: tries.count("getUpdates") > 1 and len(set(tries)) > 1)
        gone.clear()
        desk.office.clock.move(30)
        await until(lambda: any("is the commander" in text for text in all_texts(desk)))

    lives(desk, act)
    notes = [text for text in all_texts(desk) if text.split("\n")[0] in set("abc")]
    assert ["a", "b", "c"] == [text[0] for text in notes]


def desk_person(desk: Desk) -> Any:
    return desk.bot.room.incidents.get(1).reporter


def all_texts(desk: Desk) -> list[str]:
    (topic,) = desk.api.group.topics
    return [text.lstrip("🔴🟢🟡 ") for text in desk.texts(topic)]


def test_a_token_that_nobody_knows_is_said_without_showing_it(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(method: str, params: dict[str, Any]) -> None:
        raise Refused(401, "Unauthorized")

    desk.api.before = unknown

    async def act() -> None:
        await until(lambda: "does not know TELEGRAM_BOT_TOKEN" in str(desk.telegram.trouble()))

    lives(desk, act)
    assert TOKEN not in caplog.text


def test_the_bot_out_of_the_group_says_so_and_goes_on_when_it_is_back(desk: Desk) -> None:
    desk.api.group.status = "kicked"

    async def act() -> None:
        await until(lambda: "add it again" in str(desk.telegram.trouble()))
        desk.api.group.status = "administrator"
        await until(lambda: desk.telegram.trouble() is None)

    lives(desk, act)


def test_a_promotion_to_administrator_is_noticed(desk: Desk) -> None:
    desk.api.group.status = "member"
    me = {"user": {"id": 4242, "is_bot": True, "first_name": "Halon"}}
    changed = {
        "chat": {"id": GROUP, "type": "supergroup"},
        "from": desk.rita.user,
        "date": 1,
        "old_chat_member": me | {"status": "left"},
        "new_chat_member": me | {"status": "member"},
    }

    async def act() -> None:
        await until(lambda: desk.telegram.trouble() is None)
        assert not desk.telegram.group.rights.admin
        desk.api.group.status = "administrator"
        desk.api.push(my_chat_member=changed)
        await until(lambda: desk.telegram.group.rights.admin)

    lives(desk, act)


# --- webhook


async def knock(desk: Desk, body: bytes, secret: str, method: str = "POST") -> int:
    """Send one request to the door and return the status."""
    said: list[Event] = []

    async def receive() -> Event:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: Event) -> None:
        said.append(event)

    headers = [(HEADER.lower().encode(), secret.encode())]
    scope = {
        "type": "http",
        "method": method,
        "path": PATH,
        "headers": headers,
        "query_string": b"",
    }
    await desk.telegram.doors[PATH](scope | {"query_string": b""}, receive, send)
    return int(said[0]["status"])


def test_a_webhook_is_set_with_its_secret_and_hears_nobody_else(office: Office) -> None:
    desk = Desk(office, webhook=Webhook("https://halon.example", "s3cret"))
    update = json.dumps(desk.sam.say(LINE)).encode()
    heard: list[int] = []

    async def act() -> None:
        await until(lambda: bool(desk.api.webhook))
        for body, secret, method in (
            (update, "", "POST"),
            (update, "other", "POST"),
            (update, "s3cret", "GET"),
            (b"{", "s3cret", "POST"),
            (b"[]", "s3cret", "POST"),
            (update, "s3cret", "POST"),
            (update, "s3cret", "POST"),
        ):
            heard.append(await knock(desk, body, secret, method))
        await until(lambda: bool(titles(desk)))

    lives(desk, act)
    desk.runner.close()
    assert [403, 403, 403, 400, 400, 200, 200] == heard
    assert ["checkout failing"] == titles(desk)
    assert ("https://halon.example/telegram", "s3cret", "1") == tuple(
        str(desk.api.webhook[name]) for name in ("url", "secret_token", "max_connections")
    )


# --- settings


def settings(**values: object) -> BotSettings:
    return BotSettings(approval_key=KEY.hex(), **values)  # type: ignore[arg-type]


def test_without_a_token_there_is_no_telegram() -> None:
    assert account.of(settings()) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"TELEGRAM_BOT_TOKEN": "1:x"}, "needs HALON_TELEGRAM_GROUP"),
        (
            {"TELEGRAM_BOT_TOKEN": "1:x", "telegram_group": -1, "telegram_mode": "webhook"},
            "HALON_TELEGRAM_WEBHOOK_URL",
        ),
        (
            {"TELEGRAM_BOT_TOKEN": "1:x", "telegram_group": -1, "telegram_yes": "✅"},
            "✅ is none of Telegram's standard reactions",
        ),
    ],
)
def test_half_a_setting_is_one_sentence(values: dict[str, object], said: str) -> None:
    with pytest.raises(errors.BadSettings, match=said):
        account.of(settings(**values))


def test_yes_and_no_must_differ() -> None:
    with pytest.raises(errors.BadSettings, match="must differ"):
        validated("👍", "👍")
