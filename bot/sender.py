"""The one sender of a conversation: shows its entries in order, keeps its card true.

Made and started by `bot.poster`, one per incident and place, so that a thread that is refused or
hangs holds up no other. A delivery's id is its message's key: what may have been sent is looked for
before it is sent again. An entry that cannot be shown is given up after a few tries, with a line
that says so; a platform that is down is waited for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from bot import card, outbox, render
from bot.gathering import Gathering
from bot.outbox import Pace, Rank, Step
from bot.port import ChatPort, Message, Opened, PostRef, ThreadRef
from incidents import crash, entries, errors, lifecycle
from incidents.deliveries import Conversation, Deliveries
from incidents.models import MACHINE, EntryKind, Status, TimelineEntry
from incidents.timeline import Draft

log = logging.getLogger(__name__)

TRIES = 4  # of an entry that cannot be rendered or posted
SETTLING = (EntryKind.QUESTION, EntryKind.STATUS)  # after these an older question may be void
ENDS = (Status.CLOSED.value, Status.CANCELLED.value, Status.MERGED.value)

SENDING = crash.register("post.sending", "marked as being sent, nothing is outside")
POSTED = crash.register("post.made", "posted, not recorded: it is found by its key")
RECORDED = crash.register("post.recorded", "posted and recorded")


@dataclass(frozen=True)
class Work:
    """The next thing to write: how pressing it is, and how it is done."""

    rank: Rank
    act: Callable[[], Awaitable[None]]
    step: Step | None = None
    edits: bool = False


@dataclass
class Sender:
    """Writes into one conversation, one thing at a time."""

    port: ChatPort
    deliveries: Deliveries
    gathering: Gathering
    pace: Pace
    clock: Callable[[], float]
    conversation: Conversation
    wants: bool = False  # rows are pending
    task: asyncio.Task[None] | None = None
    _live: bool = True
    _card_stale: bool = True
    _card_said: Message | None = None
    _card_at: float = float("-inf")
    _sends_at: float = float("-inf")  # nothing is tried before
    _edits_at: float = float("-inf")
    _misses: int = 0
    _tries: dict[int, int] = field(default_factory=dict)
    _edited: dict[str, float] = field(default_factory=dict)
    _void: dict[str, TimelineEntry] = field(default_factory=dict)  # questions still to be closed
    _settled: set[str] = field(default_factory=set)

    # --- what is next

    @property
    def place(self) -> str:
        """The conversation's thread; before it is opened, where it will be."""
        return self.conversation.thread or self._where

    @property
    def _where(self) -> str:
        return self.conversation.name.partition(":")[2]

    @property
    def idle(self) -> bool:
        """Whether nothing will be written here until a new entry comes."""
        return not (self._live or self.wants or self._card_stale or self._void or self.task)

    def may(self, now: float) -> bool:
        """Return whether there may be something to write now."""
        if self.task is not None or now < min(self._sends_at, self._edits_at):
            return False
        return self.wants or bool(self._void) or self._card_is_due(now)

    async def next(self, now: float) -> Work | None:
        """Return the most pressing thing that may be written now."""
        found = await asyncio.to_thread(self._steps) if self.wants else []
        for step in found:
            if self._is_time(step, now):
                return self._work(step)
        return self._chore(now)

    def _steps(self) -> list[Step]:
        name, number = self.conversation.name, self.conversation.incident
        pending = self.deliveries.pending(number, name)
        quiet = [due for due in pending if render.is_quiet(due.entry)]
        if quiet:
            self.deliveries.sent([due.delivery.id for due in quiet], "")
            self._card_stale = True
        self.wants = len(pending) > len(quiet)
        loud = [due for due in pending if due not in quiet]
        return outbox.steps(
            loud, lambda target: self.deliveries.message_of(number, name, target[0], target[1])
        )

    def _is_time(self, step: Step, now: float) -> bool:
        if step.there is None:
            return now >= self._sends_at
        return now >= self._edits_at and (
            step.rank is not Rank.PROGRESS or self._rested(step.there, now)
        )

    def _rested(self, message: str, now: float) -> bool:
        before = self._edited.get(message, float("-inf"))
        return now - before >= self.pace.edits.total_seconds()

    def _work(self, step: Step) -> Work:
        async def show() -> None:
            await self._show(step)

        return Work(step.rank, show, step, step.there is not None)

    def _chore(self, now: float) -> Work | None:
        if self.conversation.card is None or now < self._edits_at:
            return None
        if self._void:
            return Work(Rank.CLOSING, self._close_question, edits=True)
        if self._card_is_due(now):
            return Work(Rank.PROGRESS, self._write_card, edits=True)
        return None

    def _card_is_due(self, now: float) -> bool:
        if self.conversation.card is None:
            return False
        old = self._live and now - self._card_at >= self.pace.card.total_seconds()
        return (self._card_stale or old) and self._rested(self.conversation.card, now)

    # --- how it is done

    async def perform(self, work: Work) -> None:
        """Do one thing, or note when to try again; nobody else suffers from a failure."""
        try:
            await work.act()
        except errors.TemporaryFailure as error:
            self._hold(error.retry_after, work.edits)
            where = self.conversation.name
            log.warning("%s does not take what is said: %s", where, error.message)
        except Exception as error:
            log.exception("%s cannot be written to", self.conversation.name)
            if work.step is None:
                self._hold(timedelta(), work.edits)
            else:
                await self._missed(work.step, error)
        else:
            self._misses = 0

    def _hold(self, told: timedelta, only_edits: bool = False) -> None:
        """Wait before the next try; what fails as an edit holds up no news."""
        self._misses += 1
        until = self.clock() + outbox.wait(self.pace, self._misses, told)
        self._edits_at = until
        if not only_edits:
            self._sends_at = until

    async def _show(self, step: Step) -> None:
        self._card_stale = True
        opened = await self._opened()
        entry = step.last.entry
        said = await asyncio.to_thread(self._rendered, entry)
        if not await asyncio.to_thread(self.deliveries.sending, step.first.delivery.id):
            return
        crash.point(SENDING, entry.kind)
        post = await self._edited_post(opened, step, said) or await self._post(opened, step, said)
        if entry.kind is EntryKind.STATUS:
            await self._move_thread(opened, entry)
        crash.point(POSTED, entry.kind)
        done = [due.delivery.id for due in step.dues]
        await asyncio.to_thread(self.deliveries.sent, done, post.id)
        crash.point(RECORDED, entry.kind)
        self._edited[post.id] = self.clock()
        for one in done:
            self._tries.pop(one, None)
        if entry.kind in SETTLING:
            await self._settle()

    def _rendered(self, entry: TimelineEntry) -> Message:
        return render.message(entry, self.gathering.context(entry))

    async def _edited_post(self, opened: Opened, step: Step, said: Message) -> PostRef | None:
        """Edit the message that is there; None where there is none, or none any more."""
        if step.there is None:
            return None
        post = PostRef(opened.thread, step.there)
        try:
            await self.port.edit(post, said)
        except errors.NotFound:
            return None  # somebody deleted it: it is said again
        return post

    async def _post(self, opened: Opened, step: Step, said: Message) -> PostRef:
        """Post once; what may be there already is looked for, and brought up to date."""
        due = step.first
        key = f"delivery-{due.delivery.id}"
        if due.unknown and (found := await self.port.find(opened.thread, key)):
            await self.port.edit(found, said)
            return found
        try:
            return await self.port.post(opened.thread, said, key)
        except errors.OutcomeUnknown:
            raise
        except errors.TemporaryFailure as error:
            await asyncio.to_thread(self.deliveries.put_back, due.delivery.id, error.message)
            raise
        except errors.NotFound:  # the place is gone: the next try makes one anew
            self.conversation = replace(self.conversation, thread=None, card=None)
            raise

    async def _move_thread(self, opened: Opened, entry: TimelineEntry) -> None:
        to = entry.content.get("to")
        if to in ENDS:
            await self.port.end_thread(opened)
        elif to == Status.REOPENED.value:
            await self.port.resume_thread(opened)

    async def _opened(self) -> Opened:
        """Return the thread and its card, made now if they are not there."""
        known = self.conversation
        if known.thread is not None and known.card is not None:
            thread = ThreadRef(self.port.platform, known.thread)
            return Opened(thread, PostRef(thread, known.card))
        incident = await asyncio.to_thread(self.gathering.incidents.get, known.incident)
        made = await self.port.open_thread(incident, self._where, await self._card())
        place, top = made.thread.place, made.card.id
        await asyncio.to_thread(self.deliveries.opened, incident.number, known.name, place, top)
        self.conversation = replace(known, thread=place, card=top)
        if made.left_out:
            await asyncio.to_thread(self._tell_left_out, made.left_out)
        return made

    # --- the card, and questions that nobody can answer any more

    async def _card(self) -> Message:
        view = await asyncio.to_thread(self.gathering.view, self.conversation.incident)
        self._live = view.incident.status in lifecycle.LIVE
        return card.card(view)

    async def _write_card(self) -> None:
        """Write the card as it is now; one that says what it said stays as it is."""
        self._card_stale = False
        opened = await self._opened()
        said = await self._card()
        if self._card_said is None or said != replace(self._card_said, at=said.at):
            written = False
            try:
                await self.port.edit(opened.card, said)
                written = True
            except errors.NotFound:  # somebody deleted it, or the place: it is made anew
                self.conversation = replace(self.conversation, thread=None, card=None)
                opened = await self._opened()
                written = True
            finally:
                self._card_stale |= not written
            self._card_said = said
            self._edited[opened.card.id] = self.clock()
        self._card_at = self.clock()

    async def _settle(self) -> None:
        """Note the older questions that take no answer any more."""
        number = self.conversation.incident
        for entry in await asyncio.to_thread(self.gathering.superseded, number):
            if (subject := entry.subject or "") not in self._settled:
                self._void[subject] = entry

    async def _close_question(self) -> None:
        """Show on one of them that it takes no answer."""
        subject, entry = next(iter(self._void.items()))
        opened = await self._opened()
        there = await asyncio.to_thread(
            self.deliveries.message_of,
            entry.incident,
            self.conversation.name,
            EntryKind.QUESTION,
            subject,
        )
        if there:
            said = await asyncio.to_thread(self._rendered, entry)
            try:
                await self.port.edit(PostRef(opened.thread, there), said)
            except errors.TemporaryFailure:
                raise
            except errors.HalonError as error:
                log.warning("an old question stays as it is: %s", error.message)
        del self._void[subject]
        self._settled.add(subject)

    # --- what goes wrong

    async def _missed(self, step: Step, error: Exception) -> None:
        """Try a few times more, then give this entry up and say so where people read."""
        due = step.last
        number = self._tries[due.delivery.id] = self._tries.get(due.delivery.id, 0) + 1
        why = error.message if isinstance(error, errors.HalonError) else repr(error)
        if number < TRIES:
            again = self.pace.first_wait * 2 ** (number - 1)
            await asyncio.to_thread(self.deliveries.failed, due.delivery.id, why, again)
            return
        del self._tries[due.delivery.id]
        await asyncio.to_thread(self.deliveries.failed, due.delivery.id, why, None)
        if due.entry.kind is not EntryKind.TROUBLE:  # its own failure must not feed itself
            await asyncio.to_thread(self._tell_unshown, due.entry, due.delivery.id, why)

    def _tell_unshown(self, entry: TimelineEntry, delivery: int, why: str) -> None:
        self._tell(
            f"unshown-{delivery}",
            f"Entry {entry.sequence} ({entry.kind.value}) could not be shown in "
            f"{self.conversation.name}: {why}",
            f"`halon incident show INC-{entry.incident}` has it; nothing recorded is lost.",
        )

    def _tell_left_out(self, left_out: tuple[str, ...]) -> None:
        platform = self.port.platform.value
        self._tell(
            f"left-out-{platform}",
            f"Left out in {platform.capitalize()}: {' '.join(left_out)}",
            "The incident goes on without it; `halon doctor` names each mend.",
        )

    def _tell(self, subject: str, what: str, mend: str) -> None:
        draft = entries.trouble(what, mend)
        told = Draft(draft.kind, draft.content, subject)
        self.gathering.timeline.append_once(self.conversation.incident, told, MACHINE)
