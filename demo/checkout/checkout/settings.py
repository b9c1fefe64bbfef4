"""The settings of the service, from `config/settings.json`.

Read once, at start, by `server` and `replay`; everything below gets plain values. Prices and fees
are whole cents.
"""

import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Payment:
    """Where the payment provider is, and how long it may take to answer."""

    url: str
    timeout_seconds: float


@dataclass(frozen=True)
class Delivery:
    """What the carrier takes, and asks for."""

    free_from: int
    rates: dict[str, int]
    heaviest_grams: int
    remote_supplement: int
    remote_postcodes: list[str]
    express_surcharge: int


@dataclass(frozen=True)
class Voucher:
    """A discount by code; `at_most` limits it to so many cents, None leaves it open."""

    percent: int
    at_most: int | None


@dataclass(frozen=True)
class Settings:
    """Everything a team may change without touching the code."""

    currency: str
    countries: list[str]
    payment: Payment
    delivery: Delivery
    gold_percent: int
    vat_percent: dict[str, int]
    vouchers: dict[str, Voucher]


def load(root: Path = ROOT, payment_url: str | None = None) -> Settings:
    """Read the settings; `payment_url` stands in for the configured address."""
    values = json.loads((root / "config" / "settings.json").read_text(encoding="utf-8"))
    if payment_url:
        values["payment"]["url"] = payment_url
    values["payment"] = Payment(**values["payment"])
    values["delivery"] = Delivery(**values["delivery"])
    values["vouchers"] = {code: Voucher(**terms) for code, terms in values["vouchers"].items()}
    return Settings(**values)
