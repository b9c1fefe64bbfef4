"""Looks at Telegram for `halon doctor`: the token, the group, what the bot may do, who is listed.

Asks only what changes nothing: updates are looked at and left for the bot. No token is ever part
of a text.
"""

from collections.abc import AsyncIterator, Iterable

import telegram
from telegram.constants import ChatMemberStatus, ChatType

from bot.looked import Seen
from bot.telegram import group
from bot.telegram.application import Line, reach
from bot.telegram.calls import Moved, called
from incidents import errors

GONE = (ChatMemberStatus.LEFT, ChatMemberStatus.BANNED)


async def look(line: Line, chat: int | None, people: Iterable[str]) -> AsyncIterator[Seen]:
    """Look at everything, the rest too when one thing is wrong; `people` are user ids."""
    bot = telegram.Bot(
        line.token, line.api, line.files, request=reach(line), get_updates_request=reach(line)
    )
    try:
        await called(bot.initialize())
    except errors.HalonError as error:
        await bot.shutdown()
        yield Seen("Telegram: bot token", error.message, "Set TELEGRAM_BOT_TOKEN of @BotFather.")
        return
    try:
        yield Seen("Telegram: bot token", f"@{bot.username}")
        if chat is None:
            yield await _groups(bot)
            return
        async for seen in _group(bot, chat):
            yield seen
        for user in dict.fromkeys(people):
            yield await _person(bot, chat, user)
    finally:
        await bot.shutdown()


async def _groups(bot: telegram.Bot) -> Seen:
    """Name the groups in which the bot was seen lately, so that an id can be copied."""
    what, said = "Telegram: group", "HALON_TELEGRAM_GROUP is not set"
    mend = "Add the bot to the group, type /incident help there, and run `halon doctor` again."
    try:
        updates = await called(bot.get_updates(timeout=0))
    except errors.HalonError:
        return Seen(what, said, mend)
    chats = [update.effective_chat for update in updates]
    found = {
        one.id: one.title or ""
        for one in chats
        if one is not None and one.type in (ChatType.GROUP, ChatType.SUPERGROUP)
    }
    if not found:
        return Seen(what, said, mend)
    named = ", ".join(f"{number} ({title})" for number, title in found.items())
    return Seen(what, said, f"Set HALON_TELEGRAM_GROUP to the one of these: {named}.")


async def _group(bot: telegram.Bot, chat: int) -> AsyncIterator[Seen]:
    what = "Telegram: group"
    try:
        rights = await group.look(bot, chat)
    except Moved as moved:
        mend = f"Set HALON_TELEGRAM_GROUP to {moved.chat}."
        yield Seen(what, f"{chat} has become the supergroup {moved.chat}", mend)
        return
    except errors.HalonError as error:
        mend = "Add the bot to the group that HALON_TELEGRAM_GROUP names."
        yield Seen(what, error.message, mend)
        return
    yield Seen(what, rights.title or str(chat))
    for sentence in rights.wanting:
        lacks = "the bot is no administrator" if not rights.admin else "something is missing"
        yield Seen("Telegram: rights", lacks, sentence)
    if not rights.wanting:
        yield Seen("Telegram: rights", "reactions, topics and pins")


async def _person(bot: telegram.Bot, chat: int, user: str) -> Seen:
    what = f"Telegram: {user}"
    mend = "Correct the id in halon.toml; whoever writes to the bot privately is told their own."
    if not user.isdecimal():
        return Seen(what, "is no user id", mend)
    try:
        member = await called(bot.get_chat_member(chat, int(user)))
    except errors.HalonError as error:
        return Seen(what, error.message, mend)
    if member.status in GONE:
        return Seen(what, "is not in the group", "Add them to the group, or take the id out.")
    return Seen(what, member.user.full_name)
