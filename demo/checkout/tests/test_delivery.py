"""What delivery costs."""

import unittest

from checkout import baskets, delivery, errors, settings
from checkout.delivery import Address

TERMS = settings.load().delivery
CATALOGUE = baskets.load_catalogue()


def parcel(sku: str, quantity: int = 1) -> baskets.Basket:
    """A basket with one line."""
    return baskets.fill([{"sku": sku, "quantity": quantity}], CATALOGUE)


class AddressTest(unittest.TestCase):
    """Reading an address."""

    def test_postcode_is_needed(self) -> None:
        with self.assertRaises(errors.Rejected):
            delivery.read_address({"country": "DE"}, ["DE"])

    def test_only_listed_countries(self) -> None:
        with self.assertRaises(errors.Rejected):
            delivery.read_address({"country": "US", "postcode": "10001"}, ["DE"])


class FeeTest(unittest.TestCase):
    """The carrier's fee."""

    def test_abroad_has_its_own_rate(self) -> None:
        self.assertEqual(TERMS.rates["AT"], self.fee("AT", "1010"))

    def test_islands_cost_a_supplement(self) -> None:
        self.assertEqual(490 + 650, self.fee("DE", "27498"))

    def test_mainland_costs_none(self) -> None:
        self.assertEqual(490, self.fee("DE", "10115"))

    def test_heavy_parcels_are_refused(self) -> None:
        with self.assertRaises(errors.Rejected):
            delivery.fee(Address("DE", "10115"), parcel("teapot", 20), TERMS)

    def test_express_costs_extra(self) -> None:
        self.assertEqual(900, delivery.surcharge(Address("DE", "10115", express=True), TERMS))

    def test_ordinary_post_costs_no_more(self) -> None:
        self.assertEqual(0, delivery.surcharge(Address("DE", "10115"), TERMS))

    def fee(self, country: str, postcode: str) -> int:
        """The fee for a mug."""
        return delivery.fee(Address(country, postcode), parcel("mug"), TERMS)
