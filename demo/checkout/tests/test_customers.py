"""Who is buying."""

import unittest

from checkout import customers, errors


class FindTest(unittest.TestCase):
    """Finding an account."""

    def test_account_by_number(self) -> None:
        self.assertEqual("gold", customers.load().find("1001").tier)

    def test_no_number_is_the_guest(self) -> None:
        self.assertEqual(customers.GUEST, customers.load().find(None))

    def test_unknown_number_is_refused(self) -> None:
        with self.assertRaises(errors.Rejected):
            customers.load().find("9999")
