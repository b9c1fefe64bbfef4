"""The price of an order: basket, discounts, delivery and the VAT inside. Whole cents, no floats."""

from collections.abc import Mapping
from dataclasses import dataclass

from checkout import delivery, vouchers
from checkout.baskets import Basket
from checkout.customers import Customer
from checkout.delivery import Address
from checkout.settings import Settings, Voucher


@dataclass(frozen=True)
class Quote:
    """What an order costs, in cents; `vat` is contained in the subtotal."""

    subtotal: int
    discount: int
    delivery: int
    vat: int

    @property
    def total(self) -> int:
        """What is charged."""
        return self.subtotal - self.discount + self.delivery


def quote(
    basket: Basket,
    customer: Customer,
    address: Address,
    settings: Settings,
    voucher: Voucher | None = None,
) -> Quote:
    """Price a basket for a customer and an address."""
    off = member_discount(basket, customer, settings.gold_percent)
    if voucher is not None:
        off += vouchers.discount(voucher, basket.subtotal - off)

    fee = delivery.fee(address, basket, settings.delivery)
    # The carrier hands express parcels to account holders only; a guest's goes by ordinary post.
    if address.express and customer.tier != "guest":
        fee += delivery.surcharge(address, settings.delivery)

    return Quote(
        subtotal=basket.subtotal,
        discount=off,
        delivery=fee,
        vat=vat_included(basket, settings.vat_percent),
    )


def member_discount(basket: Basket, customer: Customer, gold_percent: int) -> int:
    """Return what the customer's tier takes off, in cents."""
    return basket.subtotal * gold_percent // 100 if customer.tier == "gold" else 0


def vat_included(basket: Basket, percent: Mapping[str, int]) -> int:
    """Return the VAT contained in the basket's prices, in cents, each line rounded down."""
    vat = 0
    for line in basket.lines:
        rate = percent.get(line.product.category, 0)
        vat += line.amount * rate // (100 + rate)
    return vat
