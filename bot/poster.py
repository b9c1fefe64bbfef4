"""Follows the timeline into the conversations of one platform: every entry once, in order.

Run by `bot.app`, one poster per platform. A delivery's id is its key on the platform, so that a
post whose outcome is unknown is looked for before it is sent again. An entry that cannot be shown
is given up after a few tries, with a line that says so; a platform that is down is waited for.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from datetime import timedelta

from bot import card, render
from bot.gathering import Gathering
from bot.port import ChatPort, Message, PostRef, ThreadRef
from incidents import crash, entries, errors
from incidents.deliveries import Deliveries, Due
from incidents.models import MACHINE, EntryKind, Incident
from incidents.timeline import Draft

log = logging.getLogger(__name__)

TRIES = 4  # of an entry that cannot be rendered or posted
FIRST_WAIT = timedelta(seconds=1)
SETTLING = (EntryKind.QUESTION, EntryKind.STATUS)  # after these an older question may be void

SENDING = crash.register("post.sending", "marked as being sent, nothing is outside")
POSTED = crash.register("post.made", "posted, not recorded: it is found by its key")
RECORDED = crash.register("post.recorded", "posted and recorded")


@dataclass(frozen=True)
class Pace:
    """How often the store is asked, and how old a card may become."""

    look: timedelta = timedelta(milliseconds=150)
    card: timedelta = timedelta(minutes=1)


@dataclass
class _Card:
    """The card of one conversation: where it is, and when it was last written."""

    incident: int
    post: PostRef
    written: float


@dataclass
class Poster:
    """Posts into the conversations of one platform."""

    port: ChatPort
    deliveries: Deliveries
    gathering: Gathering
    pace: Pace = field(default_factory=Pace)
    beat: float | None = None  # time.monotonic() of the last turn that went through
    _cards: dict[str, _Card] = field(default_factory=dict)
    _changed: set[int] = field(default_factory=set)
    _misses: dict[int, int] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Post until told to stop; a failing turn is logged and tried again."""
        begun = False
        while not stop.is_set():
            busy = False
            try:
                if not begun:
                    self._changed.update(one.number for one in await self._live())
                    begun = True
                busy = await self.turn()
                self.beat = time.monotonic()
            except Exception:
                log.exception("a turn of the %s poster failed", self.port.platform)
            if not busy:
                await _wait(stop, self.pace.look)

    async def turn(self) -> bool:
        """Send the next entry of every conversation, then mend the cards; True if there was one."""
        due = await asyncio.to_thread(self.deliveries.due, f"{self.port.platform}:")
        await asyncio.gather(*(self._guarded(one) for one in due))
        await self._mend_cards()
        return bool(due)

    async def _live(self) -> list[Incident]:
        return list(await asyncio.to_thread(self.gathering.incidents.list))

    async def _guarded(self, due: Due) -> None:
        """Deliver one entry, or note when to try again; nothing else of the turn suffers."""
        try:
            await self._deliver(due)
        except errors.TemporaryFailure as error:
            log.warning("%s does not take a post: %s", due.delivery.conversation, error.message)
            await self._failed(due, error.message, error.retry_after)
        except Exception as error:
            log.exception("delivery %s cannot be posted", due.delivery.id)
            await self._missed(due, error)

    async def _deliver(self, due: Due) -> None:
        delivery, entry = due.delivery, due.entry
        self._changed.add(entry.incident)
        if render.is_quiet(entry):
            await asyncio.to_thread(self.deliveries.sent, delivery.id, "")
            return
        thread = await self._thread(due)
        await self._first_card(due, thread)
        there = await self._there(due)
        if there is not None and await asyncio.to_thread(self.gathering.overtaken, entry):
            await asyncio.to_thread(self.deliveries.sent, delivery.id, there)
            return
        said = await asyncio.to_thread(self._rendered, due)
        if not await asyncio.to_thread(self.deliveries.sending, delivery.id):
            return
        crash.point(SENDING, entry.kind)
        if there:
            post = PostRef(thread, there)
            await self.port.edit(post, said)
        else:
            post = await self._post(thread, said, f"delivery-{delivery.id}", delivery.attempts > 0)
        crash.point(POSTED, entry.kind)
        await asyncio.to_thread(self.deliveries.sent, delivery.id, post.id)
        crash.point(RECORDED, entry.kind)
        self._misses.pop(delivery.id, None)
        if entry.kind in SETTLING:
            await self._settle(due, thread)

    def _rendered(self, due: Due) -> Message:
        return render.message(due.entry, self.gathering.context(due.entry))

    async def _post(self, thread: ThreadRef, said: Message, key: str, unknown: bool) -> PostRef:
        """Post once; after an attempt whose outcome is unknown, look first."""
        found = await self.port.find(thread, key) if unknown else None
        return found or await self.port.post(thread, said, key)

    async def _there(self, due: Due) -> str | None:
        """Return the message that the entry edits, if it was posted."""
        if (where := render.target(due.entry)) is None:
            return None
        return await asyncio.to_thread(
            self.deliveries.message_of,
            due.entry.incident,
            due.delivery.conversation,
            where[0],
            where[1],
        )

    async def _thread(self, due: Due) -> ThreadRef:
        if due.thread is not None:
            return ThreadRef(self.port.platform, due.thread)
        thread = await self.port.open_thread(due.incident)
        await asyncio.to_thread(
            self.deliveries.opened,
            due.entry.incident,
            due.delivery.conversation,
            thread.place,
        )
        return thread

    async def _settle(self, due: Due, thread: ThreadRef) -> None:
        """Show on older questions that they take no answer any more."""
        for entry in await asyncio.to_thread(self.gathering.superseded, due.entry.incident):
            there = await asyncio.to_thread(
                self.deliveries.message_of,
                entry.incident,
                due.delivery.conversation,
                EntryKind.QUESTION,
                entry.subject or "",
            )
            if there:
                context = await asyncio.to_thread(self.gathering.context, entry)
                await self.port.edit(PostRef(thread, there), render.message(entry, context))

    # --- what goes wrong

    async def _failed(self, due: Due, why: str, again: timedelta | None) -> None:
        await asyncio.to_thread(self.deliveries.failed, due.delivery.id, why, again)

    async def _missed(self, due: Due, error: Exception) -> None:
        """Try a few times more, then give this entry up and say so where people read."""
        number = self._misses[due.delivery.id] = self._misses.get(due.delivery.id, 0) + 1
        why = f"{type(error).__name__}: {error}"
        if number < TRIES:
            await self._failed(due, why, FIRST_WAIT * 2 ** (number - 1))
            return
        del self._misses[due.delivery.id]
        await self._failed(due, why, None)
        if due.entry.kind is not EntryKind.TROUBLE:  # its own failure must not feed itself
            await asyncio.to_thread(self._tell, due, why)

    def _tell(self, due: Due, why: str) -> None:
        draft = entries.trouble(
            f"Entry {due.entry.sequence} ({due.entry.kind.value}) could not be shown in "
            f"{due.delivery.conversation}: {why}",
            f"`halon incident show {due.incident.id}` has it; nothing recorded is lost.",
        )
        subject = f"unshown-{due.delivery.id}"
        told = Draft(draft.kind, draft.content, subject)
        self.gathering.timeline.append(due.entry.incident, told, MACHINE)

    # --- the card

    async def _first_card(self, due: Due, thread: ThreadRef) -> None:
        """See to it that a thread begins with its card."""
        if due.delivery.conversation not in self._cards:
            await self._write_card(due.entry.incident, due.delivery.conversation, thread)

    async def _mend_cards(self) -> None:
        """Write the cards of what changed, and of what lives when they grow old."""
        changed, self._changed = self._changed, set()
        now = asyncio.get_running_loop().time()
        old = [
            name
            for name, written in self._cards.items()
            if now - written.written >= self.pace.card.total_seconds()
        ]
        if not changed and not old:
            return
        live = {one.number for one in await self._live()}
        for name in old:
            if self._cards[name].incident in live:
                changed.add(self._cards[name].incident)
            else:
                del self._cards[name]  # what has ended stays as it is
        numbers = sorted(changed)
        written = await asyncio.gather(
            *(self._write_cards(number) for number in numbers), return_exceptions=True
        )
        for number, error in zip(numbers, written, strict=True):
            if isinstance(error, errors.TemporaryFailure):
                self._changed.add(number)
            elif isinstance(error, Exception):
                log.error("the card of INC-%s cannot be written", number, exc_info=error)
            elif error is not None:
                raise error

    async def _write_cards(self, number: int) -> None:
        for name in await asyncio.to_thread(self.deliveries.conversations, number):
            if name.startswith(f"{self.port.platform}:"):
                incident = await asyncio.to_thread(self.gathering.incidents.get, number)
                await self._write_card(number, name, await self.port.open_thread(incident))

    async def _write_card(self, number: int, conversation: str, thread: ThreadRef) -> None:
        view = await asyncio.to_thread(self.gathering.view, number)
        said = card.card(view)
        now = asyncio.get_running_loop().time()
        known = self._cards.get(conversation)
        if known is None:
            post = await self._post(thread, said, f"card-{number}", True)
            await self.port.edit(post, said)  # it may be one of an earlier life
            await self.port.pin(post)
        else:
            post = known.post
            await self.port.edit(post, said)
        self._cards[conversation] = _Card(number, post, now)


async def _wait(stop: asyncio.Event, longest: timedelta) -> None:
    try:
        await asyncio.wait_for(stop.wait(), longest.total_seconds())
    except TimeoutError:
        return
