"""Products and baskets: what somebody wants, and what it weighs and costs before any terms."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from checkout import errors
from checkout.settings import ROOT


@dataclass(frozen=True)
class Product:
    """One thing on sale; `price` in cents, VAT included."""

    sku: str
    name: str
    price: int
    category: str
    grams: int


@dataclass(frozen=True)
class Line:
    """So many of one product."""

    product: Product
    quantity: int

    @property
    def amount(self) -> int:
        """The line's price in cents."""
        return self.product.price * self.quantity


@dataclass(frozen=True)
class Basket:
    """The lines of one order."""

    lines: tuple[Line, ...]

    @property
    def subtotal(self) -> int:
        """The price of all lines in cents."""
        return sum(line.amount for line in self.lines)

    @property
    def grams(self) -> int:
        """What the parcel weighs, without its wrapping."""
        return sum(line.product.grams * line.quantity for line in self.lines)


Catalogue = Mapping[str, Product]


def load_catalogue(root: Path = ROOT) -> Catalogue:
    """Read the products on sale, by SKU."""
    rows = json.loads((root / "config" / "catalogue.json").read_text(encoding="utf-8"))
    return {row["sku"]: Product(**row) for row in rows}


def fill(items: object, catalogue: Catalogue) -> Basket:
    """Build a basket from `[{"sku": ..., "quantity": ...}]`, or say which item is wrong."""
    if not isinstance(items, list) or not items:
        raise errors.Rejected("items must be a list with at least one item")
    return Basket(tuple(_line(item, catalogue) for item in items))


def _line(item: object, catalogue: Catalogue) -> Line:
    if not isinstance(item, dict) or item.get("sku") not in catalogue:
        raise errors.Rejected(f"no such product: {item!r}")
    quantity = item.get("quantity", 1)
    if not isinstance(quantity, int) or not 1 <= quantity <= 50:
        raise errors.Rejected(f"quantity must be between 1 and 50, not {quantity!r}")
    return Line(catalogue[item["sku"]], quantity)
