"""Discounts by code."""

import unittest

from checkout import errors, settings, vouchers

VOUCHERS = settings.load().vouchers


class VoucherTest(unittest.TestCase):
    """What a code takes off."""

    def test_ten_percent(self) -> None:
        self.assertEqual(250, vouchers.discount(VOUCHERS["TEA10"], 2500))

    def test_never_more_than_its_limit(self) -> None:
        self.assertEqual(1500, vouchers.discount(VOUCHERS["TEA10"], 50000))

    def test_unknown_code_is_refused(self) -> None:
        with self.assertRaises(errors.Rejected):
            vouchers.find("NOPE", VOUCHERS)

    def test_no_code_is_no_voucher(self) -> None:
        self.assertIsNone(vouchers.find(None, VOUCHERS))
