"""The platform `slack` of the poster: an incident's channel or thread, and its messages.

Called by `bot.sender` through `bot.port.ChatPort`. A P0 or P1 gets a channel of its own, the others
a thread in the channel where incidents are told. Whatever is not essential and refused, a pin, a
file, a bookmark, is left out and named; nothing that was sent is sent again without looking.
"""

import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from bot.outbox import Pace
from bot.port import File, Message, Opened, PostRef, ThreadRef
from bot.slack import blocks, mrkdwn, place
from bot.slack.blocks import Drawn
from bot.slack.calls import Calls, metadata
from bot.slack.failures import Gone, Refused
from bot.slack.place import Place
from incidents import errors
from incidents.models import Incident, Platform, Severity

log = logging.getLogger(__name__)

PACE = Pace(every=timedelta(seconds=1), burst=3, edits=timedelta(seconds=3))
OWN_CHANNEL = (Severity.P0, Severity.P1)
SUFFIXES = 9
CARD = "card-"  # opens the key of a card
TOO_LARGE = ("msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format", "msg_too_long")
NOT_IN = ("not_in_channel",)
CLOCKS_DIFFER = 300  # seconds between Slack's clock and ours
KEPT = 2000  # messages whose files and reactions are known to be there
_PEOPLE = re.compile(r"\bslack:([UW][A-Z0-9]{2,20})\b")


@dataclass
class SlackPort:
    """Posts into Slack."""

    calls: Calls
    people: Callable[[Incident], Sequence[str]]  # the user ids that an incident concerns
    web_url: str | None = None  # the war room as people reach it
    _me: str | None = None
    _names: dict[str, str] = field(default_factory=dict)
    _complete: OrderedDict[tuple[str, str], tuple[str, ...]] = field(default_factory=OrderedDict)
    _no_files: set[str] = field(default_factory=set)  # channels that take none

    @property
    def platform(self) -> Platform:
        """Slack."""
        return Platform.SLACK

    def shares(self, where: str) -> str:
        """Return the channel: what Slack's limit of one message a second counts."""
        return place.read(where).channel

    # --- an incident's place

    async def open_thread(self, incident: Incident, where: str, card: Message) -> Opened:
        """Make the channel or thread of an incident, or find it again."""
        left_out: list[str] = []
        made: str | None = None
        if incident.private or incident.severity in OWN_CHANNEL:
            made = await self._channel(incident, left_out)
        announced = made is not None and not incident.private
        if made is None:
            made, top = await self._below(incident, where, card, left_out)
        else:
            top = await self._top(incident, made, card)
        channel = made or where
        await self._try("pin the card", left_out, self.calls.pin(channel, top))
        if made is not None:
            await self._furnish(incident, made, left_out)
            if announced:
                await self._try("announce it", left_out, self._announce(incident, where, made))
        thread = Place(channel, None if made else top).ref
        return Opened(thread, PostRef(thread, top), tuple(left_out))

    async def _below(
        self, incident: Incident, where: str, card: Message, left_out: list[str]
    ) -> tuple[str | None, str]:
        """Put the card where the incident was opened, or into a channel made for it.

        In a private channel to which nobody has invited us we may not say a word.
        """
        tried: list[str] = []
        await self._try("join the channel", tried, self.calls.join(where))
        try:
            top = await self._top(incident, where, card)
        except (Refused, Gone) as error:
            made = await self._channel(incident, left_out)
            if made is None:
                raise
            left_out.append(
                f"It is not told where it was opened: {error.message} "
                "`/invite @halon` there lets the next one be."
            )
            return made, await self._top(incident, made, card)
        left_out += tried
        return None, top

    async def _top(self, incident: Incident, channel: str, card: Message) -> str:
        key = f"{CARD}{_born(incident)}"
        found = await self.calls.find(channel, None, key, _since(incident))
        if found is not None:
            return found
        drawn = blocks.draw(card, await self._named(card))
        return await self._send(Place(channel), drawn, metadata=metadata(key))

    async def _channel(self, incident: Incident, left_out: list[str]) -> str | None:
        """Make the incident's own channel; None where Slack does not let us."""
        name = channel_name(incident)
        since = incident.opened_at.timestamp() - CLOCKS_DIFFER
        at = int(incident.opened_at.timestamp() * 1000)
        born = f"{name[:68]}-{at:x}"  # within 80 characters; nobody else's, where all are taken
        for wanted in (name, *(f"{name}-{number}" for number in range(2, SUFFIXES + 1)), born):
            try:
                return await self.calls.create(wanted, incident.private)
            except Refused as error:
                if error.reason == "name_taken":
                    mine = await self._mine(incident, wanted, since)
                    if mine is not None:  # of an attempt whose answer was lost
                        return mine
                    continue
                if incident.private:
                    raise
                left_out.append(f"It has no channel of its own: {error.message}")
                return None
        raise errors.PermanentFailure(f"Slack has channels named {name!r} to {born!r} already.")

    async def _mine(self, incident: Incident, name: str, since: float) -> str | None:
        """Return the channel of this name that was made for this incident and no other."""
        if self._me is None:
            self._me = await self.calls.me()
        try:
            found = await self.calls.own_channel(name, self._me, since)
        except Refused:
            return None
        if found is None:
            return None
        async for key, _ in self.calls.keys(found, None):
            if key.startswith(CARD) and key != f"{CARD}{_born(incident)}":
                return None
        return found

    async def _furnish(self, incident: Incident, channel: str, left_out: list[str]) -> None:
        """Set the topic and the link, and bring in the people."""
        topic = f"{incident.id} · {incident.severity.value} · {incident.title}"[:240]
        await self._try("set the topic", left_out, self.calls.topic(channel, mrkdwn.escape(topic)))
        if self.web_url:
            link = f"{self.web_url.rstrip('/')}/{incident.id}"
            marked = self.calls.bookmark(channel, "War room", link)
            await self._try("add the bookmark", left_out, marked)
        if people := tuple(dict.fromkeys(self.people(incident))):
            invited = self.calls.invite(channel, people)
            await self._try("invite its people", left_out, invited)

    async def _announce(self, incident: Incident, where: str, channel: str) -> None:
        """Say once, where incidents are told, which channel this one has."""
        await self.calls.join(where)
        key = f"announced-{_born(incident)}"
        if await self.calls.find(where, None, key, _since(incident)) is None:
            title = mrkdwn.leaf(incident.title)
            said = f"*{incident.id} · {incident.severity.value}* · {title}: <#{channel}>"
            await self.calls.post(where, None, text=said, metadata=metadata(key))

    async def _try(self, what: str, left_out: list[str], call: Awaitable[None]) -> None:
        """Do what an incident can do without; remember what was refused."""
        try:
            await call
        except (Refused, Gone) as error:
            left_out.append(f"It could not {what}: {error.message}")

    async def end_thread(self, opened: Opened) -> None:
        """Unpin the card."""
        await self._quietly(self.calls.unpin(_channel_of(opened), opened.card.id))

    async def resume_thread(self, opened: Opened) -> None:
        """Pin the card again."""
        await self._quietly(self.calls.pin(_channel_of(opened), opened.card.id))

    async def _quietly(self, call: Awaitable[None]) -> None:
        try:
            await call
        except (Refused, Gone) as error:
            log.warning("%s", error.message)

    # --- messages

    async def post(self, thread: ThreadRef, message: Message, key: str) -> PostRef:
        """Send a message once, with its files and reactions."""
        where = place.read(thread.place)
        calls = tuple(found[1] for one in message.calls if (found := _PEOPLE.match(one)))
        names = await self._named(message)
        files = where.channel not in self._no_files
        drawn = blocks.draw(message, names, calls=calls, with_files=files)
        more = {"metadata": metadata(key)} | (
            {"reply_broadcast": True} if message.announced and where.thread else {}
        )
        try:
            ts = await self._send(where, drawn, **more)
        except Refused as error:
            if error.reason not in TOO_LARGE:
                raise
            drawn = blocks.bare(message, names, calls)
            ts = await self._send(where, drawn, **more)
        try:
            await self._finish(where, ts, message, drawn, fresh=True)
        except errors.TemporaryFailure as error:  # the message is there: it is found by its key
            raise errors.OutcomeUnknown(error.message, retry_after=error.retry_after) from error
        return PostRef(thread, ts)

    async def edit(self, post: PostRef, message: Message) -> None:
        """Replace what a message says; what was offered or attached is there once."""
        where = place.read(post.thread.place)
        names = await self._named(message)
        drawn = blocks.draw(message, names, with_files=where.channel not in self._no_files)
        try:
            await self._update(where.channel, post.id, drawn)
        except Refused as error:
            if error.reason not in TOO_LARGE:
                raise
            drawn = blocks.bare(message, names)
            await self._update(where.channel, post.id, drawn)
        await self._finish(where, post.id, message, drawn)

    async def find(self, thread: ThreadRef, key: str) -> PostRef | None:
        """Look for a message by its metadata."""
        where = place.read(thread.place)
        ts = await self.calls.find(where.channel, where.thread, key)
        return None if ts is None else PostRef(thread, ts)

    async def _send(self, where: Place, drawn: Drawn, **more: object) -> str:
        said = {"text": drawn.text, "blocks": list(drawn.blocks) or None, **more}
        try:
            made = await self.calls.post(where.channel, where.thread, **said)
        except Refused as error:
            if error.reason not in NOT_IN:
                raise
            await self.calls.join(where.channel)
            made = await self.calls.post(where.channel, where.thread, **said)
        return str(made["ts"])

    async def _update(self, channel: str, ts: str, drawn: Drawn) -> None:
        # An empty list takes the blocks away: without it Slack keeps the old ones, buttons and all.
        await self.calls.update(channel, ts, text=drawn.text, blocks=list(drawn.blocks))

    async def _finish(
        self, where: Place, ts: str, message: Message, drawn: Drawn, *, fresh: bool = False
    ) -> None:
        """Offer the reactions and add the files, each once."""
        files = () if message.live else drawn.files
        wanted = (*message.reactions, *(file.name for file in files))
        known = self._complete.get((where.channel, ts), ())
        missing = [one for one in wanted if one not in known]
        for reaction in message.reactions:
            if reaction in missing:
                offered = self.calls.react(where.channel, ts, blocks.emoji(reaction))
                await self._quietly(offered)
        if any(file.name in missing for file in files):
            there = set() if fresh else await self._files_after(where, ts)
            left = [file for file in files if file.name in missing and file.name not in there]
            if left and not await self._uploaded(where, left):
                without = blocks.draw(message, await self._named(message), with_files=False)
                await self._update(where.channel, ts, without)
        self._complete[where.channel, ts] = (*known, *missing)
        while len(self._complete) > KEPT:
            self._complete.popitem(last=False)

    async def _files_after(self, where: Place, ts: str) -> set[str]:
        """Return the names of files that follow a message, of an attempt that was cut short."""
        found: set[str] = set()
        async for one in self.calls.messages(where.channel, where.thread, ts):
            if str(one.get("ts")) > ts:
                found.update(str(file.get("name")) for file in one.get("files") or ())
        return found

    async def _uploaded(self, where: Place, files: Sequence[File]) -> bool:
        """Upload files; False where Slack takes none, which is said once and is never fatal."""
        try:
            await self.calls.upload(where.channel, where.thread, files)
        except (Refused, Gone) as error:
            self._no_files.add(where.channel)  # reports stand in the messages from now on
            log.warning("files are left out in %s: %s", where.channel, error.message)
            key = f"left-out-{where}"
            if await self.calls.find(where.channel, where.thread, key) is None:
                said = f"Files are left out here. {mrkdwn.leaf(error.message)}"
                await self.calls.post(
                    where.channel, where.thread, text=said, metadata=metadata(key)
                )
            return False
        return True

    async def _named(self, message: Message) -> dict[str, str]:
        """Return the names of the people that a message speaks of."""
        told = " ".join(filter(None, (message.headline, *message.lines, message.markdown)))
        for user in set(_PEOPLE.findall(told)) - set(self._names):
            try:
                self._names[user] = await self.calls.name(user)
            except Refused:
                self._names[user] = user
            except errors.HalonError as error:  # a name is not worth a delay
                log.info("the name of %s is not known: %s", user, error.message)
        return dict(self._names)


def channel_name(incident: Incident) -> str:
    """Return the name of an incident's own channel, such as inc-0042-checkout."""
    service = re.sub(r"[^a-z0-9_-]+", "-", (incident.service or "").lower()).strip("-")
    return f"inc-{incident.number:04d}{'-' if service else ''}{service}"[:77].rstrip("-")


def _channel_of(opened: Opened) -> str:
    return place.read(opened.thread.place).channel


def _born(incident: Incident) -> str:
    """Return a name that no incident of another database has."""
    return f"{incident.id}-{int(incident.opened_at.timestamp() * 1000)}"


def _since(incident: Incident) -> str:
    return f"{incident.opened_at.timestamp() - CLOCKS_DIFFER:.6f}"
