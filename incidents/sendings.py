"""Messages on their way to a platform that cannot be asked for them: written down before each send.

Used by ports of such platforms. A key is done once; what was begun and not done is looked for
outside among the messages that came after `after`, before it is sent again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, update

from incidents import schema
from incidents.store import Store

_E = schema.effect
AFTER = "after "
ASIDE = "aside/"


@dataclass(frozen=True)
class Sending:
    """One message under its key: what it became, or which message was the newest before it."""

    fresh: bool  # nobody began it before
    reference: str | None  # None until it is done
    after: int = 0


class Sendings:
    """Begins and ends sendings; a key begins with the place, such as `telegram:-100/`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, key: str, after: int) -> Sending:
        """Write down that a message is about to be sent, or return what is known of it."""
        with self._store.write() as tx:
            row = {"key": key, "done": False, "intended_at": tx.now}
            fresh = tx.insert_new(_E, row | {"external_ref": f"{AFTER}{after}"}) is not None
            known = tx.run(select(_E.c.done, _E.c.external_ref).where(_E.c.key == key)).one()
        if known.done:
            return Sending(False, str(known.external_ref))
        return Sending(fresh, None, int(str(known.external_ref).removeprefix(AFTER)))

    def done(self, key: str, reference: str) -> None:
        """Note what a message became, or what it became anew."""
        with self._store.write() as tx:
            values = {"done": True, "external_ref": reference, "done_at": tx.now}
            if tx.insert_new(_E, {"key": key, "intended_at": tx.now, **values}) is None:
                tx.run(update(_E).where(_E.c.key == key).values(**values))

    def drop(self, key: str) -> None:
        """Forget a sending that surely did not happen."""
        with self._store.write() as tx:
            tx.run(delete(_E).where(_E.c.key == key, _E.c.done.is_(False)))

    def get(self, key: str) -> str | None:
        """Return what a message became, None while that is not known."""
        with self._store.read() as tx:
            where = (_E.c.key == key, _E.c.done.is_(True))
            return tx.run(select(_E.c.external_ref).where(*where)).scalar()

    def of(self, prefix: str) -> dict[str, str]:
        """Return key → reference of everything that is done below a prefix."""
        where = (_E.c.key.startswith(prefix, autoescape=True), _E.c.done.is_(True))
        with self._store.read() as tx:
            found = tx.run(select(_E.c.key, _E.c.external_ref).where(*where).order_by(_E.c.id))
            return {row.key: str(row.external_ref) for row in found}

    def key_of(self, prefix: str, reference: str) -> str | None:
        """Return the key below a prefix that became this, by the beginning of its reference."""
        where = (
            _E.c.key.startswith(prefix, autoescape=True),
            _E.c.done.is_(True),
            _E.c.external_ref.startswith(reference, autoescape=True),
        )
        with self._store.read() as tx:
            return tx.run(select(_E.c.key).where(*where).order_by(_E.c.id)).scalar()

    def set_aside(self, prefixes: Sequence[str]) -> None:
        """Let keys below these prefixes be sent anew, since what they became is gone."""
        with self._store.write() as tx:
            for prefix in prefixes:
                mine = _E.c.key.startswith(prefix, autoescape=True)
                for row in tx.run(select(_E.c.id, _E.c.key).where(mine)).all():
                    aside = f"{ASIDE}{row.id}/{row.key}"
                    tx.run(update(_E).where(_E.c.id == row.id).values(key=aside))
