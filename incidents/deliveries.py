"""Timeline entries on their way into conversations: one row each, strictly in order.

Rows are created with the entry, for every conversation that follows the incident. Called by the
poster alone; a row that was `sending` when the process died is looked up outside before it is sent.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, func, or_, select, update

from incidents import rows, schema, timeline
from incidents.models import Delivery, EntryKind, Incident, TimelineEntry
from incidents.store import Store

_D, _C, _T = schema.delivery, schema.conversation, schema.timeline_entry
ENDED = ("sent", "failed")


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
        self._store = store

    def follow(self, incident: int, conversation: str) -> None:
        """Add a conversation; it gets every entry from the first on."""
        with self._store.write() as tx:
            rows.lock_incident(tx, incident)
            if tx.insert_new(_C, {"incident": incident, "name": conversation}) is None:
                return
            past = tx.run(select(_T.c.id, _T.c.sequence).where(_T.c.incident == incident)).all()
            for entry in past:
                row = timeline.delivery_row(incident, entry.id, conversation, entry.sequence)
                tx.run(_D.insert().values(**row))

    def conversations(self, incident: int) -> list[str]:
        """Return the conversations that follow an incident."""
        with self._store.read() as tx:
            found = select(_C.c.name).where(_C.c.incident == incident).order_by(_C.c.name)
            return list(tx.run(found).scalars())

    def opened(self, incident: int, conversation: str, thread: str) -> None:
        """Remember the thread that a platform opened for a conversation."""
        with self._store.write() as tx:
            where = (_C.c.incident == incident, _C.c.name == conversation)
            tx.run(update(_C).where(*where).values(thread=thread))

    def incident_of(self, platform: str, thread: str) -> int | None:
        """Return the incident that a thread belongs to."""
        with self._store.read() as tx:
            where = (_C.c.thread == thread, _C.c.name.startswith(f"{platform}:", autoescape=True))
            return tx.run(select(_C.c.incident).where(*where)).scalar()

    def due(self, prefix: str) -> list[Due]:
        """Return the first undelivered row of each conversation of a platform such as "slack:"."""
        first = (
            select(_D.c.incident, _D.c.conversation, func.min(_D.c.order).label("first"))
            .where(_D.c.state.not_in(ENDED), _D.c.conversation.startswith(prefix, autoescape=True))
            .group_by(_D.c.incident, _D.c.conversation)
            .subquery()
        )
        heads = and_(
            _D.c.incident == first.c.incident,
            _D.c.conversation == first.c.conversation,
            _D.c.order == first.c.first,
        )
        with self._store.read() as tx:
            now_or_past = or_(_D.c.not_before.is_(None), _D.c.not_before <= tx.now)
            found = tx.run(select(_D).join(first, heads).where(now_or_past).order_by(_D.c.id)).all()
            return [self._due(tx, rows.delivery(row)) for row in found]

    def _due(self, tx: Any, delivery: Delivery) -> Due:
        entry = tx.run(select(_T).where(_T.c.id == delivery.entry)).one()
        where = (_C.c.incident == delivery.incident, _C.c.name == delivery.conversation)
        thread = tx.run(select(_C.c.thread).where(*where)).scalar()
        incident = rows.get_incident(tx, delivery.incident)
        return Due(delivery, rows.entry(entry), incident, thread)

    def sending(self, delivery_id: int) -> bool:
        """Mark as being sent; False when it is already sent."""
        values = {"state": "sending", "attempts": _D.c.attempts + 1}
        return self._move(delivery_id, values) == 1

    def sent(self, delivery_id: int, external_id: str) -> None:
        """Mark as sent, with the platform's message id."""
        self._move(delivery_id, {"state": "sent", "external_id": external_id, "error": None})

    def failed(self, delivery_id: int, error: str, retry_after: timedelta | None) -> None:
        """Try again after a while; None gives this one up so that the rest can go on."""
        with self._store.read() as tx:
            now = tx.now
        values: dict[str, Any] = {"state": "failed", "error": error}
        if retry_after is not None:
            values |= {"state": "pending", "not_before": now + retry_after}
        self._move(delivery_id, values)

    def _move(self, delivery_id: int, values: dict[str, Any]) -> int:
        where = (_D.c.id == delivery_id, _D.c.state.not_in(ENDED))
        with self._store.write() as tx:
            return tx.change(update(_D).where(*where).values(**values))

    def message_of(
        self, incident: int, conversation: str, kind: EntryKind, subject: str
    ) -> str | None:
        """Return the external id of the message that entries of this kind and subject edit."""
        where = (
            _D.c.incident == incident,
            _D.c.conversation == conversation,
            _D.c.external_id.is_not(None),
            _T.c.kind == kind,
            _T.c.subject == subject,
        )
        with self._store.read() as tx:
            found = select(_D.c.external_id).join(_T, _T.c.id == _D.c.entry).where(*where)
            return tx.run(found.order_by(_D.c.order.desc()).limit(1)).scalar()

    def entry_of(self, conversation: str, external_id: str) -> TimelineEntry | None:
        """Return the newest entry that a message shows, so that a reaction finds its question."""
        where = (_D.c.conversation == conversation, _D.c.external_id == external_id)
        with self._store.read() as tx:
            found = select(_T).join(_D, _D.c.entry == _T.c.id).where(*where)
            row = tx.run(found.order_by(_T.c.id.desc()).limit(1)).first()
        return None if row is None else rows.entry(row)

    def shown_at(self, platform: str, external_id: str, place: str) -> TimelineEntry | None:
        """Return the newest entry that a message shows, in whichever thread at or below a place.

        For platforms whose reactions name a channel and a message, and no thread.
        """
        where = (
            _D.c.external_id == external_id,
            _D.c.conversation.startswith(f"{platform}:", autoescape=True),
            or_(_C.c.thread == place, _C.c.thread.startswith(f"{place}:", autoescape=True)),
        )
        thread = and_(_C.c.incident == _D.c.incident, _C.c.name == _D.c.conversation)
        found = select(_T).join(_D, _D.c.entry == _T.c.id).join(_C, thread).where(*where)
        with self._store.read() as tx:
            row = tx.run(found.order_by(_T.c.id.desc()).limit(1)).first()
        return None if row is None else rows.entry(row)
