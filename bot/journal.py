"""What came in from a chat platform: stored before it is acknowledged, acted on once.

Shared by the chat platforms. Each event has two keys, its id and its meaning. `take` returns when
it is on the disk; only then may a platform acknowledge it, and only then does it act. What a crash
left is `left`; a platform acts on that before anything new. The act itself is made once by
`bot.once`, under a key of the event.
"""

from collections.abc import Sequence
from typing import Final

from bot.line import Batches
from incidents.inbox import Event, Inbox, InboxItem
from incidents.models import Json, Platform

EVENT: Final = "event"  # body["what"] of a journaled event; acts of people say otherwise


def event(platform: Platform, event_id: str, meaning: str, seen: Json) -> Event:
    """Return an event to be stored; `seen` is what it takes to act on it after a crash.

    `event_id` is the platform's own; `meaning` says who did what where, and stays the same when
    the platform sends one act under several ids.
    """
    return Event(platform, f"event {event_id}", f"{platform} {meaning}", {"what": EVENT, **seen})


class Journal:
    """Stores events and remembers which were acted on."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._taking: Batches[Event, InboxItem | None] = Batches(inbox.receive_all, "journal", 64)
        self._ending: Batches[InboxItem, None] = Batches(self._end, "journal-ends", 64)

    async def take(self, one: Event) -> InboxItem | None:
        """Store an event; None when it, or the same under another id, came within 24 hours."""
        return await self._taking.take(one)

    async def done(self, item: InboxItem) -> None:
        """Note that an event was acted on."""
        await self._ending.take(item)

    def left(self, platform: Platform) -> list[InboxItem]:
        """Return the events that a crash left behind, oldest first; blocking."""
        return [
            one
            for one in self._inbox.undone()
            if one.platform is platform and one.body.get("what") == EVENT
        ]

    def _end(self, items: Sequence[InboxItem]) -> Sequence[None]:
        self._inbox.done(*(one.id for one in items))
        return [None] * len(items)
