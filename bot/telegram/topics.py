"""Makes the forum topic of an incident once, and finds it again after a call without an answer.

Used by `bot.telegram.port`. A topic's id is that of the message which says that it was made, so a
lost one is looked for like a lost message: by a renaming that changes nothing.
"""

import asyncio
from dataclasses import dataclass

import telegram

from bot import texts
from bot.telegram import limits
from bot.telegram.calls import Unchanged, called
from bot.telegram.drawing import Kind
from bot.telegram.outward import Outward, Sent, key_in
from incidents import errors
from incidents.models import Incident, Severity

COLOURS = {  # of the six that Telegram takes for a topic's icon
    Severity.P0: 0xFB6F5F,
    Severity.P1: 0xFFD67E,
    Severity.P2: 0x6FB9F0,
    Severity.P3: 0x8EEE98,
}


@dataclass(frozen=True)
class Topics:
    """Makes topics in one group."""

    bot: telegram.Bot
    outward: Outward

    async def once(self, chat: int, incident: Incident, key: str) -> int:
        """Return the id of an incident's topic; raises as `calls.called`."""
        name, whole = named(incident), key_in(chat, key)
        async with self.outward.alone():
            newest = await self.outward.entered(chat)
            begun = await asyncio.to_thread(self.outward.sendings.begin, whole, newest)
            if begun.reference is not None:
                return Sent.read(begun.reference).id
            found = None if begun.fresh else await self._sought(chat, name, begun.after)
            if found is None:
                found = await self._make(chat, name, incident.severity, whole, begun.after)
            return await self._known(whole, found)

    async def _known(self, key: str, number: int) -> int:
        made = Sent(number, Kind.TEXT, "topic")
        await asyncio.to_thread(self.outward.sendings.done, key, str(made))
        return number

    async def _make(self, chat: int, name: str, severity: Severity, key: str, after: int) -> int:
        colour = COLOURS[severity]
        try:
            made = await called(self.bot.create_forum_topic(chat, name, icon_color=colour))
        except errors.OutcomeUnknown:
            self.outward.lost(lambda: self._clear_up(chat, name, key, after))
            raise
        except errors.HalonError:
            await asyncio.to_thread(self.outward.sendings.drop, key)
            raise
        return made.message_thread_id

    async def _clear_up(self, chat: int, name: str, key: str, after: int) -> None:
        """Find out what became of a call without an answer."""
        found = await self._sought(chat, name, after)
        if found is None:
            await asyncio.to_thread(self.outward.sendings.drop, key)
        else:
            await self._known(key, found)

    async def _sought(self, chat: int, name: str, after: int) -> int | None:
        for number in await self.outward.unknown(chat, after):
            try:
                await called(self.bot.edit_forum_topic(chat, number, name=name))
            except Unchanged:
                return number
            except errors.TemporaryFailure:
                raise
            except errors.HalonError:
                continue
            return number
        return None


def named(incident: Incident) -> str:
    """Return the name of an incident's topic: what a list of topics on a phone has to tell."""
    said = texts.blocks(
        "telegram_place",
        id=incident.id,
        number=incident.number,
        severity=incident.severity.value,
        title=incident.title,
        about=texts.Shown(incident.service or incident.title),
    )
    return limits.shortened(" ".join(said["topic"].split()), limits.TOPIC)
