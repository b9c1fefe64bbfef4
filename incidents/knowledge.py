"""What outlives an incident: costs, evidence, action items, known incidents.

Written by stages and the controller, read by the review, the status card and later diagnoses.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select, update

from incidents import errors, rows, schema, timeline
from incidents.models import ActionItem, EntryKind, Evidence, KnownIncident, Person, RoleCost
from incidents.rows import value
from incidents.store import Store, Tx
from incidents.timeline import Draft

_C, _E = schema.cost_entry, schema.evidence
_A, _K = schema.action_item, schema.known_incident


@dataclass(frozen=True)
class Spent:
    """One bill of a run; dollars are exact to a millionth."""

    role: str
    engine: str
    tokens_in: int
    tokens_out: int
    dollars: Decimal
    cache_read: int = 0  # of tokens_in, those that a cache gave
    cache_write: int = 0  # and those that it took
    reference: str | None = None  # the same one again is the same bill


class Costs:
    """Money by run and incident."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, run_id: int, spent: Spent) -> None:
        """Record a bill, even of a run that lost its fence: the money is gone all the same."""
        with self._store.write() as tx:
            incident = rows.get_run(tx, run_id).incident
            row = asdict(spent) | {"incident": incident, "stage_run": run_id, "at": tx.now}
            tx.insert_new(_C, row)

    def total(self, incident: int) -> Decimal:
        """Return the dollars spent on an incident."""
        with self._store.read() as tx:
            total = tx.run(select(func.sum(_C.c.dollars)).where(_C.c.incident == incident)).scalar()
        return Decimal(total or 0)

    def this_month(self) -> Decimal:
        """Return the dollars spent since the first of this month, UTC, by the database's clock."""
        with self._store.read() as tx:
            since = tx.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            total = tx.run(select(func.sum(_C.c.dollars)).where(_C.c.at >= since)).scalar()
        return Decimal(total or 0)

    def by_role(self, incident: int) -> list[RoleCost]:
        """Return what each role cost on each engine, in the order of their first bills."""
        columns = (
            _C.c.role,
            _C.c.engine,
            func.count().label("questions"),
            *(
                func.sum(_C.c[name]).label(name)
                for name in ("tokens_in", "tokens_out", "cache_read", "dollars")
            ),
        )
        found = (
            select(*columns)
            .where(_C.c.incident == incident)
            .group_by(_C.c.role, _C.c.engine)
            .order_by(func.min(_C.c.id))
        )
        with self._store.read() as tx:
            return [value(RoleCost, row) for row in tx.run(found)]


class Ledger:
    """Evidence of an incident."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, incident: int, evidence: Sequence[Evidence]) -> None:
        """Store facts, excerpts redacted; an id already there stays as it is."""
        with self._store.write() as tx:
            rows.lock_incident(tx, incident)
            for item in evidence:
                row = asdict(item) | {"incident": incident}
                excerpt = timeline.redacted(tx, incident, item.excerpt)
                tx.insert_new(_E, row | {"excerpt": excerpt})

    def all(self, incident: int) -> list[Evidence]:
        """Return the facts in the order they were stored."""
        with self._store.read() as tx:
            found = tx.run(select(_E).where(_E.c.incident == incident).order_by(_E.c.seq)).all()
        return [value(Evidence, row) for row in found]


class ActionItems:
    """Follow-ups of incidents."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self, incident: int, text: str, owner: str, due: datetime, check: str | None, by: Person
    ) -> ActionItem:
        """Add one, with a timeline entry; the same text again returns the stored one."""
        with self._store.write() as tx:
            rows.lock_incident(tx, incident)
            return add_item(tx, incident, text, owner, due, check, by)

    def reword(self, incident: int, old: str, new: str) -> bool:
        """Follow a message that an open item was made of; False where there is none of that text.

        Nothing is told: the note of the message itself says that it was changed.
        """
        with self._store.write() as tx:
            rows.lock_incident(tx, incident)
            there = (_A.c.incident == incident, _A.c.text == new)
            if tx.run(select(_A.c.id).where(*there)).first() is not None:
                return False
            where = (_A.c.incident == incident, _A.c.text == old, _A.c.done_at.is_(None))
            return tx.change(update(_A).where(*where).values(text=new)) == 1

    def done(self, item_id: int, by: Person) -> ActionItem:
        """Mark as done; raises `errors.NotFound`."""
        with self._store.write() as tx:
            row = tx.run(select(_A).where(_A.c.id == item_id)).first()
            if row is None:
                raise errors.NotFound(f"There is no action item {item_id}.")
            rows.lock_incident(tx, row.incident)
            open_ = (_A.c.id == item_id, _A.c.done_at.is_(None))
            if tx.change(update(_A).where(*open_).values(done_at=tx.now)):
                _tell(tx, row.incident, {"text": row.text, "done": True}, by)
            return value(ActionItem, tx.run(select(_A).where(_A.c.id == item_id)).one())

    def list(self, incident: int | None = None, open_only: bool = False) -> Sequence[ActionItem]:
        """Return items by due date."""
        query = select(_A).order_by(_A.c.due, _A.c.id)
        if incident is not None:
            query = query.where(_A.c.incident == incident)
        if open_only:
            query = query.where(_A.c.done_at.is_(None))
        with self._store.read() as tx:
            return [value(ActionItem, row) for row in tx.run(query)]


def add_item(
    tx: Tx, incident: int, text: str, owner: str, due: datetime, check: str | None, by: Person
) -> ActionItem:
    """Add a follow-up in a transaction that holds the incident's lock; see `ActionItems.add`."""
    text = timeline.redacted(tx, incident, text)
    row = {"incident": incident, "text": text, "owner": owner, "due": due, "check": check}
    if tx.insert_new(_A, row | {"created_at": tx.now}) is not None:
        _tell(tx, incident, row | {"due": due.isoformat()}, by)
    where = (_A.c.incident == incident, _A.c.text == text)
    return value(ActionItem, tx.run(select(_A).where(*where)).one())


def _tell(tx: Tx, incident: int, item: dict[str, object], by: Person) -> None:
    text = str(item["text"])
    content = {name: part for name, part in item.items() if name != "incident"}
    draft = Draft(EntryKind.NOTE, {"text": text, "action_item": content})
    timeline.append(tx, incident, draft, by)


class KnownIncidents:
    """Fingerprints of past incidents."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def remember(self, known: KnownIncident) -> None:
        """Store or renew what a fingerprint meant in an incident."""
        with self._store.write() as tx:
            where = (_K.c.fingerprint == known.fingerprint, _K.c.incident == known.incident)
            tx.insert_new(_K, asdict(known))
            tx.run(update(_K).where(*where).values(**asdict(known)))

    def match(self, fingerprint: str) -> list[KnownIncident]:
        """Return past incidents with this fingerprint, newest first."""
        with self._store.read() as tx:
            found = select(_K).where(_K.c.fingerprint == fingerprint)
            return [
                value(KnownIncident, row) for row in tx.run(found.order_by(_K.c.incident.desc()))
            ]
