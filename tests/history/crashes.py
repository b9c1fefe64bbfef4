"""Faults that crash where a value is not what the code believes: None, a key, a type.

Used by tests/history/faults.py. Each breaks the program of project/ for real.
"""

from __future__ import annotations

from tests.history.base import World
from tests.history.fault import (
    DRIVE,
    HANDLE,
    PRICE_NAMES,
    READ_NAMES,
    REP_NAMES,
    Fault,
    crash,
)
from tests.history.tree import all_of, swap


def none_guest(world: World) -> Fault:
    """Guests become None where they are read; pricing, which did not change, stumbles."""
    return Fault(
        "none",
        "guest",
        "Tidy how buyers are read",
        swap("xpkg/xread.py", "        return ANONYMOUS\n", "        return None\n"),
        names=PRICE_NAMES,
        decoy=(
            "Name the tier in discounts",
            swap(
                "xpkg/xprice.py",
                "    if xent.buyer.tier in MEMBERS:\n",
                "    tier = xent.buyer.tier\n    if tier in MEMBERS:\n",
            ),
        ),
        scar=(
            "Say what a missing buyer means",
            swap(
                "xpkg/xread.py",
                "        return None\n",
                "        return None  # no account, no name\n",
            ),
        ),
        **crash(world, world.request(None)),  # type: ignore[arg-type]
    )


def none_email(world: World) -> Fault:
    """The guard for buyers without an address is taken out of the receipt."""
    request = world.request("basic")
    request["buyer"] = {"name": "Fay"}
    return Fault(
        "none",
        "email",
        "Simplify masking of addresses",
        swap("xpkg/xrep.py", '    if not email:\n        return "-"\n\n    parts', "    parts"),
        crash="xrep",
        names=REP_NAMES,
        decoy=(
            "Mask the address before the heading is put together",
            swap(
                "xpkg/xrep.py",
                "    return f\"{xent.number} for {who}, {plural(pieces, 'piece')}, "
                '{mask(xent.buyer.email)}"',
                "    address = mask(xent.buyer.email)\n"
                "    return f\"{xent.number} for {who}, {plural(pieces, 'piece')}, {address}\"",
            ),
        ),
        scar=(
            "Drop blanks around addresses",
            swap("xpkg/xrep.py", "    parts = email.strip()", '    parts = email.strip(" ")'),
        ),
        **crash(world, request),  # type: ignore[arg-type]
    )


def none_past(world: World) -> Fault:
    """A buyer's first visit has no past any more; the service reads its count."""
    return Fault(
        "none",
        "past",
        "Speed up the lookup of past visits",
        swap("xpkg/xstore.py", "            return NOTHING\n", "            return None\n"),
        crash="service",
        decoy=(
            "Count visits from one, in words",
            swap("xpkg/service.py", "    visits = past.count + 1", "    visits = 1 + past.count"),
        ),
        scar=(
            "Explain the empty past",
            swap(
                "xpkg/xstore.py",
                "            return None\n",
                "            return None  # first visit\n",
            ),
        ),
        **crash(world, world.request()),  # type: ignore[arg-type]
    )


def key_product(world: World) -> Fault:
    """One product's weight is filed under another name."""
    sku = world.rng.choice(sorted(world.products))
    entry = world.products[sku]
    lines = [{"sku": sku, "quantity": 2}]

    def weight(key: str) -> str:
        return f'"cents": {entry["cents"]},\n    "{key}": {entry["grams"]}'

    return Fault(
        "key",
        "product",
        "Update the products for the season",
        swap("xpkg/products.json", weight("grams"), weight("weight_grams")),
        crash="xcat",
        names=["PRODUCTS", "grams", "title", "unit_cents"],
        decoy=(
            "Weights are whole grams",
            swap("xpkg/xcat.py", '    return entry["grams"]', '    return int(entry["grams"])'),
        ),
        **crash(world, world.request(lines=lines)),  # type: ignore[arg-type]
    )


def key_amounts(world: World) -> Fault:
    """Pricing calls an amount by another name; the receipt still asks for the old one."""
    return Fault(
        "key",
        "amounts",
        "Speak of freight throughout pricing",
        swap("xpkg/xprice.py", '        "shipping": freight,', '        "freight": freight,'),
        crash="xrep",
        names=REP_NAMES,
        decoy=(
            "Build receipt rows with f-strings",
            swap(
                "xpkg/xrep.py",
                '    rows.append("shipping " + show(amounts["shipping"], settings.currency))',
                "    rows.append(f\"shipping {show(amounts['shipping'], settings.currency)}\")",
            ),
        ),
        scar=(
            "Note the unit of freight",
            swap(
                "xpkg/xprice.py",
                '        "freight": freight,',
                '        "freight": freight,  # cents',
            ),
        ),
        **crash(world, world.request()),  # type: ignore[arg-type]
    )


def key_sku(world: World) -> Fault:
    """Lower-case article numbers are no longer understood."""
    sku = world.rng.choice(sorted(world.products))
    request = world.request("member")
    probe_request = request | {"lines": [{"sku": sku.lower(), "quantity": 3}]}
    right = world.total(request | {"lines": [{"sku": sku, "quantity": 3}]})
    probe = HANDLE.format(request=probe_request) + f'assert reply["total_cents"] == {right}'
    return Fault(
        "key",
        "sku",
        "Read article numbers as they are sent",
        swap("xpkg/xread.py", ".strip().upper()\n", ".strip()\n"),
        probe,
        DRIVE.format(request=probe_request),
        "request failed",
        crash="xcat",
        names=["PRODUCTS", "grams", "title", "unit_cents"],
        decoy=(
            "Look products up once",
            swap(
                "xpkg/xcat.py",
                'def unit_cents(sku):\n    entry = PRODUCTS[sku]\n    return entry["cents"]',
                'def unit_cents(sku):\n    return PRODUCTS[sku]["cents"]',
            ),
        ),
    )


def type_setting(world: World) -> Fault:
    """The tax rate stays the text that the configuration file holds."""
    return Fault(
        "type",
        "setting",
        "Read settings without converting twice",
        swap(
            "xpkg/settings.py",
            'tax_percent=int(raw["tax_percent"])',
            'tax_percent=raw["tax_percent"]',
        ),
        names=PRICE_NAMES,
        decoy=(
            "Name the whole part of the tax",
            swap(
                "xpkg/xprice.py",
                "    whole = goods * rate // 100\n",
                "    whole = (goods * rate) // 100\n",
            ),
        ),
        scar=(
            "Comment the tax rate",
            swap(
                "xpkg/settings.py",
                'tax_percent=raw["tax_percent"],',
                'tax_percent=raw["tax_percent"],  # whole',
            ),
        ),
        **crash(world, world.request("staff")),  # type: ignore[arg-type]
    )


def type_signature(world: World) -> Fault:
    """`show` wants its currency by name; one of two callers was changed."""
    return Fault(
        "type",
        "signature",
        "Make currencies explicit",
        all_of(
            swap("xpkg/xmoney.py", "def show(cents, currency):", "def show(cents, *, currency):"),
            swap(
                "tests/test_xmoney.py",
                'xmoney.show(105, "USD")',
                'xmoney.show(105, currency="USD")',
            ),
        ),
        crash="xrep",
        names=REP_NAMES,
        decoy=(
            "Label shipping as freight-free of tax",
            swap(
                "xpkg/xrep.py",
                '    rows.append("shipping " + show(amounts["shipping"], settings.currency))\n',
                '    freight = show(amounts["shipping"], settings.currency)\n'
                '    rows.append("shipping " + freight)\n',
            ),
        ),
        **crash(world, world.request("basic")),  # type: ignore[arg-type]
    )


def type_lines(world: World) -> Fault:
    """Quantities stay text when the request sends text."""
    request = world.request()
    assert isinstance(request["lines"], list)
    request["lines"] = [line | {"quantity": str(line["quantity"])} for line in request["lines"]]
    return Fault(
        "type",
        "lines",
        "Accept quantities as sent",
        swap(
            "xpkg/xread.py",
            'quantity = int(entry.get("quantity", 1))',
            'quantity = entry.get("quantity", 1)',
        ),
        crash="xread",
        names=READ_NAMES,
        **crash(world, request),  # type: ignore[arg-type]
    )
