"""Orders: read from a request, and kept in a file of JSON lines once they are paid."""

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from checkout import baskets, delivery, errors
from checkout.baskets import Basket, Catalogue
from checkout.delivery import Address


@dataclass(frozen=True)
class Order:
    """What somebody asked for, checked for form but not yet priced."""

    basket: Basket
    customer: str | None
    address: Address
    card: str | None
    voucher: object = None


def read(body: object, catalogue: Catalogue, countries: Sequence[str]) -> Order:
    """Read an order from a request's JSON; fields we do not know are left alone."""
    if not isinstance(body, dict):
        raise errors.Rejected("the body must be a JSON object")
    if not body.get("customer") and not body.get("guest"):
        raise errors.Rejected("an order needs a customer, or a guest's e-mail")
    return Order(
        basket=baskets.fill(body.get("items"), catalogue),
        customer=body.get("customer"),
        address=delivery.read_address(body.get("delivery"), countries),
        card=body.get("card"),
        voucher=body.get("voucher"),
    )


def new_number() -> str:
    """Return a number for an order that no other replica hands out."""
    return f"o-{secrets.token_hex(6)}"


class OrderBook:
    """Paid orders, one JSON line each; several replicas may append to the same file."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def add(self, entry: dict[str, object]) -> None:
        """Write a paid order down. One write call, so that lines of replicas never mix."""
        if self._path is None:
            return
        line = json.dumps(entry, separators=(",", ":")) + "\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)
