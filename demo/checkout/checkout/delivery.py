"""What it costs to bring a parcel to an address."""

from collections.abc import Sequence
from dataclasses import dataclass

from checkout import errors
from checkout.baskets import Basket
from checkout.settings import Delivery


@dataclass(frozen=True)
class Address:
    """Where the parcel goes, and how fast."""

    country: str
    postcode: str
    express: bool = False


def read_address(value: object, countries: Sequence[str]) -> Address:
    """Read the `delivery` part of an order, or say what is wrong with it."""
    if not isinstance(value, dict):
        raise errors.Rejected("delivery must name a country and a postcode")
    if value.get("country") not in countries:
        raise errors.Rejected(f"we do not deliver to {value.get('country')!r}")
    postcode = value.get("postcode")
    if not isinstance(postcode, str) or not postcode:
        raise errors.Rejected("delivery needs a postcode")
    return Address(value["country"], postcode, express=value.get("express") is True)


def fee(address: Address, basket: Basket, terms: Delivery) -> int:
    """Return the fee in cents for a parcel by ordinary post."""
    if basket.grams > terms.heaviest_grams:
        raise errors.Rejected("the parcel is too heavy for the carrier; please order in two parts")
    supplement = terms.remote_supplement if is_remote(address, terms) else 0
    if basket.subtotal >= terms.free_from:
        return supplement
    return terms.rates[address.country] + supplement


def is_remote(address: Address, terms: Delivery) -> bool:
    """Whether the carrier asks a supplement for this postcode: islands, mostly."""
    return address.postcode in terms.remote_postcodes


def surcharge(address: Address, terms: Delivery) -> int:
    """Return what the wished speed costs on top of the fee, in cents."""
    return terms.express_surcharge if address.express else 0
