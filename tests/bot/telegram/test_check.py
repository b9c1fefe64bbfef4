"""What `halon doctor` says of Telegram: each thing that is missing, and its mend."""

import asyncio
from collections.abc import Callable

import pytest

from bot.looked import Seen
from bot.telegram import check
from bot.telegram.application import Line
from tests.bot.telegram.botapi import GROUP, TOKEN, BotApi, Chat
from tests.bot.telegram.people import Someone
from tests.bot.telegram.seam import Seam


def seen(
    api: BotApi, chat: int | None = GROUP, people: tuple[str, ...] = (), token: str = TOKEN
) -> list[Seen]:
    async def look() -> list[Seen]:
        line = Line(token, request=Seam(api))
        return [one async for one in check.look(line, chat, people)]

    return asyncio.run(look())


def test_nothing_is_wrong_where_the_bot_has_its_rights() -> None:
    found = seen(BotApi(), people=("7",))

    assert [""] * 4 == [one.mend for one in found]
    assert ["@halon_test_bot", "On call", "reactions, topics and pins", "user7"] == [
        one.said for one in found
    ]


LACKS: dict[str, Callable[[Chat], None]] = {
    "reactions reach administrators only": lambda group: setattr(group, "status", "member"),
    "right to manage topics": lambda group: setattr(group, "may_topics", False),
    "right to pin messages": lambda group: setattr(group, "may_pin", False),
    "Switch topics on": lambda group: setattr(group, "forum", False),
    "Add the bot to the group": lambda group: setattr(group, "status", "kicked"),
    "Set HALON_TELEGRAM_GROUP to -1009": lambda group: setattr(group, "moved_to", -1009),
}


@pytest.mark.parametrize("mend", LACKS)
def test_what_is_missing_is_named_with_its_mend(mend: str) -> None:
    api = BotApi()
    LACKS[mend](api.group)

    assert [True] == [mend in one.mend for one in seen(api) if mend in one.mend]


def test_a_token_that_nobody_knows_is_not_shown() -> None:
    (found,) = seen(BotApi(), token="4242:other")

    assert "does not know TELEGRAM_BOT_TOKEN" in found.said
    assert "other" not in f"{found}"


def test_without_a_group_those_are_named_that_the_bot_was_seen_in_and_nothing_is_confirmed() -> (
    None
):
    api = BotApi()
    Someone(api, 7).say("/incident help")
    found = seen(api, chat=None)

    assert f"{GROUP} (On call)" in found[1].mend
    assert 1 == len(api.updates)


@pytest.mark.parametrize("user", ["ann", "7x", "-7"])
def test_a_list_that_names_no_user_id_is_told(user: str) -> None:
    assert "is no user id" == seen(BotApi(), people=(user,))[-1].said
