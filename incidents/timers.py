"""Timers and leader leases: what the controller lives on. Both compare with the database's clock."""

from datetime import datetime, timedelta

from incidents.models import Timer
from incidents.store import Store


class Timers:
    """Things that fall due; at most one unfired timer per kind and ref."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def set_timer(self, due: datetime, kind: str, ref: str) -> Timer:
        """Set a timer, or move the one of this kind and ref."""
        raise NotImplementedError

    def due(self) -> list[Timer]:
        """Return unfired timers that are due, oldest first."""
        raise NotImplementedError

    def fire(self, timer_id: int) -> bool:
        """Mark as fired; False when someone did before."""
        raise NotImplementedError

    def drop(self, kind: str, ref: str) -> None:
        """Forget an unfired timer."""
        raise NotImplementedError


class Leases:
    """One leader per name."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def lead(self, name: str, owner: str, duration: timedelta) -> int | None:
        """Take or keep a lease and return its fence, which grows with every change of hands; else None."""
        raise NotImplementedError

    def release(self, name: str, owner: str) -> None:
        """Give a lease back at once."""
        raise NotImplementedError
