"""Paying with the card that is kept for the account."""

import unittest

from tests import shops


class SavedCardTest(unittest.TestCase):
    """Which card is charged."""

    def setUp(self) -> None:
        """Open a shop."""
        self.provider = shops.Provider()
        self.shop = shops.open_shop(self.provider)

    def test_without_a_card_the_kept_one_is_charged(self) -> None:
        self.shop.place(shops.order(card=None))
        self.assertEqual([(1740, "account-1002")], self.provider.charges)

    def test_a_card_in_the_order_goes_first(self) -> None:
        self.shop.place(shops.order(card="tok_other"))
        self.assertEqual([(1740, "tok_other")], self.provider.charges)
