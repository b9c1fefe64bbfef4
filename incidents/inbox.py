"""Every inbound event, stored before it is acknowledged and done once.

Two unique keys: the platform's event id, and the meaning (who, what, where), because a platform may
send one act under two ids. Kept for 24 hours. Called by the bot.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from incidents import schema
from incidents.models import Json, Platform
from incidents.rows import value
from incidents.store import Store

_I = schema.inbox
KEPT = timedelta(hours=24)


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
        with self._store.write() as tx:
            # What was never done is kept: it is the work that a crash left behind.
            old = (_I.c.received_at <= tx.now - KEPT, _I.c.done_at.is_not(None))
            tx.run(delete(_I).where(*old))
            row = {"platform": platform, "event_id": event_id, "meaning": meaning, "body": body}
            made = tx.insert_new(_I, row | {"received_at": tx.now})
            if made is None:
                return None
            return value(InboxItem, tx.run(select(_I).where(_I.c.id == made)).one())

    def undone(self) -> list[InboxItem]:
        """Return what was received and not done, oldest first: the work left by a crash."""
        with self._store.read() as tx:
            found = tx.run(select(_I).where(_I.c.done_at.is_(None)).order_by(_I.c.id))
            return [value(InboxItem, row) for row in found]

    def done(self, item_id: int) -> None:
        """Mark as done."""
        with self._store.write() as tx:
            tx.run(update(_I).where(_I.c.id == item_id).values(done_at=tx.now))
