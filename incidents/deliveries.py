"""Timeline entries on their way into conversations: one row each, strictly in order.

Rows are created with the entry, for every conversation that follows the incident. Called by the
poster alone; a row that was `sending` when the process died is looked up outside before it is sent.
"""

from dataclasses import dataclass
from datetime import timedelta

from incidents.models import Delivery, EntryKind, Incident, TimelineEntry
from incidents.store import Store


@dataclass(frozen=True)
class Due:
    """The next delivery of a conversation, with what is to be posted."""

    delivery: Delivery
    entry: TimelineEntry
    incident: Incident
    thread: str | None  # the thread's external id, None before `opened`


class Deliveries:
    """Reads and moves delivery rows."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def follow(self, incident: int, conversation: str) -> None:
        """Add a conversation; it gets every entry from the first on."""
        raise NotImplementedError

    def conversations(self, incident: int) -> list[str]:
        """Return the conversations that follow an incident."""
        raise NotImplementedError

    def opened(self, incident: int, conversation: str, thread: str) -> None:
        """Remember the thread that a platform opened for a conversation."""
        raise NotImplementedError

    def incident_of(self, platform: str, thread: str) -> int | None:
        """Return the incident that a thread belongs to."""
        raise NotImplementedError

    def due(self, prefix: str) -> list[Due]:
        """Return the first undelivered row of each conversation of a platform such as "slack:"."""
        raise NotImplementedError

    def sending(self, delivery_id: int) -> bool:
        """Mark as being sent; False when it is already sent."""
        raise NotImplementedError

    def sent(self, delivery_id: int, external_id: str) -> None:
        """Mark as sent, with the platform's message id."""
        raise NotImplementedError

    def failed(self, delivery_id: int, error: str, retry_after: timedelta | None) -> None:
        """Try again after a while; None gives this one up so that the rest can go on."""
        raise NotImplementedError

    def message_of(
        self, incident: int, conversation: str, kind: EntryKind, subject: str
    ) -> str | None:
        """Return the external id of the message that entries of this kind and subject edit."""
        raise NotImplementedError

    def entry_of(self, conversation: str, external_id: str) -> TimelineEntry | None:
        """Return the newest entry that a message shows, so that a reaction finds its question."""
        raise NotImplementedError
