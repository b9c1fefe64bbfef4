"""Timers and leader leases: what the controller lives on.

Both compare with the database's clock, never with a worker's. Called by the controller, and by
stages that want something later.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from incidents import rows, schema
from incidents.models import Timer
from incidents.store import Store

_T, _L = schema.timer, schema.lease
CONTROLLER = "controller"  # the leader's lease
LEADS_FOR = timedelta(seconds=5)


class Timers:
    """Things that fall due; at most one unfired timer per kind and ref."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def set_timer(self, due: datetime, kind: str, ref: str) -> Timer:
        """Set a timer, or move the one of this kind and ref."""
        unfired = (_T.c.kind == kind, _T.c.ref == ref, _T.c.fired_at.is_(None))
        with self._store.write() as tx:
            tx.insert_new(_T, {"due_at": due, "kind": kind, "ref": ref})
            tx.run(update(_T).where(*unfired).values(due_at=due))
            return rows.timer(tx.run(select(_T).where(*unfired)).one())

    def due(self) -> list[Timer]:
        """Return unfired timers that are due, oldest first."""
        with self._store.read() as tx:
            where = (_T.c.fired_at.is_(None), _T.c.due_at <= tx.now)
            found = tx.run(select(_T).where(*where).order_by(_T.c.due_at, _T.c.id))
            return [rows.timer(row) for row in found]

    def fire(self, timer_id: int) -> bool:
        """Mark as fired; False when someone did before."""
        with self._store.write() as tx:
            where = (_T.c.id == timer_id, _T.c.fired_at.is_(None))
            return tx.change(update(_T).where(*where).values(fired_at=tx.now)) == 1

    def drop(self, kind: str, ref: str) -> None:
        """Forget an unfired timer."""
        with self._store.write() as tx:
            unfired = (_T.c.kind == kind, _T.c.ref == ref, _T.c.fired_at.is_(None))
            tx.run(delete(_T).where(*unfired))


class Leases:
    """One leader per name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def lead(self, name: str, owner: str, duration: timedelta) -> int | None:
        """Take or keep a lease and return its fence; None while another owner has it.

        The fence grows with every change of hands, and when an owner comes back after its lease
        had run out: somebody may have acted in between.
        """
        with self._store.write() as tx:
            first = {"name": name, "owner": owner, "fence": 1, "until": tx.now + duration}
            if tx.insert_new(_L, first) is not None:
                return 1
            held = tx.run(select(_L).where(_L.c.name == name).with_for_update()).one()
            runs = held.until > tx.now
            if runs and held.owner != owner:
                return None
            fence = int(held.fence) + (not runs)
            values = {"owner": owner, "fence": fence, "until": tx.now + duration}
            tx.run(update(_L).where(_L.c.name == name).values(**values))
            return fence

    def age(self, name: str, duration: timedelta = LEADS_FOR) -> float | None:
        """Return the seconds since a lease of this duration was last kept, by the database's clock.

        None where nobody ever had it; one that was given back counts as a whole lease old.
        """
        with self._store.read() as tx:
            until = tx.run(select(_L.c.until).where(_L.c.name == name)).scalar()
            return None if until is None else (tx.now - (until - duration)).total_seconds()

    def release(self, name: str, owner: str) -> None:
        """Give a lease back at once."""
        with self._store.write() as tx:
            where = (_L.c.name == name, _L.c.owner == owner)
            tx.run(update(_L).where(*where).values(until=tx.now))
