"""Who pays for a model: what is left for an incident and a month, and where each bill is booked.

The claude engine is given one by its entry point: workers book into the store, a shell into memory.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from agents.engine import Role
from agents.transcript import Bill


class Purse(Protocol):
    """Money for the runs of one incident."""

    def left(self) -> tuple[Decimal, str]:
        """Return the dollars that may be spent, and the setting that limits them."""
        ...

    def pay(self, role: Role, bill: Bill) -> None:
        """Book a bill; the same reference again changes nothing."""
        ...


@dataclass
class Pocket:
    """A purse in memory, for one command of a shell."""

    dollars: Decimal
    limit: str = "--dollars"
    booked: dict[str, tuple[Role, Bill]] = field(default_factory=dict)

    def left(self) -> tuple[Decimal, str]:
        """Return what the command may still spend."""
        return self.dollars - self.spent, self.limit

    def pay(self, role: Role, bill: Bill) -> None:
        """Book a bill once."""
        self.booked.setdefault(bill.reference, (role, bill))

    @property
    def spent(self) -> Decimal:
        """Dollars so far."""
        return sum((bill.dollars for _, bill in self.booked.values()), Decimal(0))
