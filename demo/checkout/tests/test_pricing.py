"""Prices, to the cent."""

import unittest

from checkout import baskets, customers, pricing, settings
from checkout.delivery import Address

SETTINGS = settings.load()
CATALOGUE = baskets.load_catalogue()
HOME = Address("DE", "10115")
GOLD = customers.Customer("1", "A gold member", "gold")


def basket(**quantities: int) -> baskets.Basket:
    """A basket by SKU, with underscores for dashes."""
    items = [{"sku": sku.replace("_", "-"), "quantity": n} for sku, n in quantities.items()]
    return baskets.fill(items, CATALOGUE)


class QuoteTest(unittest.TestCase):
    """The price of an order."""

    def test_small_basket_pays_for_delivery(self) -> None:
        quote = pricing.quote(basket(mug=2), customers.GUEST, HOME, SETTINGS)
        self.assertEqual((2500, 490, 2990), (quote.subtotal, quote.delivery, quote.total))

    def test_large_basket_is_delivered_free(self) -> None:
        self.assertEqual(
            0, pricing.quote(basket(teapot=1), customers.GUEST, HOME, SETTINGS).delivery
        )

    def test_gold_members_pay_five_percent_less(self) -> None:
        self.assertEqual(345, pricing.quote(basket(teapot=1), GOLD, HOME, SETTINGS).discount)

    def test_guests_have_no_discount(self) -> None:
        quote = pricing.quote(basket(teapot=1), customers.GUEST, HOME, SETTINGS)
        self.assertEqual(0, quote.discount)


class VatTest(unittest.TestCase):
    """The VAT inside the prices."""

    def test_books_carry_the_reduced_rate(self) -> None:
        self.assertEqual(78, pricing.vat_included(basket(book_of_tea=1), SETTINGS.vat_percent))

    def test_each_line_has_its_own_rate(self) -> None:
        mixed = basket(book_of_tea=1, mug=1)
        self.assertEqual(78 + 199, pricing.vat_included(mixed, SETTINGS.vat_percent))
