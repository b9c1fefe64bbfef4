"""Who acted: a person by the platform's own id, or the reason why it is none.

Pure. Called by `bot.telegram.acts` for every update; names are never trusted, ids only.
"""

from enum import StrEnum

import telegram
from telegram.constants import ChatID, ChatType

from incidents.models import Person, Platform


class Nobody(StrEnum):
    """Why an act has no person; the value is the block of templates/chat/telegram_refused."""

    ANONYMOUS = "anonymous"
    CHANNEL = "channel"


NOT_PEOPLE = (ChatID.ANONYMOUS_ADMIN, ChatID.FAKE_CHANNEL, ChatID.SERVICE_CHAT)


def of_user(user: telegram.User) -> Person:
    """Return the person behind an account."""
    return Person(Platform.TELEGRAM, str(user.id), bot=user.is_bot)


def of_message(message: telegram.Message) -> Person | Nobody:
    """Return who sent a message; what is sent in a chat's name is sent by nobody."""
    if message.sender_chat is not None:
        same = message.sender_chat.id == message.chat.id
        return Nobody.ANONYMOUS if same else Nobody.CHANNEL
    if message.from_user is None or message.from_user.id in NOT_PEOPLE:
        return Nobody.ANONYMOUS
    return of_user(message.from_user)


def of_reaction(changed: telegram.MessageReactionUpdated) -> Person | Nobody:
    """Return who reacted; an anonymous administrator reacts in the name of the chat."""
    if changed.user is not None:
        return of_user(changed.user)
    chat = changed.actor_chat
    if chat is not None and chat.type == ChatType.CHANNEL:
        return Nobody.CHANNEL
    return Nobody.ANONYMOUS
