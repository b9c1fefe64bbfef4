"""Every inbound event, stored before it is acknowledged and done once.

Events that wait together are stored together, with one write to the disk.
Two unique keys: the platform's event id, and the meaning (who, what, where), because a platform may
send one act under two ids. Kept for 24 hours. Called by the bot.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, select, update

from incidents import schema
from incidents.models import Json, Platform
from incidents.rows import value
from incidents.store import Store

_I = schema.inbox
KEPT = timedelta(hours=24)
_OLD = delete(_I).where(_I.c.received_at <= bindparam("before"), _I.c.done_at.is_not(None))
_DONE = update(_I).where(_I.c.id == bindparam("this")).values(done_at=bindparam("now"))


@dataclass(frozen=True)
class Event:
    """What came in: its id on the platform, its meaning, and what it takes to do it again."""

    platform: Platform
    event_id: str
    meaning: str
    body: Json


@dataclass(frozen=True)
class InboxItem:
    """One stored event."""

    id: int
    platform: Platform
    event_id: str
    meaning: str
    body: Json
    received_at: datetime


class Inbox:
    """Receives events."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def receive(
        self, platform: Platform, event_id: str, meaning: str, body: Json
    ) -> InboxItem | None:
        """Store an event; None when its id or its meaning was seen within 24 hours."""
        return self.receive_all((Event(platform, event_id, meaning, body),))[0]

    def receive_all(self, events: Iterable[Event]) -> Sequence[InboxItem | None]:
        """Store events, all or none; None for each that was seen within 24 hours."""
        with self._store.write() as tx:
            # What was never done is kept: it is the work that a crash left behind.
            tx.run(_OLD, {"before": tx.now - KEPT})
            made = [tx.insert_new(_I, asdict(one) | {"received_at": tx.now}) for one in events]
        return [None if row is None else value(InboxItem, row) for row in made]

    def undone(self) -> list[InboxItem]:
        """Return what was received and not done, oldest first: the work left by a crash."""
        with self._store.read() as tx:
            found = tx.run(select(_I).where(_I.c.done_at.is_(None)).order_by(_I.c.id))
            return [value(InboxItem, row) for row in found]

    def done(self, *items: int) -> None:
        """Mark as done."""
        if not items:
            return
        with self._store.write() as tx:
            tx.run(_DONE, [{"this": item, "now": tx.now} for item in items])
