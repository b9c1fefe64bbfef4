"""Every inbound event, stored before it is acknowledged and done once.

Two unique keys: the platform's event id, and the meaning (who, what, where), because a platform may
send one act under two ids. Kept for 24 hours. Called by the bot.
"""

from dataclasses import dataclass
from datetime import datetime

from incidents.models import Json, Platform
from incidents.store import Store


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
        raise NotImplementedError

    def receive(
        self, platform: Platform, event_id: str, meaning: str, body: Json
    ) -> InboxItem | None:
        """Store an event; None when its id or its meaning was seen within 24 hours."""
        raise NotImplementedError

    def undone(self) -> list[InboxItem]:
        """Return what was received and not done, oldest first: the work left by a crash."""
        raise NotImplementedError

    def done(self, item_id: int) -> None:
        """Mark as done."""
        raise NotImplementedError
