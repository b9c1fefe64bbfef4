"""The platform `telegram` of the poster: the messages of one group, each sent once.

Called by the poster through `bot.port.ChatPort`. An incident is a forum topic, or where topics are
off a chain of replies whose root is the card. A message is one of Telegram's, with its files behind
it; the first is the one that is answered and edited. Never retries by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import telegram

from bot import texts
from bot.port import Message, Opened, PostRef, ThreadRef
from bot.telegram import drawing, markdown
from bot.telegram.calls import Moved, NoRight, NoTopic, Unchanged, called
from bot.telegram.drawing import Kind, Look, Part
from bot.telegram.group import Group
from bot.telegram.outward import Outward, Place, Sent, key_in
from bot.telegram.topics import Topics
from incidents import errors
from incidents.models import Incident, Platform

T = TypeVar("T")


@dataclass
class TelegramPort:
    """Posts into one group."""

    bot: telegram.Bot
    group: Group
    outward: Outward
    look: Look = field(default_factory=Look)
    # What an incident asks is to be said anew: returns the rows whose messages are gone; blocking.
    again: Callable[[int], Sequence[int]] = lambda number: ()

    @property
    def platform(self) -> Platform:
        """Telegram."""
        return Platform.TELEGRAM

    def shares(self, place: str) -> str:
        """One group, one limit, wherever it moves."""
        return self.group.conversation

    async def open_thread(self, incident: Incident, where: str, card: Message) -> Opened:
        """Make the topic of an incident with its card on top, or find it again."""
        return await self._here(self._open(incident, card))

    async def post(self, thread: ThreadRef, message: Message, key: str) -> PostRef:
        """Send a message and its files, each once; raises `errors.NotFound` without a place."""
        return await self._here(self._post(thread, message, key))

    async def edit(self, post: PostRef, message: Message) -> None:
        """Replace what a message says, and what of its files has changed."""
        await self._here(self._edit(post, message))

    async def find(self, thread: ThreadRef, key: str) -> PostRef | None:
        """Return a message that was sent whole; what was sent in part, `post` completes."""
        chat = Place.read(thread.place).chat
        whole = await asyncio.to_thread(self.outward.sendings.get, key_in(chat, _whole(key)))
        return None if whole is None else PostRef(thread, f"{chat}/{Sent.read(whole).id}")

    async def end_thread(self, opened: Opened) -> None:
        """Close the topic, or take the card of a chain from the top."""
        place = Place.read(opened.thread.place)
        if place.topic is None:
            call = self.bot.unpin_chat_message(place.chat, _id_of(opened.card))
        else:
            call = self.bot.close_forum_topic(place.chat, place.topic)
        await self._allowed(call)

    async def resume_thread(self, opened: Opened) -> None:
        """Open the topic again, or pin the card."""
        place = Place.read(opened.thread.place)
        if place.topic is None:
            call = self.bot.pin_chat_message(place.chat, _id_of(opened.card), True)
        else:
            call = self.bot.reopen_forum_topic(place.chat, place.topic)
        await self._allowed(call)

    # --- the thread

    async def _open(self, incident: Incident, card: Message) -> Opened:
        if not self.group.known:
            await self.group.refresh(self.bot)
        chat = self.group.chat
        was_there = await self._sent(chat, f"{incident.id}/card:0") is not None
        try:
            place, post, anew = await self._topped(chat, incident, card)
        except NoTopic:  # somebody deleted it: the incident gets another
            await self._set_aside(chat, f"{incident.id}/")
            place, post, anew = await self._topped(chat, incident, card)
        left_out = await self._pinned(chat, post)
        if place.topic is not None:
            await self._announced(place, incident)
        if was_there and anew:
            for row in await asyncio.to_thread(self.again, incident.number):
                await self._set_aside(chat, f"delivery-{row}:")
        thread = ThreadRef(Platform.TELEGRAM, str(place))
        return Opened(thread, PostRef(thread, f"{chat}/{post}"), left_out)

    async def _topped(
        self, chat: int, incident: Incident, card: Message
    ) -> tuple[Place, int, bool]:
        """Return where an incident is told, its card there, and whether that was made anew."""
        place = Place(chat)
        if self.group.rights.topics:
            topics = Topics(self.bot, self.outward)
            place = Place(chat, topic=await topics.once(chat, incident, f"{incident.id}/topic"))
        part = drawing.parts(card, self._look())[0]
        key = f"{incident.id}/card:0"
        known = await self._sent(chat, key)
        if known is not None:
            with suppress(errors.NotFound):
                await self.outward.edit(chat, known, part, look=True)
                return _rooted(place, known.id), known.id, False
            await self._set_aside(chat, key)
        sent = await self.outward.once(place, part, key)
        return _rooted(place, sent.id), sent.id, True

    async def _pinned(self, chat: int, message: int) -> tuple[str, ...]:
        try:
            await called(self.bot.pin_chat_message(chat, message, disable_notification=True))
        except Unchanged:
            return ()
        except NoRight:
            return (texts.blocks("telegram_place", **_NOTHING)["no_pin"],)
        return ()

    async def _announced(self, place: Place, incident: Incident) -> None:
        """Say in the group itself where the topic is, so that nobody has to look for it."""
        said = texts.blocks(
            "telegram_place",
            **_NOTHING
            | {
                "id": incident.id,
                "severity": incident.severity.value,
                "title": incident.title,
            },
        )
        keys = ((said["open"], link(place)),)
        part = Part(Kind.TEXT, markdown.line(said["announced"]), None, keys)
        with suppress(NoRight, errors.PermanentFailure):  # the general topic may be closed
            await self.outward.once(Place(place.chat), part, f"{incident.id}/told:0")

    # --- messages

    async def _post(self, thread: ThreadRef, message: Message, key: str) -> PostRef:
        place = self._place(thread)
        sent = [
            await self.outward.once(place, part, f"{key}:{number}")
            for number, part in enumerate(drawing.parts(message, self._look()))
        ]
        whole = key_in(place.chat, _whole(key))
        await asyncio.to_thread(self.outward.sendings.done, whole, str(sent[0]))
        return PostRef(thread, f"{place.chat}/{sent[0].id}")

    async def _edit(self, post: PostRef, message: Message) -> None:
        place, number = self._place(post.thread), _id_of(post)
        if not post.id.startswith(f"{place.chat}/"):
            raise errors.NotFound("That message was in the group before it became a supergroup.")
        found = await asyncio.to_thread(
            self.outward.sendings.key_of, key_in(place.chat, ""), f"{number}/"
        )
        key = (found or f"edited-{number}:0").removeprefix(key_in(place.chat, ""))
        base = key.rpartition(":")[0]
        for at, part in enumerate(drawing.parts(message, self._look())):
            known = await self._sent(place.chat, f"{base}:{at}")
            if known is None and at == 0:
                known = Sent(number, Kind.TEXT, "")
            if known is None:
                await self.outward.once(place, part, f"{base}:{at}")
                continue
            fresh = await self.outward.edit(place.chat, known, part)
            if fresh != known:
                whole = key_in(place.chat, f"{base}:{at}")
                await asyncio.to_thread(self.outward.sendings.done, whole, str(fresh))

    # --- what they share

    async def _here(self, work: Awaitable[T]) -> T:
        """Do something in the group, and follow it when it has become a supergroup."""
        try:
            return await work
        except Moved as moved:
            await asyncio.to_thread(self.group.moved, moved.chat)
            raise

    async def _allowed(self, call: Awaitable[object]) -> None:
        """Make a call that may be refused: the incident goes on without it."""
        with suppress(Unchanged, NoRight, errors.NotFound):
            await self._here(called(call))

    def _place(self, thread: ThreadRef) -> Place:
        place = Place.read(thread.place)
        if place.chat != self.group.chat:
            raise errors.NotFound("The group became a supergroup: the thread goes on there.")
        return place

    def _look(self) -> Look:
        return replace(self.look, reactions=self.group.rights.admin)

    async def _sent(self, chat: int, key: str) -> Sent | None:
        known = await asyncio.to_thread(self.outward.sendings.get, key_in(chat, key))
        return None if known is None else Sent.read(known)

    async def _set_aside(self, chat: int, prefix: str) -> None:
        await asyncio.to_thread(self.outward.sendings.set_aside, [key_in(chat, prefix)])


_NOTHING = {"id": "", "number": 0, "severity": "", "title": "", "about": ""}


def link(place: Place) -> str:
    """Return the address of a topic, for members of its group."""
    return f"https://t.me/c/{str(place.chat).removeprefix('-100').removeprefix('-')}/{place.topic}"


def _rooted(place: Place, card: int) -> Place:
    return place if place.topic is not None else Place(place.chat, root=card)


def _whole(key: str) -> str:
    return f"{key}:whole"


def _id_of(post: PostRef) -> int:
    number = post.id.rpartition("/")[2]
    if not number.isdecimal():
        raise errors.NotFound(f"{post.id!r} is no message of Telegram's.")
    return int(number)
