"""Acts on what came in from Slack: asks who it was, carries it out, answers that person alone.

Called by `bot.slack.app` for each journaled event. One person's acts are carried out in their
order; nobody waits for another. A Slack that does not answer is waited for, and what a crash leaves
is begun again: the act itself is made once, under the event's meaning.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import parse_qs, urlsplit

from bot.hearing import Hearing
from bot.journal import Journal
from bot.line import Line
from bot.said import Said
from bot.slack import forms, home, inbound, registry, whispers
from bot.slack.asking import Asking
from bot.slack.inbound import Inbound, Kind
from bot.slack.me import Me
from bot.slack.people import People
from bot.slack.place import Place, conversation
from incidents import errors
from incidents.inbox import InboxItem
from incidents.models import Answer, Person, Platform, TimelineEntry
from incidents.quotes import Quote

log = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(seconds=30)
ANSWER_TRIES = 3
LOOKS = 10  # for the entry of a message that was posted this very moment
BETWEEN_LOOKS = 0.3
DUE = timedelta(days=7)  # of an action item that names no day
SLACK = Platform.SLACK


@dataclass
class Acts:
    """Carries out journaled events."""

    hearing: Hearing
    journal: Journal
    line: Line
    people: People
    asking: Asking
    me: Me
    home: str | None = None  # the channel in which incidents are told
    _begun: set[int] = field(default_factory=set)
    _lanes: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def start(self, item: InboxItem) -> None:
        """Begin to act on an event, once, after what the same person did before it."""
        if item.id in self._begun:  # what came while the rest of an earlier life was read
            return
        self._begun.add(item.id)
        one = inbound.again(item.body)
        before = self._lanes.get(one.user)
        task = asyncio.create_task(self._in_turn(before, item, one), name=f"slack {item.id}")
        self._lanes[one.user] = task
        task.add_done_callback(lambda done: self._left(one.user, done))

    async def idle(self) -> None:
        """Wait until everything that was begun is done."""
        while self._lanes:
            await asyncio.wait(list(self._lanes.values()))

    async def close(self) -> None:
        """Stop where we are; what is not done is begun again at the next start."""
        for task in list(self._lanes.values()):
            task.cancel()
        await asyncio.gather(*self._lanes.values(), return_exceptions=True)

    def _left(self, user: str, task: asyncio.Task[None]) -> None:
        if self._lanes.get(user) is task:
            del self._lanes[user]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an event of Slack could not be acted on", exc_info=error)

    async def _in_turn(
        self, before: asyncio.Task[None] | None, item: InboxItem, one: Inbound
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self.me.known()
        wait = timedelta(seconds=1)
        while True:
            try:
                await self._act(one, item.meaning)
                break
            except errors.TemporaryFailure as error:
                log.warning("%s; trying again", error.message)
                await asyncio.sleep(max(wait, error.retry_after).total_seconds())
                wait = min(wait * 2, LONGEST_WAIT)
            except errors.HalonError as error:
                log.warning("an event of Slack was dropped: %s", error.message)
                await self._tell(one, Said(error.message, False))
                break
        await self.journal.done(item)
        self._begun.discard(item.id)

    async def _act(self, one: Inbound, key: str) -> None:
        if not one.user or one.user == self.me.user:
            return
        if one.kind is Kind.MENTION and one.value != self.me.user:
            return  # another's name, by whichever road it came
        person = await self.people.who(one.user, one.team)
        match one.kind:
            case Kind.SLASH | Kind.MENTION:
                await self._typed(one, person, key)
            case Kind.BUTTON:
                await self._pressed(one, person, key)
            case Kind.FORM:
                await self._say(one, person, key, forms.line(one.fields), one.channel)
            case Kind.REACTION | Kind.REACTION_GONE:
                await self._reacted(one, person, key)
            case Kind.HOME:
                await self.asking.publish(one.user, await self._home(person))
            case Kind.EDITED | Kind.DELETED:
                text = one.text if one.kind is Kind.EDITED else None
                await asyncio.to_thread(self.hearing.reworded, _key(one), text, person)

    # --- words

    async def _typed(self, one: Inbound, person: Person, key: str) -> None:
        await self._say(one, person, key, one.text, one.channel)

    async def _say(self, one: Inbound, person: Person, key: str, text: str, channel: str) -> None:
        place = Place(channel, one.thread or None)
        thread = await self._incident(place)
        wish = await asyncio.to_thread(
            self.hearing.line, text, person, thread, key, self._told_in(channel)
        )
        said = await self.line.take(wish)
        await self._tell(one, said, with_form=len(text.split()) < 2)

    async def _incident(self, place: Place) -> str | None:
        """Return the incident of a thread, or of the channel that it is in."""
        for where in dict.fromkeys((str(place), place.channel)):
            found = await asyncio.to_thread(self.hearing.incident_at, SLACK, where)
            if found is not None:
                return found
        return None

    def _told_in(self, channel: str) -> str | None:
        """Return the conversation for an incident opened here; a direct message is none."""
        where = self.home or channel
        return conversation(where) if where[:1] in ("C", "G") else None

    # --- buttons and reactions

    async def _pressed(self, one: Inbound, person: Person, key: str) -> None:
        command, _, _ = one.text.partition(":")
        if command == whispers.FORM:
            services = sorted(self.hearing.commands.access().services)
            await self.asking.open_form(one.trigger, forms.opening(services, one.channel))
            return
        if command == whispers.LINE:
            await self._say(one, person, key, one.value, one.channel)
            return
        entry = await self._shown(one)
        wish = await asyncio.to_thread(self.hearing.button, entry, command, person, key, one.value)
        if wish is None:
            asked = "This message is not known here any more; use the newest one."
            await self._tell(one, Said(asked, False))
            return
        said = await self.line.take(wish)
        if not said.accepted or command not in ("approve", "refuse"):
            await self._tell(one, said)  # of what was accepted the message itself tells

    async def _reacted(self, one: Inbound, person: Person, key: str) -> None:
        answer = _answer(one.text)
        if answer is None:
            await self._marked(one, person)
            return
        entry = await self._shown(one)
        turn = self.hearing.reaction if one.kind is Kind.REACTION else self.hearing.reaction_gone
        wish = await asyncio.to_thread(turn, entry, answer, person, key)
        if wish is None:
            return  # people may tick what they like
        said = await self.line.take(wish)
        if not said.accepted:
            await self._tell(one, said)

    async def _marked(self, one: Inbound, person: Person) -> None:
        """Take a message into the timeline by an emoji; taking the emoji away changes nothing."""
        as_note = one.text in registry.NOTE_EMOJI
        if one.kind is not Kind.REACTION or not (as_note or one.text in registry.ACTION_EMOJI):
            return
        if not await self._tells(one.channel):
            return
        link = await self.asking.permalink(one.channel, one.message)
        thread = thread_in(link)
        incident = await self._incident(Place(one.channel, thread or one.message))
        if incident is None:
            return  # elsewhere people may mark what they like
        message = await self.asking.message(one.channel, one.message, thread)
        if message is None or not message.get("text"):
            await self._tell(one, Said("There is no text in that message to note.", False))
            return
        said_at = datetime.fromtimestamp(float(one.message), UTC)
        author = f"{SLACK}:{message.get('user') or message.get('bot_id')}"
        quote = Quote(_key(one), inbound.plain(str(message["text"])), author, said_at, link)
        said = await self.line.take(
            self.hearing.quote(incident, quote, person)
            if as_note
            else self.hearing.action(incident, quote, person, datetime.now(UTC) + DUE)
        )
        if not said.accepted:
            await self._tell(one, said)

    async def _tells(self, channel: str) -> bool:
        """Tell whether any incident is told in a channel, before Slack is asked about it."""
        return await asyncio.to_thread(self.hearing.deliveries.tells_in, SLACK.value, channel)

    async def _shown(self, one: Inbound) -> TimelineEntry | None:
        """Return what a message shows; one posted this very moment is waited for."""
        found = await asyncio.to_thread(self.hearing.shown, SLACK, one.message, one.channel)
        looks = LOOKS if found is None and await self._tells(one.channel) else 0
        for _ in range(looks):
            await asyncio.sleep(BETWEEN_LOOKS)
            found = await asyncio.to_thread(self.hearing.shown, SLACK, one.message, one.channel)
            if found is not None:
                break
        return found

    # --- answers

    async def _home(self, person: Person) -> dict[str, object]:
        commands = self.hearing.commands
        seen = await asyncio.to_thread(commands.visible, person)
        return home.view(seen)

    async def _tell(self, one: Inbound, said: Said, *, with_form: bool = False) -> None:
        """Answer where it was asked; whom no answer reaches there gets it as a direct message."""
        text, blocks = whispers.answer(said, with_form=with_form)
        direct = partial(self.asking.direct, one.user, text, blocks)
        beside = partial(self.asking.whisper, one.channel, one.user, one.thread, text, blocks)
        there = partial(self.asking.answer, one.reply_to, text, blocks)
        roads = [there] * bool(one.reply_to) + [beside] * bool(one.channel) + [direct]
        for road in roads:
            for _ in range(ANSWER_TRIES):
                try:
                    await road()
                    return
                except errors.TemporaryFailure as error:
                    await asyncio.sleep(min(error.retry_after, LONGEST_WAIT).total_seconds())
                except errors.HalonError as error:
                    log.info("an answer went another way: %s", error.message)
                    break
        log.warning("nobody could be told: %s", said.text)


def thread_in(permalink: str) -> str:
    """Return the head of the thread that a message's address names, empty for none."""
    return next(iter(parse_qs(urlsplit(permalink).query).get("thread_ts", ())), "")


def _key(one: Inbound) -> str:
    return f"{SLACK} {one.channel} {one.message}"


def _answer(emoji: str) -> Answer | None:
    if emoji in registry.YES_EMOJI:
        return Answer.YES
    return Answer.NO if emoji in registry.NO_EMOJI else None
