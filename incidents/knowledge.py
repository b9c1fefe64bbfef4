"""What outlives an incident: costs, evidence, action items, known incidents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from incidents.models import ActionItem, Evidence, KnownIncident, Person
from incidents.store import Store


@dataclass(frozen=True)
class Spent:
    """One bill of a run; dollars are exact to a millionth."""

    role: str
    engine: str
    tokens_in: int
    tokens_out: int
    dollars: Decimal


class Costs:
    """Money by run and incident."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def add(self, run_id: int, spent: Spent) -> None:
        """Record a bill, even of a run that lost its fence: the money is gone all the same."""
        raise NotImplementedError

    def total(self, incident: int) -> Decimal:
        """Return the dollars spent on an incident."""
        raise NotImplementedError


class Ledger:
    """Evidence of an incident."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def add(self, incident: int, evidence: Sequence[Evidence]) -> None:
        """Store facts; an id already there stays as it is."""
        raise NotImplementedError

    def all(self, incident: int) -> list[Evidence]:
        """Return the facts in the order they were stored."""
        raise NotImplementedError


class ActionItems:
    """Follow-ups of incidents."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def add(
        self, incident: int, text: str, owner: str, due: datetime, check: str | None, by: Person
    ) -> ActionItem:
        """Add one, with a timeline entry; the same text again returns the stored one."""
        raise NotImplementedError

    def list(self, incident: int | None = None, open_only: bool = False) -> Sequence[ActionItem]:
        """Return items by due date."""
        raise NotImplementedError

    def done(self, item_id: int, by: Person) -> ActionItem:
        """Mark as done; raises `errors.NotFound`."""
        raise NotImplementedError


class KnownIncidents:
    """Fingerprints of past incidents."""

    def __init__(self, store: Store) -> None:
        raise NotImplementedError

    def remember(self, known: KnownIncident) -> None:
        """Store or renew what a fingerprint meant in an incident."""
        raise NotImplementedError

    def match(self, fingerprint: str) -> list[KnownIncident]:
        """Return past incidents with this fingerprint, newest first."""
        raise NotImplementedError
