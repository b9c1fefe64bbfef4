"""The database behind incidents: one engine, short transactions, the database's own clock.

Entry points build one `Store` and hand it to the classes of this package; nothing of SQLAlchemy
leaves it. SQLite (WAL, FULL, BEGIN IMMEDIATE) and PostgreSQL run the same code. Safe to use from
threads and after a fork.
"""

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]


class Store:
    """One database; `clock` replaces the database's clock in tests."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        raise NotImplementedError

    def migrate(self) -> None:
        """Bring the schema to this version's; refuses a newer one with `errors.PermanentFailure`."""
        raise NotImplementedError

    def now(self) -> datetime:
        """Return the database's time, aware UTC."""
        raise NotImplementedError

    def close(self) -> None:
        """Close every connection of this process."""
        raise NotImplementedError
