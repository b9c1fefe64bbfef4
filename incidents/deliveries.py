"""Timeline entries on their way into conversations: one row each, in order per conversation.

Rows are created with the entry, for every conversation that follows the incident. Called by the
posters alone; a row that was `sending` when the process died is looked up outside before it is
sent again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, exists, func, or_, select, update

from incidents import lifecycle, rows, schema, timeline
from incidents.models import Delivery, EntryKind, TimelineEntry
from incidents.store import Store

_D, _C, _T, _I = schema.delivery, schema.conversation, schema.timeline_entry, schema.incident
UNDELIVERED = ("pending", "sending")
SENDING = "sending"
MOST = 200  # rows of one conversation that are looked at together


@dataclass(frozen=True)
class Conversation:
    """One incident in one place; its thread and card are None until a platform has made them."""

    incident: int
    name: str
    thread: str | None = None
    card: str | None = None


@dataclass(frozen=True)
class Due:
    """An entry that a conversation has not shown yet."""

    delivery: Delivery
    entry: TimelineEntry

    @property
    def unknown(self) -> bool:
        """Whether it may have been sent already."""
        return self.delivery.state == SENDING


class Deliveries:
    """Reads and moves delivery rows."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # --- conversations

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

    def follow_live(self, conversation: str) -> int:
        """Add a conversation to every live incident without one on its platform; return how many.

        So those that a monitor, the shell or another chat opened are told there too.
        """
        of_platform = _C.c.name.startswith(_prefix(conversation), autoescape=True)
        there = exists().where(_C.c.incident == _I.c.number, of_platform)
        missing = select(_I.c.number).where(_I.c.status.in_(sorted(lifecycle.LIVE)), ~there)
        with self._store.read() as tx:
            found = list(tx.run(missing.order_by(_I.c.number)).scalars())
        for number in found:
            self.follow(number, conversation)
        return len(found)

    def conversations(self, incident: int) -> list[str]:
        """Return the conversations that follow an incident."""
        with self._store.read() as tx:
            found = select(_C.c.name).where(_C.c.incident == incident).order_by(_C.c.name)
            return list(tx.run(found).scalars())

    def live(self, prefix: str) -> list[Conversation]:
        """Return the conversations of live incidents on a platform such as "slack:"."""
        found = select(_C).join(_I, _I.c.number == _C.c.incident)
        mine = _C.c.name.startswith(prefix, autoescape=True)
        with self._store.read() as tx:
            where = (mine, _I.c.status.in_(sorted(lifecycle.LIVE)))
            told = tx.run(found.where(*where).order_by(_C.c.incident)).all()
        return [rows.value(Conversation, row) for row in told]

    def waiting(self, prefix: str) -> list[Conversation]:
        """Return the conversations of a platform that have something to show, oldest first."""
        where = (
            _D.c.state.in_(UNDELIVERED),
            _D.c.conversation.startswith(prefix, autoescape=True),
        )
        oldest = (
            select(_D.c.incident, _D.c.conversation, func.min(_D.c.id).label("first"))
            .where(*where)
            .group_by(_D.c.incident, _D.c.conversation)
            .subquery()
        )
        same = (_C.c.incident == oldest.c.incident) & (_C.c.name == oldest.c.conversation)
        found_first = select(_C).join(oldest, same).join(_D, _D.c.id == oldest.c.first)
        with self._store.read() as tx:
            come = or_(_D.c.not_before.is_(None), _D.c.not_before <= tx.now)
            found = tx.run(found_first.where(come).order_by(oldest.c.first)).all()
        return [rows.value(Conversation, row) for row in found]

    def opened(self, incident: int, conversation: str, thread: str, card: str) -> None:
        """Remember the thread that a platform opened for a conversation, and its card."""
        with self._store.write() as tx:
            where = (_C.c.incident == incident, _C.c.name == conversation)
            tx.run(update(_C).where(*where).values(thread=thread, card=card))

    def incident_of(self, platform: str, thread: str) -> int | None:
        """Return the incident that a thread belongs to."""
        with self._store.read() as tx:
            where = (_C.c.thread == thread, _C.c.name.startswith(f"{platform}:", autoescape=True))
            return tx.run(select(_C.c.incident).where(*where)).scalar()

    # --- what is to be shown

    def pending(self, incident: int, conversation: str, most: int = MOST) -> list[Due]:
        """Return what a conversation has not shown yet, in the order of the timeline.

        Nothing from a row on whose time has not come: what follows it waits with it.
        """
        where = (
            _D.c.incident == incident,
            _D.c.conversation == conversation,
            _D.c.state.in_(UNDELIVERED),
        )
        found: list[Due] = []
        with self._store.read() as tx:
            for row in tx.run(select(_D).where(*where).order_by(_D.c.order).limit(most)).all():
                if row.not_before is not None and row.not_before > tx.now:
                    break
                entry = tx.run(select(_T).where(_T.c.id == row.entry)).one()
                found.append(Due(rows.delivery(row), rows.entry(entry)))
        return found

    def sending(self, delivery_id: int) -> bool:
        """Mark as being sent; False when it has ended."""
        values = {"state": SENDING, "attempts": _D.c.attempts + 1}
        return self._move([delivery_id], values) == 1

    def sent(self, deliveries: Sequence[int], external_id: str) -> None:
        """Mark as shown by the platform's message of this id."""
        values = {"state": "sent", "external_id": external_id, "error": None}
        self._move(deliveries, values)

    def put_back(self, delivery_id: int, error: str) -> None:
        """Mark as surely not sent."""
        self._move([delivery_id], {"state": "pending", "error": error})

    def failed(self, delivery_id: int, error: str, retry_after: timedelta | None) -> None:
        """Try again after a while; None gives this one up so that the rest can go on."""
        with self._store.read() as tx:
            now = tx.now
        values: dict[str, Any] = {"state": "failed", "error": error}
        if retry_after is not None:
            values |= {"state": "pending", "not_before": now + retry_after}
        self._move([delivery_id], values)

    def _move(self, deliveries: Sequence[int], values: dict[str, Any]) -> int:
        where = (_D.c.id.in_(deliveries), _D.c.state.in_(UNDELIVERED))
        with self._store.write() as tx:
            return tx.change(update(_D).where(*where).values(**values))

    def show_again(
        self, incident: int, conversation: str, subjects: Sequence[str]
    ) -> Sequence[int]:
        """Let questions be posted anew, since the place that showed them is gone; return rows."""
        asked = select(_T.c.id).where(
            _T.c.incident == incident, _T.c.kind == EntryKind.QUESTION, _T.c.subject.in_(subjects)
        )
        where = (_D.c.conversation == conversation, _D.c.entry.in_(asked), _D.c.state == "sent")
        with self._store.write() as tx:
            found = list(tx.run(select(_D.c.id).where(*where)).scalars())
            anew = {"state": "pending", "external_id": None}
            tx.run(update(_D).where(_D.c.id.in_(found)).values(**anew))
        return found

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

    def tells_in(self, platform: str, place: str) -> bool:
        """Return whether any incident is told in a place or in a thread below it."""
        where = (
            _C.c.name.startswith(f"{platform}:", autoescape=True),
            or_(_C.c.thread == place, _C.c.thread.startswith(f"{place}:", autoescape=True)),
        )
        with self._store.read() as tx:
            return tx.run(select(_C.c.incident).where(*where).limit(1)).first() is not None

    def sends_in(self, platform: str, place: str) -> bool:
        """Return whether something may be shown in a place, or below, that is not recorded yet."""
        where = (
            _D.c.state == SENDING,
            _C.c.name.startswith(f"{platform}:", autoescape=True),
            or_(_C.c.thread == place, _C.c.thread.startswith(f"{place}:", autoescape=True)),
        )
        thread = and_(_C.c.incident == _D.c.incident, _C.c.name == _D.c.conversation)
        with self._store.read() as tx:
            found = select(_D.c.id).join(_C, thread).where(*where).limit(1)
            return tx.run(found).first() is not None

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


def _prefix(conversation: str) -> str:
    return conversation.partition(":")[0] + ":"
