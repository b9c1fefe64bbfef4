"""Accounts that are one voice, and the war room's tokens (stored as hashes only)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from incidents.models import Person
from incidents.store import Store


class Identities:
    """Which accounts belong to one person; set by an admin."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def link(self, account: Person, voice: Person, by: Person) -> None:
        """Make an account speak with another's voice."""
        raise NotImplementedError

    def unlink(self, account: Person) -> None:
        """Give an account its own voice again."""
        raise NotImplementedError

    def all(self) -> Mapping[Person, Person]:
        """Return account → voice, for `policy.Access`."""
        raise NotImplementedError


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
        raise NotImplementedError

    def add(
        self, name: str, person: Person, *, one_time: bool = False, expires: timedelta | None = None
    ) -> str:
        """Make a token and return its secret, which is not stored."""
        raise NotImplementedError

    def check(self, secret: str) -> Person | None:
        """Return whose lasting token this is; one-time, expired and revoked ones are nobody's."""
        raise NotImplementedError

    def redeem(self, secret: str, expires: timedelta) -> str | None:
        """Turn a one-time token into a session secret, once; a lasting one into a session as well."""
        raise NotImplementedError

    def list(self) -> Sequence[Token]:
        """Return the living tokens."""
        raise NotImplementedError

    def revoke(self, name: str) -> int:
        """End every token and session of a name; returns how many."""
        raise NotImplementedError
