"""Who is buying: somebody with an account, or a guest."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from checkout import errors
from checkout.settings import ROOT


@dataclass(frozen=True)
class PaymentMethod:
    """A card that the payment provider keeps for an account."""

    token: str


@dataclass(frozen=True)
class Customer:
    """A person who buys; a guest has no number."""

    number: str | None
    name: str
    tier: str
    payment_method: PaymentMethod | None = None


GUEST = Customer(number=None, name="Guest", tier="guest")


class Customers:
    """The accounts by number."""

    def __init__(self, accounts: Mapping[str, Customer]) -> None:
        self._accounts = accounts

    def find(self, number: str | None) -> Customer:
        """Return the account with this number, the guest for None."""
        if number is None:
            return GUEST
        if number not in self._accounts:
            raise errors.Rejected(f"no such customer: {number!r}")
        return self._accounts[number]


def load(root: Path = ROOT) -> Customers:
    """Read the accounts."""
    rows = json.loads((root / "config" / "customers.json").read_text(encoding="utf-8"))
    return Customers({row["number"]: _account(**row) for row in rows})


def _account(number: str, name: str, tier: str) -> Customer:
    # The provider keeps at most one card per account, under the account's number.
    return Customer(number, name, tier, payment_method=PaymentMethod(f"account-{number}"))
