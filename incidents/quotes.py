"""Messages of people taken into the timeline: as they stood, when they were said, and where.

Called by `bot.hearing` when somebody marks a message with an emoji. A message is taken once per
incident; what its author changes afterwards is followed as a further entry of the same subject.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from incidents import moves, rows, schema, timeline
from incidents.models import EntryKind, Person, TimelineEntry
from incidents.store import Store, Tx
from incidents.timeline import Draft

_T = schema.timeline_entry


@dataclass(frozen=True)
class Quote:
    """One message of a chat; `key` names it there, such as "slack C1 1700000000.0001"."""

    key: str
    text: str
    author: str  # as platform and user id
    said_at: datetime
    link: str

    @property
    def subject(self) -> str:
        """The subject of its entries."""
        return f"quote-{self.key}"


class Quotes:
    """Takes messages into timelines."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, incident: int, quote: Quote, person: Person) -> bool:
        """Take a message as a note; False when it was taken before."""
        content = {
            "text": quote.text,
            "quote": {
                "author": quote.author,
                "said_at": quote.said_at.isoformat(),
                "link": quote.link,
            },
        }
        with self._store.write() as tx:
            before = rows.lock_incident(tx, incident)
            if timeline.said_before(tx, incident, EntryKind.NOTE, quote.subject):
                return False
            moves.heard(tx, before, person)
            timeline.append(tx, incident, Draft(EntryKind.NOTE, content, quote.subject), person)
            return True

    def taken(self, key: str) -> Sequence[TimelineEntry]:
        """Return the newest entry of a message in each incident that took it."""
        with self._store.read() as tx:
            return _taken(tx, key)

    def reword(self, key: str, text: str | None, by: Person) -> Sequence[tuple[int, str, str]]:
        """Follow what its author made of a message; None: it was deleted, its words stay.

        Returns incident, old and new text of each note that changed.
        """
        changed = []
        with self._store.write() as tx:
            for entry in _taken(tx, key):
                rows.lock_incident(tx, entry.incident)
                old, quote = str(entry.content.get("text", "")), entry.content.get("quote")
                if quote is None or (text is None and quote.get("deleted")):
                    continue
                words = old if text is None else timeline.redacted(tx, entry.incident, text)
                if text is not None and words == old:
                    continue
                mark = {"deleted": True} if text is None else {"edited_at": tx.now.isoformat()}
                content = {"text": words, "quote": quote | mark}
                timeline.append(
                    tx, entry.incident, Draft(EntryKind.NOTE, content, entry.subject), by
                )
                changed.append((entry.incident, old, words))
        return changed


def _taken(tx: Tx, key: str) -> list[TimelineEntry]:
    where = (_T.c.kind == EntryKind.NOTE, _T.c.subject == f"quote-{key}")
    found = tx.run(select(_T).where(*where).order_by(_T.c.id))
    newest = {row.incident: rows.entry(row) for row in found}
    return list(newest.values())
