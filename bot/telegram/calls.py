"""What Telegram answers, in our words: the one place that reads its errors.

Used by everything of `bot.telegram` that calls it. A call that nobody answered may have been
carried out: that is `errors.OutcomeUnknown`, and never the same as one that never left.
"""

from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

import httpx
from telegram import error

from incidents import errors

T = TypeVar("T")

AWAY = timedelta(seconds=30)  # between tries while the bot is out of the group
NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)


class Moved(errors.TemporaryFailure):
    """The group became a supergroup and has another id."""

    def __init__(self, chat: int) -> None:
        super().__init__("The group became a supergroup.", retry_after=timedelta(0))
        self.chat = chat


class MarksRefused(errors.PermanentFailure):
    """Telegram does not take the marks of a text."""


class Unchanged(errors.PermanentFailure):
    """It is like that already."""


class NoTopic(errors.NotFound):
    """The topic, or the message that a chain of replies begins with, is gone."""


class NoRight(errors.NotAllowed):
    """The group's administrators have not allowed the bot this."""


REFUSALS: tuple[tuple[str, type[errors.HalonError]], ...] = (
    ("can't parse entities", MarksRefused),
    ("is not modified", Unchanged),
    ("topic_not_modified", Unchanged),
    ("message thread not found", NoTopic),
    ("topic_deleted", NoTopic),
    ("topic_id_invalid", NoTopic),
    ("message to be replied not found", NoTopic),
    ("message to reply not found", NoTopic),
    ("replied message not found", NoTopic),
    ("message to edit not found", errors.NotFound),
    ("message can't be edited", errors.NotFound),
    ("message_id_invalid", errors.NotFound),
    ("message to pin not found", errors.NotFound),
    ("not enough rights", NoRight),
    ("chat_admin_required", NoRight),
)
OUTSIDE = ("chat not found", "need administrator rights in the channel", "peer_id_invalid")


async def called(call: Awaitable[T]) -> T:
    """Return what Telegram answers to a call; raises our errors, see the module's classes."""
    try:
        return await call
    except error.InvalidToken as refused:
        raise translated(refused) from None  # its text may hold the token itself
    except error.TelegramError as refused:
        raise translated(refused) from refused


def translated(refused: error.TelegramError) -> errors.HalonError:
    """Return an error of Telegram's as one of ours."""
    match refused:
        case error.RetryAfter():
            # The attribute warns of its coming type whenever it is read; what it is made of, not.
            (seconds,) = refused.__reduce__()[1]
            again = timedelta(seconds=float(seconds))
            return errors.TemporaryFailure("Telegram asks us to wait.", retry_after=again)
        case error.ChatMigrated():
            return Moved(refused.new_chat_id)
        case error.BadRequest():
            return _refused(refused.message)
        case error.Forbidden():
            return errors.TemporaryFailure(
                f"The bot is out of the group ({refused.message}); add it again.", retry_after=AWAY
            )
        case error.InvalidToken():
            return errors.TemporaryFailure(
                "Telegram does not know TELEGRAM_BOT_TOKEN; take the one that @BotFather shows.",
                retry_after=AWAY,
            )
        case error.NetworkError() if not isinstance(refused.__cause__, NEVER_LEFT):
            return errors.OutcomeUnknown(f"Telegram did not answer: {refused.message}")
        case error.NetworkError():
            return errors.TemporaryFailure(f"Telegram cannot be reached: {refused.message}")
        case _:
            return errors.TemporaryFailure(f"Telegram answered: {refused.message}")


def _refused(said: str) -> errors.HalonError:
    lower = said.lower()
    if any(sign in lower for sign in OUTSIDE):
        return errors.TemporaryFailure(
            f"Telegram does not show us the group ({said}); add the bot to it.", retry_after=AWAY
        )
    for sign, kind in REFUSALS:
        if sign in lower:
            return kind(f"Telegram refused: {said}")
    return errors.PermanentFailure(f"Telegram refused: {said}")
