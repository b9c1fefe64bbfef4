"""Recorded changes of services: what reached production when, from deploys to migrations.

The base of `service.Incidents`; called by `halon changed`, the deployers' records and `/incident
changed`. Diagnosis reads them: a false one would point at the innocent, so each names its source.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from incidents import moves, rows, schema, timeline
from incidents.columns import canonical
from incidents.models import Change, EntryKind, Person
from incidents.rows import value
from incidents.store import Store
from incidents.timeline import Draft

_C = schema.change


class Changes:
    """Records and lists changes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record_change(self, change: Change, person: Person, incident: int | None = None) -> bool:
        """Record a change of a service, once; True when it is new."""
        with self._store.write() as tx:
            if incident is not None:
                moves.heard(tx, rows.lock_incident(tx, incident), person)
            names = [change.service, change.kind.value, change.at, change.before, change.after]
            row = {name: getattr(change, name) for name in change.__dataclass_fields__}
            key = hashlib.sha256(canonical(names).encode()).hexdigest()
            if tx.insert_new(_C, row | {"key": key, "incident": incident}) is None:
                return False
            if incident is not None:
                content = row | {"kind": change.kind.value, "at": change.at.isoformat()}
                timeline.append(tx, incident, Draft(EntryKind.CHANGE, content), person)
            return True

    def changes(
        self, service: str, since: datetime, until: datetime | None = None
    ) -> Sequence[Change]:
        """Return recorded changes in order of time."""
        where = [_C.c.service == service, _C.c.at >= since]
        if until is not None:
            where.append(_C.c.at <= until)
        with self._store.read() as tx:
            found = tx.run(select(_C).where(*where).order_by(_C.c.at, _C.c.id)).all()
        return [value(Change, row) for row in found]
