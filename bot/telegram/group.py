"""The group that Halon lives in: its id now, what it can do, and what the bot may do there.

Made by `bot.telegram.app`, asked by the port and by `halon doctor`. A group that became a
supergroup has a new id; it is remembered, since the setting still has the old one.
"""

from dataclasses import dataclass

import telegram
from telegram.constants import ChatMemberStatus, ChatType

from bot.telegram.calls import called
from incidents import errors
from incidents.models import Platform
from incidents.sendings import Sendings


@dataclass(frozen=True)
class Rights:
    """What a group is, and what the bot may do in it."""

    chat: int
    title: str = ""
    topics: bool = False  # the group has them, and the bot may make them
    admin: bool = False  # reactions reach administrators only
    pins: bool = False
    inside: bool = True
    wanting: tuple[str, ...] = ()  # what is missing, a sentence each


async def look(bot: telegram.Bot, chat: int) -> Rights:
    """Ask Telegram what the bot may do; raises as `calls.called`, `Moved` included."""
    found = await called(bot.get_chat(chat))
    if found.type not in (ChatType.GROUP, ChatType.SUPERGROUP):
        raise errors.BadSettings(
            f"TELEGRAM_GROUP {chat} is a {found.type}; Halon needs the id of a group."
        )
    me = await called(bot.get_chat_member(chat, bot.id))
    title = found.title or ""
    if me.status in (ChatMemberStatus.LEFT, ChatMemberStatus.BANNED):
        return Rights(chat, title, inside=False, wanting=("Add the bot to the group.",))
    owner = me.status == ChatMemberStatus.OWNER
    admin = owner or me.status == ChatMemberStatus.ADMINISTRATOR
    may_topics = owner or bool(getattr(me, "can_manage_topics", False))
    may_pin = owner or bool(getattr(me, "can_pin_messages", False))
    forum = bool(found.is_forum)
    wanting = (
        (not admin, "Make the bot an administrator: reactions reach administrators only."),
        (not forum, "Switch topics on in the group's settings: a topic per incident."),
        (forum and not may_topics, "Give the bot the right to manage topics."),
        (admin and not may_pin, "Give the bot the right to pin messages."),
    )
    return Rights(
        chat,
        title,
        topics=forum and may_topics,
        admin=admin,
        pins=may_pin,
        wanting=tuple(sentence for missing, sentence in wanting if missing),
    )


class Group:
    """The group as it is known now."""

    def __init__(self, chat: int, sendings: Sendings) -> None:
        self._sendings = sendings
        self.configured = chat
        self.rights = Rights(chat)
        self.known = False  # whether Telegram has said what we may do

    @property
    def chat(self) -> int:
        """The id of the group now."""
        return self.rights.chat

    @property
    def conversation(self) -> str:
        """The name of the conversation that the group is, wherever it moves."""
        return f"{Platform.TELEGRAM}:{self.configured}"

    def recall(self) -> None:
        """Follow the moves that were seen in an earlier life; blocking."""
        chat = self.configured
        while (further := self._sendings.get(_moved_key(chat))) is not None:
            chat = int(further)
        self.rights = Rights(chat)

    def moved(self, chat: int) -> None:
        """Go on in the supergroup that the group became; blocking, twice is once."""
        if chat == self.chat:
            return
        self._sendings.done(_moved_key(self.chat), str(chat))
        self.rights, self.known = Rights(chat), False

    async def refresh(self, bot: telegram.Bot) -> Rights:
        """Ask Telegram again what we may do; raises as `look`."""
        self.rights = await look(bot, self.chat)
        self.known = True
        return self.rights


def _moved_key(chat: int) -> str:
    return f"{Platform.TELEGRAM}-moved/{chat}"
