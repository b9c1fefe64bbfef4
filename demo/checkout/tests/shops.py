"""A shop whose payment provider writes down what it was asked to charge."""

from checkout import baskets, customers, settings
from checkout.orders import OrderBook
from checkout.shop import Shop


class Provider:
    """Accepts every charge and remembers it."""

    def __init__(self) -> None:
        self.charges: list[tuple[int, str]] = []

    def charge(self, cents: int, card: str, reference: str) -> str:
        """Remember the charge."""
        self.charges.append((cents, card))
        return f"receipt-{len(self.charges)}"


def open_shop(provider: Provider) -> Shop:
    """A shop with the real settings, products and accounts."""
    return Shop(
        settings.load(),
        baskets.load_catalogue(),
        customers.load(),
        provider,
        OrderBook(),
    )


def order(**changes: object) -> dict[str, object]:
    """An order of one mug by a member, with changes."""
    plain: dict[str, object] = {
        "customer": "1002",
        "items": [{"sku": "mug", "quantity": 1}],
        "delivery": {"country": "DE", "postcode": "10115"},
        "card": "tok_visa",
    }
    return {**plain, **changes}
