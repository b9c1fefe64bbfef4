"""The live stream: what is new in a thread and what changed beside it, to everyone who looks.

Called by `bot.web.app`. However many people look, an incident is read about once a second, its
newest post's number seven times; what a reader has seen is the id of the last event, so a stream
that breaks is taken up without a gap. Server-sent events as the HTML standard has them.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bot.port import Message
from bot.web import facts as facts_of
from bot.web import pages, parts, port
from bot.web.facts import Facts
from bot.web.room import Room
from incidents.models import Approval, Incident, Person
from incidents.policy import Access
from incidents.posts import Post

POLL_SECONDS = 0.15
FACTS_SECONDS = 1.0
BEAT_SECONDS = 5.0  # `room.js` calls a stream dead that is silent for thrice as long
LIFE_SECONDS = 600.0  # then the reader comes again, and its token is checked again
CACHE_SIZE = 200
T = TypeVar("T")


@dataclass(frozen=True)
class Moment:
    """An incident, its messages and the questions in them, read together."""

    facts: Facts
    posts: tuple[Post, ...]
    approvals: Mapping[str, Approval]
    access: Access

    @property
    def version(self) -> int:
        """The newest message's version."""
        return max((post.version for post in self.posts), default=0)

    @property
    def thread(self) -> list[Post]:
        """The messages without the card, which the page draws beside them."""
        return [post for post in self.posts if not post.pinned]

    @property
    def questions(self) -> dict[str, Message]:
        """The messages that ask, by approval."""
        asking = [post for post in self.posts if post.message.get("approval")]
        return {post.message["approval"]: port.from_json(post.message) for post in asking}

    def approval_of(self, post: Post) -> Approval | None:
        """Return the question that a message asks."""
        return self.approvals.get(post.message.get("approval") or "")


class Live:
    """Reads moments for many readers at once and tells each what is new to it."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._kept: dict[tuple[str, object], tuple[float, asyncio.Future[Any]]] = {}
        self._closing = False

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        self._closing = True

    def forget(self, number: int) -> None:
        """Read an incident anew at the next look: something was just done to it."""
        for kind in ("moment", "version"):
            self._kept.pop((kind, number), None)

    async def moment(self, number: int) -> Moment:
        """Return an incident as it is, at most a second old; raises `errors.NotFound`."""
        return await self._once("moment", number, FACTS_SECONDS, lambda: _read(self._room, number))

    async def incidents(self, person: Person) -> list[Incident]:
        """Return what a person may see, at most a second old."""
        return await self._once(
            "list", person, FACTS_SECONDS, lambda: facts_of.visible(self._room, person)
        )

    async def events(
        self, incident: Incident | None, person: Person, after: int
    ) -> AsyncIterator[str]:
        """Yield the stream of one reader; `after` is the version of the last message it has."""
        yield "retry: 1000\n\n"
        seen: dict[str, str] = {}
        looked: Moment | None = None
        until = time.monotonic() + LIFE_SECONDS
        beat = 0.0
        while not self._closing and time.monotonic() < until:
            said = []
            if incident is not None:
                moment = await self._newest(incident.number)
                if not facts_of.may_see(self._room, moment.facts.incident, person):
                    return
                if moment is not looked:  # drawn once per reading, not once per look
                    said = _news(moment, person, after)
                    said += _changed(_pieces(moment, person), seen)
                    looked, after = moment, max(after, moment.version)
            current = None if incident is None else incident.id
            listed = parts.listing(await self.incidents(person), current)
            said += _changed({"list": listed}, seen)
            if time.monotonic() - beat > BEAT_SECONDS:
                beat = time.monotonic()
                now = await asyncio.to_thread(self._room.now)
                said.append(_event("beat", {"now": pages.iso(now)}))
            for event in said:
                yield event
            await asyncio.sleep(POLL_SECONDS)

    async def _newest(self, number: int) -> Moment:
        """Return a moment that holds the newest message, also before its second is over."""
        version = await self._once(
            "version", number, POLL_SECONDS, lambda: self._room.posts.version(number)
        )
        moment = await self.moment(number)
        if moment.version < version:
            self.forget(number)
            moment = await self.moment(number)
        return moment

    async def _once(self, kind: str, of: object, ttl: float, read: Callable[[], T]) -> T:
        """Return a reading that is at most `ttl` seconds old; many who ask cause one reading."""
        kept = self._kept.get((kind, of))
        if kept is None or kept[0] < time.monotonic():
            if len(self._kept) > CACHE_SIZE:
                self._kept.clear()
            reading = asyncio.ensure_future(asyncio.to_thread(read))
            kept = self._kept[(kind, of)] = (time.monotonic() + ttl, reading)
        result: T = await asyncio.shield(kept[1])
        return result


def _read(room: Room, number: int) -> Moment:
    # Posts first: whatever a message tells of is then in the facts as well.
    posts = tuple(room.posts.since(number))
    ids = {post.message["approval"] for post in posts if post.message.get("approval")}
    return Moment(
        facts=facts_of.read(room, number),
        posts=posts,
        approvals={approval: room.approvals.get(approval) for approval in sorted(ids)},
        access=room.access(),
    )


def _pieces(moment: Moment, person: Person) -> dict[str, str]:
    drawn: dict[str, str] = dict(
        parts.beside(moment.facts, moment.questions, person, moment.access)
    )
    for approval in moment.approvals.values():
        drawn[f"votes-{approval.id}"] = parts.votes(approval, moment.facts, person)
    return drawn


def _news(moment: Moment, person: Person, after: int) -> list[str]:
    """Return the messages after a version, by version: what comes first may be the last to come."""
    new = sorted(
        (post for post in moment.posts if post.version > after), key=lambda post: post.version
    )
    return [
        _event(
            "post",
            {
                "id": post.id,
                "html": parts.post(post, moment.approval_of(post), moment.facts, person),
            },
            str(post.version),
        )
        for post in new
        if not post.pinned
    ]


def _changed(pieces: Mapping[str, str], seen: dict[str, str]) -> list[str]:
    said = []
    for name, html in pieces.items():
        if seen.get(name) != html:
            seen[name] = html
            said.append(_event("part", {"name": name, "html": html}))
    return said


def _event(kind: str, content: Mapping[str, object], event_id: str | None = None) -> str:
    # JSON has no line break of its own, so that the content is one `data` line.
    number = f"id: {event_id}\n" if event_id is not None else ""
    return f"event: {kind}\n{number}data: {json.dumps(content)}\n\n"
