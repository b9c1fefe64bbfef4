"""The numbers of an incident's redacted values, the same in thread, transcript and model.

Used by the timeline inside its own transactions, and by the engines through `Numbers`. Only keyed
digests are stored, never the values.
"""

import hashlib
import hmac

from sqlalchemy import func, select

from incidents import rows, schema
from incidents.store import Store, Tx

_T, _I = schema.redacted, schema.incident


class Numbers:
    """The numbering of one incident for whoever has no transaction open."""

    def __init__(self, store: Store, incident: int) -> None:
        self._store, self._incident = store, incident
        self._known: dict[tuple[str, str], int] = {}

    def number(self, kind: str, value: str) -> int:
        """Return the number of a value, the same one that the thread shows."""
        if (kind, value) not in self._known:
            with self._store.write() as tx:
                rows.lock_incident(tx, self._incident)
                self._known[kind, value] = InTransaction(tx, self._incident).number(kind, value)
        return self._known[kind, value]


class InTransaction:
    """The numbering of a locked incident."""

    def __init__(self, tx: Tx, incident: int) -> None:
        self._tx, self._incident = tx, incident
        self._salt: bytes | None = None

    def number(self, kind: str, value: str) -> int:
        """Return the number of a value, a new one for a new value."""
        digest = self._digest(value)
        same_kind = (_T.c.incident == self._incident, _T.c.kind == kind)
        known = self._tx.run(select(_T.c.number).where(*same_kind, _T.c.digest == digest)).scalar()
        if known is not None:
            return int(known)
        used = self._tx.run(select(func.count()).select_from(_T).where(*same_kind)).scalar_one()
        row = {"incident": self._incident, "kind": kind, "digest": digest, "number": used + 1}
        self._tx.run(_T.insert().values(**row))
        return int(used + 1)

    def _digest(self, value: str) -> str:
        if self._salt is None:
            salt = self._tx.run(select(_I.c.salt).where(_I.c.number == self._incident))
            self._salt = bytes.fromhex(salt.scalar_one())
        return hmac.digest(self._salt, value.encode("utf-8", "replace"), hashlib.sha256).hex()
