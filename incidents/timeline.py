"""The timeline of an incident: append-only, hash-chained, the only way out to chat.

Written through `Timeline.append` and by every change of this package, in the change's own
transaction; read by the poster, the review and the metrics. Text is redacted here, at the one
boundary. Content may be purged, entries never removed, and the chain still verifies.
"""

from dataclasses import dataclass

from incidents.models import EntryKind, Json, Person, TimelineEntry
from incidents.store import Store


@dataclass(frozen=True)
class Draft:
    """An entry to be written: `content` is JSON, entries of one kind and subject edit one message."""

    kind: EntryKind
    content: Json
    subject: str | None = None


class Timeline:
    """Reads and appends entries."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def append(self, incident: int, draft: Draft, actor: Person) -> TimelineEntry:
        """Append one entry and its deliveries; raises `errors.NotFound`."""
        raise NotImplementedError

    def entries(self, incident: int, after: int = 0) -> list[TimelineEntry]:
        """Return the entries whose sequence is above `after`, in order."""
        raise NotImplementedError

    def entry(self, entry_id: int) -> TimelineEntry:
        """Return one entry; raises `errors.NotFound`."""
        raise NotImplementedError

    def head(self, incident: int) -> tuple[int, str]:
        """Return the last sequence and hash, to be posted with every report."""
        raise NotImplementedError

    def verify(self, incident: int) -> int | None:
        """Return the first sequence at which the chain breaks, None when it holds."""
        raise NotImplementedError

    def purge(self, entry_id: int) -> None:
        """Remove an entry's content for good; its hash and place in the chain stay."""
        raise NotImplementedError
