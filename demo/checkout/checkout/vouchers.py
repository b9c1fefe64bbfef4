"""Discounts by code."""

from collections.abc import Mapping

from checkout import errors
from checkout.settings import Voucher


def find(code: object, vouchers: Mapping[str, Voucher]) -> Voucher | None:
    """Return the voucher with this code, None where no code was given."""
    if code is None:
        return None
    if not isinstance(code, str) or code not in vouchers:
        raise errors.Rejected(f"no such voucher: {code!r}")
    return vouchers[code]


def discount(voucher: Voucher, amount: int) -> int:
    """Return what a voucher takes off an amount, both in cents."""
    off = amount * voucher.percent // 100
    return off if voucher.at_most is None else min(off, voucher.at_most)
