"""Answers to one person: a reply to what was typed, or the notice of a pressed button.

Used by `bot.telegram.acts`. What everyone should see is a timeline entry and comes by the poster;
a reply is tried a few times and then dropped, since `/incident status` says it again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import telegram

from bot import texts
from bot.said import Said
from bot.telegram import drawing, limits, markdown, runs
from bot.telegram.calls import called
from bot.telegram.outward import Outward, Place
from incidents import errors

log = logging.getLogger(__name__)

TRIES = 4
LONGEST_WAIT = timedelta(seconds=30)
SEEN = "👌"  # one of Telegram's standard reactions: what was typed is done


@dataclass(frozen=True)
class Replies:
    """Answers in one bot's name."""

    bot: telegram.Bot
    outward: Outward

    async def tell(self, message: telegram.Message, said: Said, key: str) -> None:
        """Reply to a message, once per key."""
        self.outward.saw(message.chat.id, message.message_id)
        topic = message.message_thread_id if message.is_topic_message else None
        place = Place(message.chat.id, topic, message.message_id)
        for number, part in enumerate(drawing.answer(said.text, said.try_this, said.choices)):
            await _tried(
                lambda part=part, number=number: self.outward.once(  # type: ignore[misc]
                    place, part, f"reply-{key}:{number}"
                )
            )

    async def seen(self, message: telegram.Message) -> None:
        """Show on a message that it was done; the thread tells the rest."""
        await _tried(
            lambda: called(self.bot.set_message_reaction(message.chat.id, message.message_id, SEEN))
        )

    async def notice(self, query: telegram.CallbackQuery, said: Said) -> None:
        """End the waiting of a pressed button; a refusal stays until it is read."""
        plain = runs.plain(markdown.line(said.text.replace("\n", " ")))
        text = limits.shortened(plain, limits.ANSWER)
        # One try: Telegram takes no second answer, and after a while none at all.
        try:
            await called(query.answer(text, show_alert=not said.accepted))
        except errors.HalonError as error:
            log.info("a pressed button got no notice: %s", error.message)


def refusal(reason: str, user: int = 0) -> Said:
    """Return why Halon does not act on something."""
    return Said(texts.blocks("telegram_refused", user=user)[reason], False)


async def _tried(call: Callable[[], Awaitable[object]]) -> None:
    for _ in range(TRIES):
        try:
            await call()
        except errors.TemporaryFailure as error:
            await asyncio.sleep(min(error.retry_after, LONGEST_WAIT).total_seconds())
        except errors.HalonError as error:
            log.info("an answer could not be shown: %s", error.message)
            return
        else:
            return
    log.warning("an answer was dropped: Telegram does not take it")
