"""The timeline of an incident: append-only, hash-chained, the only way out to chat.

Written through `Timeline.append` and by every change of this package, in the change's own
transaction; read by the poster, the review and the metrics. Text is redacted here, at the one
boundary. Content may be purged, entries never removed, and the chain still verifies.
"""

import json
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, literal, select, update

from incidents import chain, columns, errors, numbering, redaction, rows, schema
from incidents.models import EntryKind, Json, Person, TimelineEntry
from incidents.store import Store, Tx

_T, _C, _D = schema.timeline_entry, schema.conversation, schema.delivery

# Kept, so that each is compiled once: these run with every word that anyone says.
_MADE = insert(_T).returning(*_T.c)
_LAST = (
    select(_T.c.sequence, _T.c.hash)
    .where(_T.c.incident == bindparam("this"))
    .order_by(_T.c.sequence.desc())
    .limit(1)
)
_SENT_TO_ALL = insert(_D).from_select(
    ["incident", "entry", "conversation", "order", "state", "attempts"],
    select(
        _C.c.incident,
        bindparam("entry", type_=_D.c.entry.type),
        _C.c.name,
        bindparam("sequence", type_=_D.c.order.type),
        literal("pending", _D.c.state.type),
        literal(0, _D.c.attempts.type),
    ).where(_C.c.incident == bindparam("this")),
)


@dataclass(frozen=True)
class Draft:
    """An entry to be written; entries of one kind and subject edit one message."""

    kind: EntryKind
    content: Json
    subject: str | None = None


class Timeline:
    """Reads and appends entries."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(self, incident: int, draft: Draft, actor: Person) -> TimelineEntry:
        """Append one entry and its deliveries; raises `errors.NotFound`."""
        with self._store.write() as tx:
            return append(tx, incident, draft, actor)

    def append_once(self, incident: int, draft: Draft, actor: Person) -> TimelineEntry | None:
        """Append an entry unless one of its kind and subject is there; None when it was.

        Raises ValueError without a subject: nothing would tell two entries of a kind apart.
        """
        if draft.subject is None:
            raise ValueError(f"an entry {draft.kind.value!r} without a subject cannot be found")
        with self._store.write() as tx:
            rows.lock_incident(tx, incident)
            if said_before(tx, incident, draft.kind, draft.subject):
                return None
            return append(tx, incident, draft, actor)

    def said(self, incident: int, kind: EntryKind, subject: str) -> bool:
        """Tell whether an entry of this kind and subject is there."""
        with self._store.read() as tx:
            return said_before(tx, incident, kind, subject)

    def entries(self, incident: int, after: int = 0) -> list[TimelineEntry]:
        """Return the entries whose sequence is above `after`, in order."""
        with self._store.read() as tx:
            return _entries(tx, incident, after)

    def entry(self, entry_id: int) -> TimelineEntry:
        """Return one entry; raises `errors.NotFound`."""
        with self._store.read() as tx:
            row = tx.run(select(_T).where(_T.c.id == entry_id)).first()
        if row is None:
            raise errors.NotFound(f"There is no timeline entry {entry_id}.")
        return rows.entry(row)

    def head(self, incident: int) -> tuple[int, str]:
        """Return the last sequence and hash, to be posted with every report."""
        with self._store.read() as tx:
            return _head(tx, incident)

    def verify(self, incident: int) -> int | None:
        """Return the first sequence at which the chain breaks, None when it holds."""
        return chain.first_break(self.entries(incident))

    def purge(self, entry_id: int) -> None:
        """Remove an entry's content for good; its hash and place in the chain stay."""
        with self._store.write() as tx:
            if not tx.change(update(_T).where(_T.c.id == entry_id).values(content=None)):
                raise errors.NotFound(f"There is no timeline entry {entry_id}.")


def append(tx: Tx, incident: int, draft: Draft, actor: Person) -> TimelineEntry:
    """Append an entry inside the transaction of the change that it tells of."""
    rows.hold_incident(tx, incident)
    numbers = numbering.InTransaction(tx, incident)
    # Once through JSON text: what is hashed is what will be read back, tuples and dates included.
    plain = json.loads(columns.canonical(draft.content))
    content = redaction.redact_json(plain, numbers, tx.private)
    sequence, previous = _head(tx, incident)
    hash_of_content = chain.content_hash(content)
    made = {
        "incident": incident,
        "sequence": sequence + 1,
        "kind": draft.kind,
        "at": tx.now,
        "actor": actor,
        "subject": draft.subject,
        "content": content,
        "content_hash": hash_of_content,
        "previous": previous,
        "hash": chain.entry_hash(
            previous, sequence + 1, draft.kind, tx.now, actor, draft.subject, hash_of_content
        ),
    }
    row = tx.run(_MADE, made).one()
    tx.run(_SENT_TO_ALL, {"this": incident, "entry": row.id, "sequence": sequence + 1})
    return rows.entry(row)


def redacted(tx: Tx, incident: int, text: str) -> str:
    """Return a text of a locked incident with the incident's own tokens in it."""
    return redaction.redact(text, numbering.InTransaction(tx, incident), tx.private)


def decisions(tx: Tx, incident: int) -> list[TimelineEntry]:
    """Return what was decided, in order: what followed what, and the milestones of runs."""
    where = (_T.c.incident == incident, _T.c.kind == EntryKind.DECISION)
    return [rows.entry(row) for row in tx.run(select(_T).where(*where).order_by(_T.c.sequence))]


def said_before(tx: Tx, incident: int, kind: EntryKind, subject: str) -> bool:
    """Return whether an entry of this kind and subject is already there."""
    where = (_T.c.incident == incident, _T.c.kind == kind, _T.c.subject == subject)
    return tx.run(select(_T.c.id).where(*where).limit(1)).first() is not None


def _entries(tx: Tx, incident: int, after: int) -> list[TimelineEntry]:
    found = tx.run(
        select(_T).where(_T.c.incident == incident, _T.c.sequence > after).order_by(_T.c.sequence)
    )
    return [rows.entry(row) for row in found]


def _head(tx: Tx, incident: int) -> tuple[int, str]:
    last = tx.run(_LAST, {"this": incident}).first()
    return (0, chain.FIRST) if last is None else (last.sequence, last.hash)


def delivery_row(incident: int, entry: int, conversation: str, order: int) -> Json:
    """Return the row that sends an entry into a conversation."""
    return {
        "incident": incident,
        "entry": entry,
        "conversation": conversation,
        "order": order,
        "state": "pending",
        "attempts": 0,
    }
