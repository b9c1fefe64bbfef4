"""Outside effects made once: written down first, looked up outside before they are repeated.

Used by `steps` (for a stage run) and `rollouts` (for the controller); the guard proves the fence in
the same transaction as each write.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select, update

from incidents import crash, schema
from incidents.store import Store, Tx

_E = schema.effect


class Effects:
    """Effects outside of any run that may be repeated unharmed, but need not be."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def is_done(self, key: str) -> bool:
        """Return whether an effect was noted as made."""
        with self._store.read() as tx:
            return bool(tx.run(select(_E.c.done).where(_E.c.key == key)).scalar())

    def note(self, key: str) -> None:
        """Note an effect as made."""
        with self._store.write() as tx:
            row = {"key": key, "done": True, "intended_at": tx.now, "done_at": tx.now}
            tx.insert_new(_E, row)


def once(
    store: Store,
    guard: Callable[[Tx], object],
    owner: Mapping[str, Any],
    key: str,
    act: Callable[[], str],
    look: Callable[[], str | None],
) -> str:
    """Return the external reference of an effect, making it only if nothing outside shows it."""
    crash.point("effect.before", key)
    with store.write() as tx:
        guard(tx)
        row = {"key": key, "done": False, "intended_at": tx.now, **owner}
        fresh = tx.insert_new(_E, row) is not None
        known = tx.run(select(_E.c.done, _E.c.external_ref).where(_E.c.key == key)).one()
    if known.done:
        return str(known.external_ref)
    crash.point("effect.intended", key)
    reference = None if fresh else look()
    if reference is None:
        reference = act()
    crash.point("effect.made", key)
    with store.write() as tx:
        guard(tx)
        done = {"done": True, "external_ref": reference, "done_at": tx.now}
        tx.run(update(_E).where(_E.c.key == key).values(**done))
    crash.point("effect.recorded", key)
    return reference
