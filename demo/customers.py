"""What the customers of the demo ask for: a seeded stream of carts and checkouts.

Used by `traffic` to load the running service and by tests. Pure: the same seed gives the same
requests. The stream touches every corner that a bug of `bugs/` can hide in.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

PRODUCTS = (
    "sencha",
    "matcha",
    "teapot",
    "mug",
    "whisk",
    "kettle",
    "book-of-tea",
    "tea-atlas",
    "gift-card-25",
)
MEMBERS = tuple(str(number) for number in range(1001, 1009))
ADDRESSES = (
    {"country": "DE", "postcode": "10115"},
    {"country": "DE", "postcode": "27498"},
    {"country": "DE", "postcode": "80331"},
    {"country": "AT", "postcode": "1010"},
    {"country": "FR", "postcode": "75001"},
    {"country": "GB", "postcode": "SW1A 1AA"},
)


@dataclass(frozen=True)
class Mix:
    """Shares of all requests; the rest are members' orders by ordinary post."""

    carts: float = 0.04
    guests: float = 0.45
    express: float = 0.35  # members only: a guest is not offered express delivery


@dataclass(frozen=True)
class Ask:
    """One request of one customer; `kind` is cart, guest, express or member."""

    kind: str
    method: str
    path: str
    body: bytes = b""


def stream(seed: int, mix: Mix | None = None) -> Iterator[Ask]:
    """Yield requests without end."""
    dice = random.Random(seed)
    shares = mix or Mix()
    kinds = ["cart", "guest", "express", "member"]
    rest = 1.0 - shares.carts - shares.guests - shares.express
    weights = [shares.carts, shares.guests, shares.express, rest]
    while True:
        (kind,) = dice.choices(kinds, weights)
        yield _cart(dice) if kind == "cart" else _checkout(kind, dice)


def _cart(dice: random.Random) -> Ask:
    wanted = dice.sample(PRODUCTS, dice.randint(1, 3))
    return Ask("cart", "GET", "/cart/" + ",".join(f"{sku}:{dice.randint(1, 3)}" for sku in wanted))


def _checkout(kind: str, dice: random.Random) -> Ask:
    wanted = dice.sample(PRODUCTS, dice.randint(1, 3))
    delivery: dict[str, object] = {**dice.choice(ADDRESSES)}
    body: dict[str, object] = {
        "items": [{"sku": sku, "quantity": dice.randint(1, 2)} for sku in wanted],
        "delivery": delivery,
        "card": f"tok_{dice.getrandbits(32):08x}",
    }
    if kind == "guest":
        body["guest"] = {"email": f"guest-{dice.randint(1, 9999)}@example.invalid"}
    else:
        body["customer"] = dice.choice(MEMBERS)
    if kind == "express":
        delivery["express"] = True
    if dice.random() < 0.15:
        body["voucher"] = dice.choice(["TEA10", "STAFF20"])
    return Ask(kind, "POST", "/checkout", json.dumps(body).encode())
