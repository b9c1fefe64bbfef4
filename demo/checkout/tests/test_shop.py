"""The flow of an order."""

import unittest

from checkout import errors
from tests import shops


class PlaceTest(unittest.TestCase):
    """Taking an order."""

    def setUp(self) -> None:
        """Open a shop."""
        self.provider = shops.Provider()
        self.shop = shops.open_shop(self.provider)

    def test_charges_what_it_quotes(self) -> None:
        placed = self.shop.place(shops.order())
        self.assertEqual([(placed["total"], "tok_visa")], self.provider.charges)

    def test_unknown_product_is_refused_before_anything_is_charged(self) -> None:
        with self.assertRaises(errors.Rejected):
            self.shop.place(shops.order(items=[{"sku": "coffee"}]))
        self.assertEqual([], self.provider.charges)

    def test_somebody_must_be_named(self) -> None:
        with self.assertRaises(errors.Rejected):
            self.shop.place(shops.order(customer=None))

    def test_fields_from_tomorrow_are_left_alone(self) -> None:
        placed = self.shop.place(shops.order(gift_wrap=True))
        self.assertEqual("receipt-1", placed["receipt"])

    def test_a_voucher_lowers_the_charge(self) -> None:
        self.shop.place(shops.order(voucher="TEA10"))
        self.assertEqual([(1250 - 125 + 490, "tok_visa")], self.provider.charges)


class CartTest(unittest.TestCase):
    """Showing a cart."""

    def test_cart_in_the_address(self) -> None:
        cart = shops.open_shop(shops.Provider()).show_cart("mug:2,sencha")
        self.assertEqual((2 * 1250 + 1490, 1030), (cart["subtotal"], cart["grams"]))
