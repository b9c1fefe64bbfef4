"""Acts on what came in from Slack: asks who it was, carries it out, answers that person alone.

Called by `bot.slack.app` for each journaled event. A Slack that does not answer is waited for, and
what a crash leaves is begun again: the act itself is made once, under the event's meaning.
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
from bot.slack.lanes import Lanes, StepAside
from bot.slack.me import Me
from bot.slack.people import People
from bot.slack.place import Place, conversation
from bot.verbs import USAGE, Verb
from incidents import errors
from incidents.inbox import InboxItem
from incidents.models import Answer, Person, Platform, TimelineEntry
from incidents.quotes import Quote

log = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(seconds=30)
ANSWER_TRIES = 3
LOOKS = 10  # for the entry of a message that was posted this very moment
MOST_LOOKS = 2000  # ten minutes in all, while a post is on its way that Slack has not confirmed
DUE = timedelta(days=7)  # of an action item that names no day
SLACK = Platform.SLACK
NO_FORM = "Slack did not open the form in time; press the button once more, or type it."


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
    lanes: Lanes = field(default_factory=Lanes)
    between_looks: float = 0.3  # seconds
    _begun: set[int] = field(default_factory=set)

    def start(self, item: InboxItem) -> None:
        """Begin to act on an event, once, after what the same person did before it."""
        if item.id in self._begun:  # what came while the rest of an earlier life was read
            return
        self._begun.add(item.id)
        one = inbound.again(item.body)
        self.lanes.begin(one.user, one.message, partial(self._carry_out, item, one))

    async def idle(self) -> None:
        """Wait until everything that was begun is done."""
        await self.lanes.idle()

    async def close(self) -> None:
        """Stop where we are; what is not done is begun again at the next start."""
        await self.lanes.close()

    async def _carry_out(self, item: InboxItem, one: Inbound, aside: StepAside) -> None:
        await self.me.known()
        wait = timedelta(seconds=1)
        while True:
            try:
                await self._act(one, item.meaning, aside)
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

    async def _act(self, one: Inbound, key: str, aside: StepAside) -> None:
        if not one.user or one.user == self.me.user:
            return
        if one.kind is Kind.MENTION and one.value != self.me.user:
            return  # another's name, by whichever road it came
        person = await self.people.who(one.user, one.team)
        match one.kind:
            case Kind.SLASH | Kind.MENTION:
                await self._typed(one, person, key)
            case Kind.BUTTON:
                await self._pressed(one, person, key, aside)
            case Kind.FORM:
                await self._say(one, person, key, forms.line(one.fields), one.channel)
            case Kind.REACTION | Kind.REACTION_GONE:
                await self._reacted(one, person, key, aside)
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

    async def _pressed(self, one: Inbound, person: Person, key: str, aside: StepAside) -> None:
        command, _, _ = one.text.partition(":")
        if command == whispers.FORM:
            await self._open_form(one)
            return
        if command == whispers.LINE:
            await self._say(one, person, key, one.value, one.channel)
            return
        entry = await self._shown(one, aside)
        wish = await asyncio.to_thread(self.hearing.button, entry, command, person, key, one.value)
        if wish is None:
            asked = "This message is not known here any more; use the newest one."
            await self._tell(one, Said(asked, False))
            return
        said = await self.line.take(wish)
        if not said.accepted or command not in ("approve", "refuse"):
            await self._tell(one, said)  # of what was accepted the message itself tells

    async def _open_form(self, one: Inbound) -> None:
        """Open the form, with one try: a trigger is good for three seconds and one form."""
        services = sorted(self.hearing.commands.access().services)
        try:
            await self.asking.open_form(one.trigger, forms.opening(services, one.channel))
        except errors.HalonError as error:
            log.info("a form did not open: %s", error.message)
            told = Said(NO_FORM, False, try_this=USAGE[Verb.OPEN].example)
            await self._tell(one, told, with_form=True)

    async def _reacted(self, one: Inbound, person: Person, key: str, aside: StepAside) -> None:
        answer = _answer(one.text)
        if answer is None:
            await self._marked(one, person)
            return
        entry = await self._shown(one, aside)
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

    async def _shown(self, one: Inbound, aside: StepAside) -> TimelineEntry | None:
        """Return what a message shows, waiting while its own post may be on its way.

        People see a message before we know its name: by a moment, or by as long as Slack takes to
        tell us what it has shown to them.
        """
        for looks in range(MOST_LOOKS):
            coming = await self._may_come(one.channel, looks)
            found = await asyncio.to_thread(self.hearing.shown, SLACK, one.message, one.channel)
            if found is not None or not coming:
                return found
            if looks == LOOKS:
                aside()
            await asyncio.sleep(self.between_looks)
        return None

    async def _may_come(self, channel: str, looks: int) -> bool:
        """Tell whether a channel may show a message of ours that we do not know of yet."""
        if looks < LOOKS:
            return await self._tells(channel)
        sends_in = self.hearing.deliveries.sends_in
        return await asyncio.to_thread(sends_in, SLACK.value, channel)

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
