"""Accounts that are one voice, and the war room's tokens (stored as hashes only)."""

import hashlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, or_, select, update

from incidents import errors, schema
from incidents.models import Person
from incidents.rows import value
from incidents.store import Store, Tx

_I, _T = schema.identity, schema.token
_HOLDER = select(_T.c.person).where(  # kept, so that it is compiled once: every request asks
    _T.c.digest == bindparam("digest"),
    _T.c.one_time.is_(False),
    _T.c.ended_at.is_(None),
    or_(_T.c.expires_at.is_(None), _T.c.expires_at > bindparam("now", type_=_T.c.expires_at.type)),
)


class Identities:
    """Which accounts belong to one person; set by an admin."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def link(self, account: Person, voice: Person, by: Person) -> None:
        """Make an account speak with another's voice; raises `errors.WrongState` for a chain."""
        with self._store.write() as tx:
            known = _all(tx)
            if account == voice or voice in known or account in known.values():
                raise errors.WrongState(
                    f"{account} → {voice} would make a chain or a circle; link every account "
                    "to the same one."
                )
            tx.run(delete(_I).where(_I.c.account == account))
            tx.run(_I.insert().values(account=account, voice=voice, by=by, at=tx.now))

    def unlink(self, account: Person) -> None:
        """Give an account its own voice again."""
        with self._store.write() as tx:
            tx.run(delete(_I).where(_I.c.account == account))

    def all(self) -> Mapping[Person, Person]:
        """Return account → voice, for `policy.Access`."""
        with self._store.read() as tx:
            return _all(tx)


class Voices(Mapping[Person, Person]):
    """Account → voice as it was read last; `refresh` reads anew what is older than a few seconds.

    Looking someone up never reads: that happens inside of transactions.
    """

    def __init__(self, identities: Identities, seconds: float = 5.0) -> None:
        self._identities, self._seconds = identities, seconds
        self._known, self._at = identities.all(), time.monotonic()

    def refresh(self) -> None:
        """Read anew if that is due; blocking."""
        now = time.monotonic()
        if now - self._at >= self._seconds:
            self._known, self._at = self._identities.all(), now

    def __getitem__(self, account: Person) -> Person:
        return self._known[account]

    def __iter__(self) -> Iterator[Person]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _all(tx: Tx) -> dict[Person, Person]:
    return {row.account: row.voice for row in tx.run(select(_I)).all()}


@dataclass(frozen=True)
class Token:
    """A token as listed; the secret itself is shown once, when it is made."""

    id: int
    name: str
    person: Person
    created_at: datetime
    expires_at: datetime | None
    one_time: bool


class Tokens:
    """War room tokens."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self, name: str, person: Person, *, one_time: bool = False, expires: timedelta | None = None
    ) -> str:
        """Make a token and return its secret, which is not stored."""
        with self._store.write() as tx:
            return _make(tx, name, person, expires, one_time=one_time, session=False)

    def check(self, secret: str) -> Person | None:
        """Return whose lasting token or session this is, None for all others."""
        with self._store.read() as tx:
            return tx.run(_HOLDER, {"digest": _digest(secret), "now": tx.now}).scalar()

    def redeem(self, secret: str, expires: timedelta) -> str | None:
        """Turn a one-time token into a session secret, once; a lasting one into one each time."""
        with self._store.write() as tx:
            where = (*_living(tx), _T.c.digest == _digest(secret), _T.c.session.is_(False))
            row = tx.run(select(_T).where(*where).with_for_update()).first()
            if row is None:
                return None
            if row.one_time:
                tx.run(update(_T).where(_T.c.id == row.id).values(ended_at=tx.now))
            return _make(tx, row.name, row.person, expires, one_time=False, session=True)

    def list(self) -> Sequence[Token]:
        """Return the living tokens, sessions left out."""
        with self._store.read() as tx:
            where = (*_living(tx), _T.c.session.is_(False))
            found = tx.run(select(_T).where(*where).order_by(_T.c.id)).all()
        return [value(Token, row) for row in found]

    def revoke(self, name: str) -> int:
        """End every token and session of a name; returns how many."""
        with self._store.write() as tx:
            where = (*_living(tx), _T.c.name == name)
            return tx.change(update(_T).where(*where).values(ended_at=tx.now))


def _digest(secret: str) -> str:
    # 256 random bits need no slow hash.
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _living(tx: Tx) -> tuple[Any, ...]:
    return (_T.c.ended_at.is_(None), or_(_T.c.expires_at.is_(None), _T.c.expires_at > tx.now))


def _make(
    tx: Tx, name: str, person: Person, expires: timedelta | None, *, one_time: bool, session: bool
) -> str:
    secret = secrets.token_urlsafe(32)
    row = {"name": name, "person": person, "digest": _digest(secret), "created_at": tx.now}
    until = None if expires is None else tx.now + expires
    tx.run(_T.insert().values(**row, one_time=one_time, session=session, expires_at=until))
    return secret
